"""What each kernel call of `main` was made of.

`FuseOps` puts several calls into one function, gives their variables new names, and lets equal groups share one
function. So the members of each group are looked up in `main` as it was before: a call is known by its callee and by
where its arguments come from.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING

from edgecompile.operator_kind import kind_of, kind_of_all
from edgecompile.plan import Origin

if TYPE_CHECKING:
    import tvm
    from tvm import relax

_GENERATED_NAME = re.compile(r"(lv|gv)\d*(_\d+)?")


def origins_of_main(before: tvm.IRModule, after: tvm.IRModule, known: Mapping[str, Origin]) -> dict[str, Origin]:
    """The origin of every call in `after`'s `main`, by its variable.

    Args:
        before: the module at the start of the phase.
        after: the module at its end.
        known: origins found in earlier phases; they stay for variables whose kernels were fused then.
    """
    from tvm import relax

    earlier = _Definitions(before)
    origins: dict[str, Origin] = {}
    for binding in _bindings(after["main"]):
        members = earlier.resolve(after, binding)
        name = binding.var.name
        if members:
            parts = [known.get(member.var.name) or _single(member) for member in members]
            operators = tuple(operator for part in parts for operator in part.operators)
            layers = tuple(layer for part in parts for layer in part.layers)
            origins[name] = Origin(operators, layers, kind_of_all([part.kind for part in parts]))
        elif isinstance(binding.value, relax.Var):  # another name of a result; a later phase may keep this one
            alias = origins.get(binding.value.name) or known.get(binding.value.name)
            if alias:
                origins[name] = alias
        elif isinstance(binding.value, relax.Call) and name not in known:
            origins[name] = _single(binding)
    return origins


def _single(binding: relax.Binding) -> Origin:
    return Origin((_operator(binding.value),), _layer_name(binding.var.name), kind_of(binding.value))


class _Definitions:
    """The bindings of `main` before a phase, and which of them each later variable stands for."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.by_key: dict[Hashable, list[relax.Binding]] = defaultdict(list)
        self.origin: dict[Hashable, Hashable] = {}  # later variable -> earlier one
        for binding in _bindings(module["main"]):
            self.by_key[self._key(binding.value)].append(binding)

    def resolve(self, module: tvm.IRModule, binding: relax.Binding) -> list[relax.Binding]:
        """The earlier calls that a later binding stands for, in order; none when they cannot be found."""
        group = _group(module, binding.value)
        if group is None:
            return self._match(binding)
        for parameter, argument in zip(group.params, binding.value.args, strict=True):
            self.origin[parameter] = self._source(argument)
        members = [member for inner in _bindings(group) for member in self._match(inner)]
        self.origin[binding.var] = self._source(group.body.body)
        return members

    def _match(self, binding: relax.Binding) -> list[relax.Binding]:
        from tvm import relax

        candidates = self.by_key.get(self._key(binding.value), [])
        if not candidates:
            return []
        found = candidates.pop(0) if len(candidates) > 1 else candidates[0]
        self.origin[binding.var] = found.var
        return [found] if isinstance(found.value, relax.Call) else []

    def _key(self, value: relax.Expr) -> Hashable:
        from tvm import relax

        if isinstance(value, relax.Call):
            return (_operator(value), *(self._source(argument) for argument in value.args))
        if isinstance(value, relax.TupleGetItem):
            return ("item", value.index, self._source(value.tuple_value))
        return ("value", self._source(value))

    def _source(self, value: relax.Expr) -> Hashable:
        import tvm
        from tvm import relax

        if isinstance(value, relax.Var):
            return self.origin.get(value, value)
        if isinstance(value, tvm.ir.GenericConst):
            return value.value.data_ptr()  # constants pass through fusion as they are
        if isinstance(value, relax.Tuple):
            return tuple(self._source(item) for item in value.fields)
        return None  # callees and shapes: the operator and its other arguments tell the calls apart


def _bindings(function: relax.Function) -> Iterator[relax.Binding]:
    from tvm import relax

    if isinstance(function.body, relax.SeqExpr):
        for block in function.body.blocks:
            yield from (binding for binding in block.bindings if isinstance(binding, relax.VarBinding))


def _group(module: tvm.IRModule, value: relax.Expr) -> relax.Function | None:
    """The function of fused operators that `value` calls."""
    import tvm
    from tvm import relax

    if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.GlobalVar):
        return None
    function = module[value.op]
    return function if isinstance(function, relax.Function) else None


def _operator(call: relax.Call) -> str:
    import tvm

    if isinstance(call.op, tvm.ir.Op):
        return str(call.args[0].name_hint if call.op.name == "relax.call_tir" else call.op.name.removeprefix("relax."))
    return str(getattr(call.op, "name_hint", "function"))


def _layer_name(name: str) -> tuple[str, ...]:
    return () if _GENERATED_NAME.fullmatch(name) else (name,)
