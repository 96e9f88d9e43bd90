"""`GraphBuilder`: draws operands and appends nodes; every graph that it makes is valid by construction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.choices import Choices
from tests.fuzz.values import FLOATS, Value

T = TypeVar("T")

MOST_ELEMENTS = 2048
MOST_INPUTS = 6
ONNX_TYPE = {
    name: helper.np_dtype_to_tensor_dtype(np.dtype(name))
    for name in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
}
DEFAULT_RANGE = {"bool": (0, 1), "uint8": (0, 255), "int8": (-128, 127), "int32": (-20, 20), "int64": (-20, 20)}


@dataclass
class GraphBuilder:
    """A graph under construction.

    Attributes:
        choices: makes the decisions.
        opset: of the default domain.
        random: fills the tensors; only its seed is drawn, so that shrinking works on the structure.
        float_dtype: the floating-point type of this graph's inputs.
        values: what later nodes may read.
        unread: results that are outputs and nothing else.
    """

    choices: Choices
    opset: int
    random: np.random.Generator
    float_dtype: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    unread: list[Value] = field(default_factory=list)
    _names: int = 0

    def integer(self, low: int, high: int) -> int:
        return self.choices.integer(low, high)

    def flag(self) -> bool:
        return self.choices.flag()

    def choose(self, options: Sequence[T]) -> T:
        return self.choices.choose(options)

    def shape(self, low: int = 0, high: int = 5, most: int = MOST_ELEMENTS) -> tuple[int, ...]:
        """A shape of `low` to `high` dimensions and at most `most` elements."""
        dims = [self.choices.dimension() for _ in range(self.integer(low, high))]
        while math.prod(dims) > most:
            dims[dims.index(max(dims))] = max(dims) // 2
        return tuple(dims)

    def axis(self, rank: int) -> int:
        """An axis of a tensor of that rank, negative half of the time."""
        axis = self.integer(0, rank - 1)
        return axis - rank if self.flag() else axis

    def fresh_name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    # Tensors.

    def fill(self, shape: tuple[int, ...], dtype: str, low: float, high: float) -> np.ndarray:
        """Uniform numbers; half of the float tensors lie on quarters, which makes ties and halves frequent."""
        if dtype == "bool":
            return np.asarray(self.random.random(shape) < 0.5)
        if dtype not in FLOATS:
            return self.random.integers(int(low), int(high), size=shape, endpoint=True).astype(dtype)
        data = self.random.uniform(low, high, size=shape)
        if self.flag() and high - low >= 1:
            data = np.clip(np.round(data * 4) / 4, low, high)
        return np.asarray(data, dtype)

    def range_of(self, dtype: str, low: float | None, high: float | None) -> tuple[float, float]:
        default = DEFAULT_RANGE.get(dtype, (-2.0, 2.0))
        return default[0] if low is None else low, default[1] if high is None else high

    def input(self, shape: tuple[int, ...], dtype: str, low: float | None = None, high: float | None = None) -> Value:
        """A new input of the graph."""
        low, high = self.range_of(dtype, low, high)
        value = Value(self.fresh_name("input"), shape, dtype, low, high)
        self.inputs[value.name] = self.fill(shape, dtype, low, high)
        self.values.append(value)
        return value

    def weight(self, shape: tuple[int, ...], dtype: str, low: float | None = None, high: float | None = None) -> Value:
        """A constant with random content: an initializer in raw or in typed form, or a Constant node."""
        low, high = self.range_of(dtype, low, high)
        return self.constant(self.fill(shape, dtype, low, high), low, high)

    def constant(self, array: np.ndarray, low: float | None = None, high: float | None = None) -> Value:
        """A constant with the content given."""
        name = self.fresh_name("weight")
        tensor = numpy_helper.from_array(array, name)
        form = self.integer(0, 2)
        if form == 1 and array.dtype.name in ("float32", "int64"):
            tensor = helper.make_tensor(name, tensor.data_type, array.shape, array.ravel().tolist())
        if form == 2:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        low = float(array.min()) if low is None else low
        high = float(array.max()) if high is None else high
        return Value(name, array.shape, array.dtype.name, low, high)

    def integers(self, numbers: Sequence[int]) -> Value:
        """A constant int64 vector: axes, sizes, pads."""
        return self.constant(np.asarray(numbers, np.int64), 0, 0)

    def parameter(
        self, shape: tuple[int, ...], dtype: str, low: float | None = None, high: float | None = None
    ) -> Value:
        """Mostly a constant, now and then an input: weights that are not known when the model is compiled."""
        return self.weight(shape, dtype, low, high) if self.integer(0, 4) else self.input(shape, dtype, low, high)

    def pick(
        self,
        dtypes: Sequence[str] = (),
        ranks: tuple[int, int] = (0, 5),
        exact: bool = False,
        magnitude: float = math.inf,
        fits: Callable[[Value], bool] = lambda value: True,
        adapt: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape,
        most: int = MOST_ELEMENTS,
    ) -> Value:
        """An earlier value that fits, recent ones first when shrunk; else a new input.

        Args:
            dtypes: those allowed; the graph's floating-point type where empty.
            exact: only values that every right implementation computes with the same bits.
            fits: what else is asked of a value.
            adapt: makes the shape of a new input one that `fits`.
        """
        dtypes = dtypes or (self.float_dtype,)
        candidates = [
            value
            for value in reversed(self.values)
            if value.dtype in dtypes
            and ranks[0] <= value.rank <= ranks[1]
            and (value.is_exact or not exact)
            and value.is_usable
            and value.magnitude <= magnitude
            and value.size <= most
            and fits(value)
        ]
        may_add = len(self.inputs) < MOST_INPUTS or not candidates
        choice = self.integer(0, len(candidates) - (0 if may_add else 1))
        if choice < len(candidates):
            return candidates[choice]
        dtype = self.float_dtype if self.float_dtype in dtypes else self.choose(dtypes)
        low, high = self.range_of(dtype, None, None)
        value = Value("", adapt(self.shape(*ranks, most=most)), dtype, max(low, -magnitude), min(high, magnitude))
        assert fits(value), f"the adapted shape {value.shape} does not fit"
        return self.input(value.shape, dtype, value.low, value.high)

    # Nodes.

    def node(
        self, op_type: str, inputs: Sequence[Value | None], outputs: Sequence[Value], **attributes: object
    ) -> list[Value]:
        """Appends a node; each output is a `Value` whose name is still empty. None stands for an input left out."""
        named = [Value(self.fresh_name("value"), out.shape, out.dtype, out.low, out.high, out.error) for out in outputs]
        names = [value.name if value else "" for value in inputs]
        while names and not names[-1]:
            names.pop()
        self.nodes.append(helper.make_node(op_type, names, [value.name for value in named], **attributes))
        self.values += named
        return named


def like(value: Value, **changes: object) -> Value:
    """A copy without a name."""
    facts = {key: getattr(value, key) for key in ("shape", "dtype", "low", "high", "error")}
    return Value("", **{**facts, **changes})
