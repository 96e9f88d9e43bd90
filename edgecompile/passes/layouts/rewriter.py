"""A new `main` out of the ways that were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from edgecompile.passes.layouts.way import PLAIN, Way
from edgecompile.passes.layouts.workshop import Workshop


@dataclass(frozen=True)
class Rewritten:
    """The new module.

    Attributes:
        conversions: how many of its kernels only convert.
    """

    module: tvm.IRModule
    conversions: int


def rewrite(module: tvm.IRModule, ways: Sequence[Way]) -> Rewritten:
    """The module with the new `main` and the kernels that it calls.

    Args:
        ways: one for each parameter of `main`, for each binding in order, and for the result.
    """
    main = module["main"]
    others = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(others))
    workshop = Workshop(builder)
    bindings, result = ways[len(main.params) : -1], ways[-1]
    for parameter in main.params:
        workshop.add(parameter, PLAIN, parameter)
    with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else None):
        with builder.dataflow():
            for binding, way in zip(main.body.blocks[0].bindings, bindings, strict=True):
                workshop.layer = binding.var.name
                value = workshop.emit(way.build(workshop), binding.var.name)
                workshop.add(binding.var, way.writes, value)
            output = builder.emit_output(result.build(workshop))
        builder.emit_func_output(output)
    rewritten = builder.get()
    attributes = dict(module.attrs) if module.attrs else None
    return Rewritten(rewritten.with_attrs(attributes) if attributes else rewritten, workshop.conversions)
