"""PyTorch: compiled by inductor with frozen weights, or as it is where that fails.

Tried beside it: eager, channels last, frozen TorchScript (`optimize_for_inference`), inductor with `max_autotune`. None
is faster on any network here; the last one chooses worse on a busy machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import torch

from edgecompile import zoo
from scripts.bench.case import Case


class _Network:
    def __init__(self, case: Case, threads: int) -> None:
        torch.set_num_threads(threads)
        module, _ = zoo.build(case.name)
        self._inputs = tuple(torch.from_numpy(array) for array in case.inputs.values())
        self._answer: torch.Tensor | Mapping[str, torch.Tensor] = {}
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers that stays alive
        isa = f"oneDNN, {torch.backends.cpu.get_cpu_capability()}"
        self._call = torch.compile(module, options={"freezing": True})
        try:
            self.run()
            self.notes = f"torch.compile with frozen weights; {isa}"
        except Exception as error:  # no C++ compiler, most often
            torch._dynamo.reset()
            self._call = module
            self.notes = f"eager, as torch.compile failed ({type(error).__name__}); {isa}"

    def run(self) -> None:
        with torch.no_grad():
            self._answer = self._call(*self._inputs)

    def outputs(self) -> list[np.ndarray]:
        tensors = self._answer.values() if isinstance(self._answer, Mapping) else (self._answer,)
        return [tensor.numpy() for tensor in tensors]


def load(case: Case, threads: int) -> _Network:
    """The case as a compiled module."""
    return _Network(case, threads)
