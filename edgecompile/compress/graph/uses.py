"""`Uses`: who defines and who reads the variables of `main`."""

from __future__ import annotations

from collections import defaultdict

import tvm
from tvm import relax


class Uses:
    """Look-ups in a `main` that is one dataflow block.

    Attributes:
        variables: that `main` binds, in order.
    """

    def __init__(self, main: relax.Function) -> None:
        bindings = list(main.body.blocks[0].bindings)
        self.variables: list[relax.Var] = [binding.var for binding in bindings]
        self._definitions = {binding.var: binding.value for binding in bindings}
        self._readers: dict[relax.Var, list[relax.Var | None]] = defaultdict(list)
        for binding in bindings:
            for variable in relax.analysis.free_vars(binding.value):
                self._readers[variable].append(binding.var)
        for variable in relax.analysis.free_vars(main.body.body):
            self._readers[variable].append(None)

    def call(self, variable: relax.Expr) -> relax.Call | None:
        """The call of an operator that defines the variable; None for anything else."""
        value = self._definitions.get(variable) if isinstance(variable, relax.Var) else None
        return value if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) else None

    def known_call(self, variable: relax.Expr) -> relax.Call:
        """The call that defines a variable which has an operator."""
        call = self.call(variable)
        assert call is not None, f"{variable} is the result of no operator"
        return call

    def operator(self, variable: relax.Expr) -> str:
        """Of that call, without its prefix, such as "nn.conv2d"; "" where there is none."""
        call = self.call(variable)
        return str(call.op.name).removeprefix("relax.") if call is not None else ""

    def tuple_of(self, variable: relax.Expr) -> relax.Expr | None:
        """The tuple of which the variable is a field; None where it is none."""
        value = self._definitions.get(variable) if isinstance(variable, relax.Var) else None
        return value.tuple_value if isinstance(value, relax.TupleGetItem) else None

    def readers(self, variable: relax.Var) -> list[relax.Var | None]:
        """The variables whose values read this one, each once; None stands for the result of `main`."""
        return self._readers[variable]

    def only_reader(self, variable: relax.Var) -> relax.Var | None:
        """The one that reads it, where only one does and that is not the result of `main`."""
        readers = self._readers[variable]
        return readers[0] if len(readers) == 1 else None
