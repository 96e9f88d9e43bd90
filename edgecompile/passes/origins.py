"""What each kernel call of `main` was made of.

Fusion replaces several bindings by one; the fused operators and the names of their results survive inside the group's function
until `FuseTIR` removes it, so they are collected after each phase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecompile.plan import Origin

if TYPE_CHECKING:
    import tvm
    from tvm import relax

_GENERATED_NAME = re.compile(r"(lv|gv)\d*(_\d+)?")


def origins_of_main(module: tvm.IRModule, known: Mapping[str, Origin]) -> dict[str, Origin]:
    """The origin of every call in `main`, by its variable; `known` ones stay for kernels that were fused earlier."""
    from tvm import relax

    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return {}
    calls = [b for block in main.body.blocks for b in block.bindings if isinstance(b.value, relax.Call)]
    found = {}
    for binding in calls:
        name = binding.var.name
        members = _members(module, binding.value)
        if members:
            operators = tuple(_operator(member.value) for member in members)
            layers = tuple(layer for member in members for layer in _layer_name(member.var.name))
            found[name] = Origin(operators, (*layers, *_layer_name(name)))
        elif name not in known or not known[name].operators:
            found[name] = Origin((_operator(binding.value),), _layer_name(name))
    return found


def _members(module: tvm.IRModule, call: relax.Call) -> list[relax.Binding]:
    """The calls inside a group of fused operators; none when `call` is no group."""
    import tvm
    from tvm import relax

    if not isinstance(call.op, tvm.ir.GlobalVar):
        return []
    group = module[call.op]
    if not isinstance(group, relax.Function) or not isinstance(group.body, relax.SeqExpr):
        return []
    bindings = [binding for block in group.body.blocks for binding in block.bindings]
    return [binding for binding in bindings if isinstance(binding.value, relax.Call)]


def _operator(call: relax.Call) -> str:
    import tvm

    if isinstance(call.op, tvm.ir.Op):
        return str(call.args[0].name_hint if call.op.name == "relax.call_tir" else call.op.name.removeprefix("relax."))
    return str(call.op.name_hint)


def _layer_name(name: str) -> tuple[str, ...]:
    return () if _GENERATED_NAME.fullmatch(name) else (name,)
