"""`edgecompile.decode`, the Relax operator behind a stored weight.

    edgecompile.decode(stream, scale, zero_point, method="uniform", bits=4, shape=[64, 32, 3, 3])
    edgecompile.decode(stream, scale, table, method="table", bits=4, shape=[64, 32, 3, 3])
    edgecompile.decode(values, method="half")
    edgecompile.decode(mask, values, method="sparse", shape=[64, 32, 3, 3])

It has loops, but no `FLegalize`: `FoldConstant` folds what it can legalize, and would make floats of every stored
weight. `DecodeWeights` lowers it when folding is over.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import tvm
from tvm import relax

from edgecompile.storage.bit_stream import pack_codes, stream_bytes, unpack_codes
from edgecompile.storage.stored_weight import CodedWeight, HalfWeight, SparseWeight, StoredWeight

DECODE = "edgecompile.decode"
UNIFORM, TABLE, HALF, SPARSE = "uniform", "table", "half", "sparse"


def decode(weight: StoredWeight) -> relax.Call:
    """The call that stands for a stored weight."""
    register()
    arguments: list[np.ndarray]
    attributes: dict[str, object]
    if isinstance(weight, HalfWeight):
        arguments, attributes = [weight.values], {"method": HALF}
    elif isinstance(weight, SparseWeight):
        arguments = [pack_codes(weight.mask, 1), weight.values]
        attributes = {"method": SPARSE, "shape": list(weight.shape)}
    else:
        assert isinstance(weight, CodedWeight)
        method, other = (UNIFORM, weight.zero_point) if weight.table is None else (TABLE, weight.table)
        assert other is not None
        arguments = [pack_codes(weight.codes, weight.bits), weight.scale, other]
        attributes = {"method": method, "bits": weight.bits, "shape": list(weight.shape)}
    constants = [relax.const(array, array.dtype.name) for array in arguments]
    call = relax.Call(tvm.ir.Op.get(DECODE), constants, tvm.ir.make_node("ir.DictAttrs", **attributes))
    return relax.BlockBuilder().normalize(call)


def is_decode(value: relax.Expr) -> bool:
    """True for a call that stands for a stored weight."""
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name == DECODE


def stored_weight(call: relax.Call) -> StoredWeight:
    """The weight that a call of `decode` stands for."""
    arrays = [argument.value.numpy() for argument in call.args]
    numbers = attributes(call)
    if numbers.method == HALF:
        return HalfWeight(arrays[0])
    if numbers.method == SPARSE:
        return SparseWeight(unpack_codes(arrays[0], 1, numbers.shape).astype(bool), arrays[1])
    stream, scale, other = arrays
    codes = unpack_codes(stream, numbers.bits, numbers.shape)
    if numbers.method == TABLE:
        return CodedWeight(codes, numbers.bits, scale, table=other)
    return CodedWeight(codes, numbers.bits, scale, zero_point=other)


class Attributes:
    """Of a call.

    Attributes:
        method: UNIFORM, TABLE, HALF or SPARSE.
        bits, shape: of the codes, or of the bitmask; 0 and () for HALF.
    """

    def __init__(self, method: str, bits: int, shape: tuple[int, ...]) -> None:
        self.method, self.bits, self.shape = method, bits, shape


def attributes(call: relax.Call) -> Attributes:
    """Those of a call of `decode`.

    Raises:
        ValueError: it has none.
    """
    given: Mapping[str, object] = {} if call.attrs is None else {str(key): value for key, value in call.attrs.items()}
    method = str(given.get("method"))
    if method == HALF and set(given) == {"method"}:
        return Attributes(method, 0, ())
    needed = {"method", "shape"} if method == SPARSE else {"method", "bits", "shape"}
    if method not in (UNIFORM, TABLE, SPARSE) or set(given) != needed:
        raise ValueError("decode needs a method, bits and a shape")
    bits, shape = given.get("bits", 1), given["shape"]
    if isinstance(shape, str) or not isinstance(shape, Sequence | tvm.ir.Array):
        raise ValueError("decode needs a list of extents")
    return Attributes(method, int(bits), tuple(int(extent) for extent in shape))  # type: ignore[call-overload]


@functools.cache
def register() -> None:
    """Make the operator known to Relax; a file that has it cannot be read before."""
    tvm.ir.register_op_attr(DECODE, "FInferType", _type)
    tvm.ir.register_op_attr(DECODE, "FPurity", True)


def _type(call: relax.Call, builder: relax.BlockBuilder) -> relax.TensorType:
    """float32 of the weight's shape, or int8 where a sparse weight is.

    Raises:
        ValueError: the constants do not hold what the attributes say. Such a call would read past their end.
    """
    del builder
    numbers = attributes(call)
    if not all(isinstance(argument, tvm.ir.GenericConst) for argument in call.args):
        raise ValueError("decode takes constants")
    shapes = [tuple(int(extent) for extent in argument.ty.shape.values) for argument in call.args]
    dtypes = [str(argument.ty.dtype) for argument in call.args]
    if numbers.method == HALF:
        if len(dtypes) != 1 or dtypes[0] not in ("float16", "bfloat16"):
            raise ValueError(f"decode takes one tensor of float16 or bfloat16, found {dtypes}")
        return relax.TensorType(shapes[0], "float32")
    if numbers.method == SPARSE:
        _check_sparse([argument.value.numpy() for argument in call.args], numbers)
        return relax.TensorType(numbers.shape, dtypes[1])
    other = "uint8" if numbers.method == UNIFORM else "float32"
    if dtypes != ["uint8", "float32", other] or not 2 <= numbers.bits <= 8 or min(numbers.shape, default=1) < 0:
        raise ValueError(f"decode takes uint8, float32 and {other}, found {dtypes} and {numbers.bits} bits")
    stream, scale, rest = shapes
    if stream != (stream_bytes(math.prod(numbers.shape), numbers.bits),):
        raise ValueError(f"decode of {numbers.shape} needs another number of codes than {stream}")
    if not _divides(scale, numbers.shape):
        raise ValueError(f"scales of {scale} do not fit a weight of {numbers.shape}")
    uniform = (scale, (1,) * len(scale))  # a zero point for each scale, or one for all
    fits = rest == (1 << numbers.bits,) if numbers.method == TABLE else rest in uniform
    if not fits:
        raise ValueError(f"{rest} does not fit a weight of {numbers.shape} in {numbers.bits} bits")
    return relax.TensorType(numbers.shape, "float32")


def _check_sparse(arrays: Sequence[np.ndarray], numbers: Attributes) -> None:
    """Refuse a bitmask of another size, or another number of values than it has bits.

    Raises:
        ValueError: in one line.
    """
    dtypes = [array.dtype.name for array in arrays]
    if dtypes not in (["uint8", "float32"], ["uint8", "int8"]) or min(numbers.shape, default=1) < 1:
        raise ValueError(f"a sparse weight takes uint8 and float32 or int8, found {dtypes} for {numbers.shape}")
    mask, values = arrays
    count = math.prod(numbers.shape)
    if mask.shape != (stream_bytes(count, 1),):
        raise ValueError(f"a bitmask of {numbers.shape} needs another number of bytes than {mask.shape}")
    ones = int(np.unpackbits(mask, count=count, bitorder="little").sum(dtype=np.int64))
    if ones == 0 or values.shape != (ones,):
        raise ValueError(f"a bitmask of {ones} ones does not fit values of {values.shape}")


def _divides(blocks: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(blocks) == len(shape) and all(
        block > 0 and extent % block == 0 for block, extent in zip(blocks, shape, strict=True)
    )
