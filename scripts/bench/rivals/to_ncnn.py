"""PyTorch -> TorchScript -> ncnn's parameter and weight files, by pnnx."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import pnnx
import torch

from edgecompile import zoo
from edgecompile.zoo.bert import BertEncoder
from scripts.bench.rivals.added_mask import added_mask

_TYPES = {torch.float32: "f32", torch.int64: "i64"}


class _Traceable(torch.nn.Module):
    """The network with a tuple in place of a dictionary."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.module(*inputs)
        return tuple(answer.values()) if isinstance(answer, dict) else (answer,)


class _TraceableBert(torch.nn.Module):
    """The encoder for a mask that is added: ncnn compares no integers, and adds masks of equal sides only."""

    def __init__(self, module: BertEncoder) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens [N, T] int64, mask [N, 1, T, T] float32."""
        module = self.module
        x = module.norm(module.tokens(tokens) + module.positions.weight)
        for layer in module.layers:
            x = layer(x, mask)
        return x, torch.tanh(module.pooler(x[:, 0]))


def convert(name: str, folder: Path) -> None:
    """Write `model.param` and `model.bin` of a network of the zoo.

    Raises:
        CalledProcessError: pnnx failed.
    """
    module, examples = zoo.build(name)
    traceable: torch.nn.Module = _Traceable(module)
    if isinstance(module, BertEncoder):
        tokens, mask = examples
        traceable, examples = _TraceableBert(module), (tokens, torch.from_numpy(added_mask(mask.numpy())))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(traceable, examples).save(folder / "traced.pt")
    shapes = ",".join(f"[{','.join(map(str, example.shape))}]{_TYPES[example.dtype]}" for example in examples)
    names = ("ncnnparam=model.param", "ncnnbin=model.bin", "fp16=0")
    subprocess.run([pnnx.EXEC_PATH, "traced.pt", f"inputshape={shapes}", *names], cwd=folder, check=True)
    for path in folder.iterdir():  # the weights in three other formats
        if path.name not in ("model.param", "model.bin"):
            path.unlink()
