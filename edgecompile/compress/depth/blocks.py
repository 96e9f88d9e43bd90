"""`find_blocks`: the residual blocks of a module, and the module without some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm_ffi.structural import structural_equal

from edgecompile.compress.graph.edit import edited


@dataclass(frozen=True)
class Block:
    """y = x + f(x), where the layers of f are for nothing else.

    Attributes:
        name: of y.
        source: the name of x.
        layers: the names of the variables that go with f, in order of execution.
        y, x: the variables.
    """

    name: str
    source: str
    layers: tuple[str, ...]
    y: relax.Var
    x: relax.Var


def find_blocks(module: tvm.IRModule) -> list[Block]:
    """The residual blocks of `main`, in order of execution; one that holds others is among them."""
    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr) or len(main.body.blocks) != 1:
        return []
    search = _Search(main)
    return list(search.blocks())


def without_blocks(module: tvm.IRModule, blocks: Collection[Block]) -> tvm.IRModule:
    """The module in which each y is its x; what only their layers read is gone too."""
    shortened = edited(module, values={block.y: block.x for block in blocks})
    return relax.transform.DeadCodeElimination()(shortened)


class _Search:
    def __init__(self, main: relax.Function) -> None:
        self._bindings = list(main.body.blocks[0].bindings)
        self._reads = {binding.var: relax.analysis.free_vars(binding.value) for binding in self._bindings}
        self._readers: dict[relax.Var, list[relax.Var | None]] = {}
        for variable, read in self._reads.items():
            for other in read:
                self._readers.setdefault(other, []).append(variable)
        for variable in relax.analysis.free_vars(main.body.body):
            self._readers.setdefault(variable, []).append(None)

    def blocks(self) -> Iterator[Block]:
        for binding in self._bindings:
            for skip, branch in self._sums(binding):
                layers = self._only_for(binding.var, branch, skip)
                if layers:
                    yield Block(binding.var.name, skip.name, layers, binding.var, skip)
                    break

    @staticmethod
    def _sums(binding: relax.Binding) -> Iterator[tuple[relax.Var, relax.Var]]:
        """Both ways to see a sum of two tensors of one shape as x + f(x)."""
        call = binding.value
        if not isinstance(call, relax.Call) or getattr(call.op, "name", "") != "relax.add":
            return
        one, other = call.args
        if isinstance(one, relax.Var) and isinstance(other, relax.Var) and structural_equal(one.ty, other.ty):
            yield one, other
            yield other, one

    def _only_for(self, total: relax.Var, branch: relax.Var, skip: relax.Var) -> tuple[str, ...]:
        """What goes with a branch, if it reads the skipped tensor; else nothing."""
        goes: set[relax.Var] = {total}
        reads_skip = False
        for binding in reversed(self._bindings):
            variable = binding.var
            if variable.same_as(skip):
                break
            readers = self._readers.get(variable, ())
            if variable not in goes and readers and all(reader is not None and reader in goes for reader in readers):
                goes.add(variable)
                reads_skip |= any(read.same_as(skip) for read in self._reads[variable])
        goes.discard(total)
        if not reads_skip or branch not in goes:
            return ()
        return tuple(binding.var.name for binding in self._bindings if binding.var in goes)
