"""Checks that a module from a stranger is one: TVM's own rules, and each result's type computed again.

A type that says more elements than there are would become a kernel that reads past its input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.errors import InvalidModelError

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    from edgecompile.frontend.model import TensorSpec


def check_types(module: tvm.IRModule, name: str) -> None:
    """Refuse a module that is ill-formed, or whose calls have other types than their arguments give them.

    Args:
        module: with its constants in place.
        name: of the file, for errors.

    Raises:
        InvalidModelError: the first such thing.
    """
    from tvm import relax

    if [variable.name_hint for variable in module.functions] != ["main"]:
        raise InvalidModelError(f"{name}: one function 'main' was needed; compress the model again")
    main = module["main"]
    if not isinstance(main, relax.Function) or not relax.analysis.check_well_formed(module):
        raise InvalidModelError(f"{name}: the module is not well-formed; compress the model again")
    _check_body(main.body, relax.BlockBuilder(), name)


def check_signature(
    module: tvm.IRModule, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], name: str
) -> None:
    """Refuse a module that takes or gives other tensors than its description says.

    Raises:
        InvalidModelError: the first difference.
    """
    from tvm import relax

    main = module["main"]
    returned = main.ret_ty
    results = list(returned.fields) if isinstance(returned, relax.TupleType) else [returned]
    for kind, specs, types in (("input", inputs, [p.ty for p in main.params]), ("output", outputs, results)):
        if len(specs) != len(types):
            raise InvalidModelError(f"{name}: {len(types)} {kind}s were described as {len(specs)}")
        for spec, type_ in zip(specs, types, strict=True):
            if not _fits(spec, type_):
                raise InvalidModelError(f"{name}: the {kind} {spec} has the type {type_} in the module")


def _fits(spec: TensorSpec, type_: tvm.ir.Type) -> bool:
    from tvm import relax, tirx

    if not isinstance(type_, relax.TensorType) or str(type_.dtype) != spec.dtype:
        return False
    if not isinstance(type_.shape, relax.ShapeExpr) or len(type_.shape.values) != len(spec.shape):
        return not spec.is_static
    pairs = zip(type_.shape.values, spec.shape, strict=True)
    return all(int(found) == said if isinstance(found, tirx.IntImm) else isinstance(said, str) for found, said in pairs)


def _check_body(body: relax.SeqExpr, builder: relax.BlockBuilder, name: str) -> None:
    from tvm import relax

    for binding in (binding for block in body.blocks for binding in block.bindings):
        value = binding.value
        if isinstance(value, relax.If):
            _check_body(value.true_branch, builder, name)
            _check_body(value.false_branch, builder, name)
        elif isinstance(value, relax.Call):
            _check_call(binding.var, value, builder, name)


def _check_call(variable: relax.Var, call: relax.Call, builder: relax.BlockBuilder, name: str) -> None:
    import tvm_ffi
    from tvm import relax

    try:
        inferred = builder.normalize(relax.Call(call.op, call.args, call.attrs, call.ty_args)).ty
    except Exception as error:  # an operator raises what it likes
        raise InvalidModelError(
            f"{name}: {call.op.name} cannot give {variable.name!r}: {str(error).strip().splitlines()[0]:.200}"
        ) from error
    if not tvm_ffi.structural_equal(inferred, call.ty) or not tvm_ffi.structural_equal(inferred, variable.ty):
        raise InvalidModelError(
            f"{name}: {variable.name!r} is the result of {call.op.name}, {inferred}, and has the type {variable.ty}; "
            "compress the model again"
        )
