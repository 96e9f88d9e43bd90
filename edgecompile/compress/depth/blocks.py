"""`find_blocks`: the residual blocks of a module, and the module without some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm_ffi.structural import structural_equal

from edgecompile.compress.graph.edit import edited
from edgecompile.compress.graph.uses import Uses


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
        self._uses = Uses(main)

    def blocks(self) -> Iterator[Block]:
        for variable in self._uses.variables:
            for skip, branch in self._sums(variable):
                layers = self._only_for(variable, branch, skip)
                if layers:
                    yield Block(variable.name, skip.name, layers, variable, skip)
                    break

    def _sums(self, variable: relax.Var) -> Iterator[tuple[relax.Var, relax.Var]]:
        """Both ways to see a sum of two tensors of one shape as x + f(x)."""
        if self._uses.operator(variable) != "add":
            return
        one, other = self._uses.known_call(variable).args
        if isinstance(one, relax.Var) and isinstance(other, relax.Var) and structural_equal(one.ty, other.ty):
            yield one, other
            yield other, one

    def _only_for(self, total: relax.Var, branch: relax.Var, skip: relax.Var) -> tuple[str, ...]:
        """What goes with a branch, if it reads the skipped tensor; else nothing."""
        goes: set[relax.Var] = {total}
        reads_skip = False
        skip_readers = set(self._uses.readers(skip))
        for variable in reversed(self._uses.variables):
            if variable.same_as(skip):
                break
            readers = self._uses.readers(variable)
            if variable not in goes and readers and all(reader is not None and reader in goes for reader in readers):
                goes.add(variable)
                reads_skip |= variable in skip_readers
        goes.discard(total)
        if not reads_skip or branch not in goes:
            return ()
        return tuple(variable.name for variable in self._uses.variables if variable in goes)
