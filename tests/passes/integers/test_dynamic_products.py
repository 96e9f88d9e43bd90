"""Products whose scales or zero points are found at run time: which become integer, and the answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.integer import operators
from tests.passes.integers.test_fuse_integer_operators import fused, normal, weight
from tests.passes.integers.test_fuse_integer_operators import operators as operators_of

Build = Callable[..., relax.Expr]
RNG = np.random.default_rng(11)
LEGALIZE = relax.transform.LegalizeOps()


def module_of(build: Build, *inputs: relax.Var) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    with builder.function("main", list(inputs)):
        with builder.dataflow():
            output = builder.emit_output(build(builder, *inputs))
        builder.emit_func_output(output)
    return builder.get()


def run(module: tvm.IRModule, *arrays: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(relax.build(LEGALIZE(module), "llvm"), tvm.cpu())
    return machine["main"](*map(tvm.runtime.tensor, arrays)).numpy()


def integers(dtype: str, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    values = RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)
    values.reshape(-1)[:2] = (limits.min, limits.max)
    return values


def variable(name: str, array: np.ndarray) -> relax.Var:
    return relax.Var(name, relax.TensorType(array.shape, str(array.dtype)))


@pytest.mark.parametrize("shared_axes", [1, 3])
def test_rows_with_scales(shared_axes: int) -> None:
    x = normal(2, 5, 19)

    def build(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        pair = builder.emit(operators.quantize_rows(data, shared_axes=shared_axes))
        wide = builder.emit(relax.op.astype(builder.emit(relax.TupleGetItem(pair, 0)), "float32"))
        rows = builder.emit(relax.op.multiply(wide, builder.emit(relax.TupleGetItem(pair, 1))))
        products = [builder.emit(relax.op.matmul(rows, weight(builder, normal(19, 7), 1))) for _ in range(2)]
        return builder.emit(relax.op.subtract(*products))

    module = module_of(build, variable("x", x))
    result, _ = fused(module)
    found = operators_of(result)
    assert found["quantize_rows"] == 1 and found["dequantize"] == 0
    assert len(matmuls(result)) == 2
    np.testing.assert_allclose(run(result, x), run(module, x), rtol=0, atol=2e-5)


def matmuls(module: tvm.IRModule) -> list[relax.Binding]:
    bindings = [binding for block in module["main"].body.blocks for binding in block.bindings]
    return [b for b in bindings if isinstance(b.value, relax.Call) and b.value.op.name == operators.MATMUL]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("zeros", [None, (), (1,), (2, 6, 1)])
def test_zero_points_known_at_run_time(dtype: str, zeros: tuple[int, ...] | None) -> None:
    x, matrix = integers(dtype, 2, 6, 21), integers("int8", 21, 9).astype(np.int16)
    zero = integers(dtype, 2 * 6)[: int(np.prod(zeros))].reshape(zeros) if zeros is not None else None

    def build(builder: relax.BlockBuilder, data: relax.Var, *offset: relax.Var) -> relax.Expr:
        wide = builder.emit(relax.op.astype(data, "int16"))
        for found in offset:
            wide = builder.emit(relax.op.subtract(wide, builder.emit(relax.op.astype(found, "int16"))))
        return builder.emit(relax.op.matmul(wide, relax.const(matrix, "int16"), out_dtype="int32"))

    arrays = [x] if zero is None else [x, zero]
    module = module_of(with_quantization(build), *(variable(f"x{at}", array) for at, array in enumerate(arrays)))
    result, _ = fused(module)
    assert len(matmuls(result)) == 1
    offset = 0 if zero is None else zero.astype(np.int64)
    expected = (x.astype(np.int64) - offset) @ matrix.astype(np.int64)
    np.testing.assert_array_equal(run(result, *arrays), expected.astype(np.float32))


def with_quantization(build: Build) -> Build:
    """Quantized once more behind it, so that the pass looks at the module at all."""

    def whole(builder: relax.BlockBuilder, *inputs: relax.Var) -> relax.Expr:
        real = builder.emit(relax.op.astype(build(builder, *inputs), "float32"))
        one, zero = relax.const(1, "float32"), relax.const(0, "int8")
        builder.emit(relax.op.quantize(real, one, zero, axis=0, out_dtype="int8"))
        return real

    return whole


@pytest.mark.parametrize("what", ["zero point per column of x", "a large weight"])
def test_what_no_correction_fits_stays(what: str) -> None:
    matrix = integers("int8", 6, 4).astype(np.int16)
    if what == "a large weight":
        matrix[2, 3] = 128
    shape = (6,) if what != "a large weight" else ()

    def build(builder: relax.BlockBuilder, data: relax.Var, zero: relax.Var) -> relax.Expr:
        wide = [builder.emit(relax.op.astype(value, "int16")) for value in (data, zero)]
        centred = builder.emit(relax.op.subtract(*wide))
        return builder.emit(relax.op.matmul(centred, relax.const(matrix, "int16"), out_dtype="int32"))

    inputs = variable("x", integers("uint8", 3, 6)), relax.Var("z", relax.TensorType(shape, "uint8"))
    result, _ = fused(module_of(with_quantization(build), *inputs))
    assert not matmuls(result) and operators_of(result)["matmul"] == 1
