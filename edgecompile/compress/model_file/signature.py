"""Checks that a module from a stranger is one, and takes and gives what its description says.

A type that says more elements than there are would become a kernel that reads past its input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.errors import InvalidModelError

if TYPE_CHECKING:
    import tvm

    from edgecompile.frontend.model import TensorSpec


def check_well_formed(module: tvm.IRModule, name: str) -> None:
    """Refuse a module that breaks TVM's rules: among them, each result must have the type that its arguments give it.

    Args:
        module: with its constants in place.
        name: of the file, for errors.

    Raises:
        InvalidModelError: it breaks one.
    """
    from tvm import relax

    if [variable.name_hint for variable in module.functions] != ["main"]:
        raise InvalidModelError(f"{name}: one function 'main' was needed; compress the model again")
    try:
        well_formed = isinstance(module["main"], relax.Function) and relax.analysis.check_well_formed(module)
    except Exception as error:  # an operator raises what it likes about wrong arguments
        raise InvalidModelError(
            f"{name}: the module is not well-formed: {str(error).strip().splitlines()[-1]:.200}; compress the model "
            "again"
        ) from error
    if not well_formed:
        raise InvalidModelError(f"{name}: the module is not well-formed; compress the model again")


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
