"""A module apart from its constants, and together again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.errors import InvalidModelError, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np
    import tvm

_MAIN = "main"


def take_constants(module: tvm.IRModule) -> tuple[tvm.IRModule, list[np.ndarray]]:
    """`main` with the number of a constant in each constant's place: a scalar int64 under the constant's type.

    Equal places share a number where they share the memory.

    Raises:
        UnsupportedModelError: `main` calls other functions, such as loops for an operator that Relax lacks: they can do
            anything when they are run, so they are not read from files.
    """
    import numpy as np
    import tvm

    layers = _layers_with_own_loops(module)
    if layers:
        names = ", ".join(f"{layer!r} ({loops})" for layer, loops in list(layers.items())[:4])
        more = f" and {len(layers) - 4} more" if len(layers) > 4 else ""
        raise UnsupportedModelError(
            f"a model of Relax operators alone was needed to write a file, found loops of their own for {names}{more}: "
            "native code is not read from files; compress and compile in one go, by `edgecompile compile --recipe`"
        )
    arrays: list[np.ndarray] = []
    places: dict[tuple[int, tuple[int, ...], str], tvm.ir.GenericConst] = {}

    def replace(constant: tvm.ir.GenericConst) -> tvm.ir.GenericConst:
        tensor = constant.value
        assert isinstance(tensor, tvm.runtime.Tensor), "Relax's constants are tensors"
        key = (tensor.data_ptr(), tuple(map(int, tensor.shape)), str(tensor.dtype))
        if key not in places:
            number = tvm.runtime.tensor(np.array(len(arrays), np.int64))
            places[key] = tvm.ir.GenericConst(number, constant.ty)
            arrays.append(tensor.numpy())
        return places[key]

    return _map_constants(module, replace), arrays


def _layers_with_own_loops(module: tvm.IRModule) -> dict[str, str]:
    """What other functions than `main` compute, and their names. Functions that nothing calls are not written."""
    import tvm
    from tvm import relax
    from tvm_ffi.structural import structural_walk

    layers: dict[str, str] = {}

    def visit(binding: relax.VarBinding) -> None:
        value = binding.value
        if isinstance(value, relax.Call):
            for callee in (value.op, *value.args):
                if isinstance(callee, tvm.ir.GlobalVar):
                    layers[binding.var.name] = callee.name_hint

    structural_walk(module[_MAIN].body, (relax.VarBinding, visit))
    return layers


def put_constants(module: tvm.IRModule, arrays: list[np.ndarray], name: str) -> tvm.IRModule:
    """The inverse of `take_constants`.

    Raises:
        InvalidModelError: a number or a type does not fit the arrays.
    """
    import tvm
    from tvm_ffi.structural import structural_walk

    def check(place: tvm.ir.GenericConst) -> None:
        number = int(place.value.numpy()) if isinstance(place.value, tvm.runtime.Tensor) else -1
        if not 0 <= number < len(arrays) or not _has_type(arrays[number], place.ty):
            wrong.append(number)

    wrong: list[int] = []
    structural_walk(module[_MAIN].body, (tvm.ir.GenericConst, check))
    if wrong:
        raise InvalidModelError(
            f"{name}: constant {wrong[0]} is not among its {len(arrays)} weights, or of another type; compress the "
            "model again"
        )
    constants: dict[int, tvm.ir.GenericConst] = {}

    def replace(place: tvm.ir.GenericConst) -> tvm.ir.GenericConst:
        number = int(place.value.numpy())
        if number not in constants:
            constants[number] = tvm.ir.GenericConst(tvm.runtime.tensor(arrays[number]), place.ty)
        return constants[number]

    return _map_constants(module, replace)


def _has_type(array: np.ndarray, type_: tvm.ir.Type) -> bool:
    from tvm import relax, tirx

    if not isinstance(type_, relax.TensorType) or not isinstance(type_.shape, relax.ShapeExpr):
        return False
    extents = [int(extent) if isinstance(extent, tirx.IntImm) else -1 for extent in type_.shape.values]
    return array.dtype.name == str(type_.dtype) and list(array.shape) == extents


def _map_constants(module: tvm.IRModule, replace: object) -> tvm.IRModule:
    import tvm
    from tvm import relax
    from tvm_ffi.structural import structural_map

    main = module[_MAIN]
    body = structural_map(main.body, ((tvm.ir.GenericConst, replace),))
    function = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return tvm.IRModule({module.get_global_var(_MAIN): function}, attrs=module.attrs)
