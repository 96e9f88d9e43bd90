"""A BERT encoder. Source: Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class BertConfig:
    """Sizes; the defaults are BERT-base with 128 tokens."""

    layers: int = 12
    hidden: int = 768
    heads: int = 12
    feed_forward: int = 3072
    vocabulary: int = 30522
    tokens: int = 128


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)
        self.output = nn.Linear(config.hidden, config.hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x [N, T, hidden]; mask [N, 1, 1, T], true where a token takes part."""
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each with a shortcut and layer normalisation behind it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.hidden, eps=1e-12)
        self.expand = nn.Linear(config.hidden, config.feed_forward)
        self.activation = nn.GELU()
        self.contract = nn.Linear(config.feed_forward, config.hidden)
        self.output_norm = nn.LayerNorm(config.hidden, eps=1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x [N, T, hidden]; mask [N, 1, 1, T]."""
        x = self.attention_norm(x + self.attention(x, mask))
        return self.output_norm(x + self.contract(self.activation(self.expand(x))))


class BertEncoder(nn.Module):
    """Token and position embeddings, encoder layers, and a pooled vector of the first token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.positions = nn.Embedding(config.tokens, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.pooler = nn.Linear(config.hidden, config.hidden)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask [N, T] int64 to last_hidden_state [N, T, hidden] and pooler_output [N, hidden]."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.norm(self.tokens(input_ids) + self.positions(positions))
        mask = attention_mask[:, None, None, :] != 0
        for layer in self.layers:
            x = layer(x, mask)
        return {"last_hidden_state": x, "pooler_output": torch.tanh(self.pooler(x[:, 0]))}
