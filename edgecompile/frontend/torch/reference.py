"""PyTorch's own answer for the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from edgecompile.frontend.torch.dtypes import from_numpy, to_numpy


class Reference:
    """Runs the exported program; called with the arrays of the model's inputs, it returns those of its outputs.

    Attributes:
        program: what was imported, before any lowering.
        positions: where each of the model's inputs stands among the program's flattened inputs.
        frozen: the values of the inputs that became constants, by position.
        outputs: which of the program's flattened outputs are outputs of the model.
    """

    def __init__(
        self,
        program: ExportedProgram,
        positions: Sequence[int],
        frozen: Mapping[int, np.ndarray],
        outputs: Sequence[int],
    ) -> None:
        self.program = program
        self.positions = list(positions)
        self.frozen = dict(frozen)
        self.outputs = list(outputs)
        self._module: torch.nn.Module | None = None

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self._module is None:
            self._module = self.program.module()
        spec = self.program.call_spec.in_spec
        leaves = self._constants()
        for position, array in zip(self.positions, arrays, strict=True):
            leaves[position] = from_numpy(array)
        for position, array in self.frozen.items():
            leaves[position] = from_numpy(np.asarray(array))
        args, kwargs = pytree.tree_unflatten(leaves, spec)
        with torch.no_grad():
            result = self._module(*args, **kwargs)
        flat = pytree.tree_leaves(result, is_leaf=lambda leaf: leaf is None)
        return [to_numpy(flat[index]) for index in self.outputs]

    def _constants(self) -> list[object]:
        """The flattened arguments, numbers and strings as they were at export."""
        nodes = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        specs = [s for s in self.program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
        return [
            getattr(s.arg, "value", nodes[s.arg.name].meta.get("val") if s.arg.name in nodes else None) for s in specs
        ]
