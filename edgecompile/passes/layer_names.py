"""Which layers of the model stand behind each variable of `main`.

Fusion replaces several bindings by one; the names of the fused ones survive inside the group's function until `FuseTIR` removes
it, so they are collected after each phase.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import relax

_GENERATED = re.compile(r"(lv|gv)\d*")


def layers_of_main(module: tvm.IRModule) -> dict[str, tuple[str, ...]]:
    """Variable of `main` -> the names that frontends gave to the layers it computes, empty ones left out."""
    from tvm import relax

    layers: dict[str, tuple[str, ...]] = {}
    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return layers
    for block in main.body.blocks:
        for binding in block.bindings:
            names = (*_names_inside(module, binding.value), *_given(binding.var.name))
            if names:
                layers[binding.var.name] = names
    return layers


def _names_inside(module: tvm.IRModule, value: relax.Expr) -> tuple[str, ...]:
    import tvm
    from tvm import relax

    if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.GlobalVar):
        return ()
    group = module[value.op]
    if not isinstance(group, relax.Function) or not isinstance(group.body, relax.SeqExpr):
        return ()
    return tuple(
        name for block in group.body.blocks for binding in block.bindings for name in _given(binding.var.name)
    )


def _given(name: str) -> tuple[str, ...]:
    return () if _GENERATED.fullmatch(name) else (name,)
