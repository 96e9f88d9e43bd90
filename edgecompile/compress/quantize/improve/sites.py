"""Places in a float network where each channel can be scaled without changing what the network computes.

`w2 @ relu(w1 @ x + b)` is `(w2 * s) @ relu((w1 / s) @ x + b / s)` for any positive scale of each channel. The upper
bound of a clip or relu6 scales like a bias, and becomes one number for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.graph.edit import UPPER_BOUND
from edgecompile.compress.graph.uses import Uses

# f(s * x) = s * f(x) for s > 0, channel by channel.
_POINTWISE = ("nn.relu", "nn.leakyrelu")
_POOLINGS = ("nn.max_pool2d", "nn.avg_pool2d", "nn.adaptive_avg_pool2d")
_VIEWS = ("reshape", "squeeze", "flatten")
_NORMS = ("nn.layer_norm", "nn.rms_norm")

NO_WEIGHT = "it is no conv2d or matmul with a constant weight of float32"
"""Why a product that `find_sites` does not speak of is at no site."""


@dataclass(frozen=True)
class Slot:
    """A constant argument of a call, and where its channels are.

    Attributes:
        variable, argument: the call's variable, and the argument's position.
        split: the shape of the constant with the channels on axes of their own.
        axes: of the channels, in order: together they count the channels.
    """

    variable: relax.Var
    argument: int
    split: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def key(self) -> tuple[relax.Var, int]:
        """What finds its array."""
        return self.variable, self.argument

    def magnitudes(self, array: np.ndarray) -> np.ndarray:
        """The greatest magnitude of each channel, `[channels]`."""
        others = tuple(axis for axis in range(len(self.split)) if axis not in self.axes)
        return np.abs(array.reshape(self.split)).max(axis=others, initial=0.0).reshape(-1)

    def scaled(self, array: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """The array with each channel times its factor, `[channels]`."""
        shape = [extent if axis in self.axes else 1 for axis, extent in enumerate(self.split)]
        return (array.reshape(self.split) * factors.reshape(shape)).reshape(array.shape)


@dataclass(frozen=True)
class Site:
    """A tensor whose channels can be divided by positive numbers.

    Attributes:
        producer: the product or norm that it begins at.
        is_norm: True where that is a norm.
        is_shared: True for a norm whose result others read too, who need it as it is.
        readers: the products that it ends at.
        activation: the name of the tensor that they read.
        channels: how many.
        written: the constants that are divided: the producer's weight first, then biases.
        read: the weights that are multiplied, of each reader.
    """

    producer: relax.Var
    is_norm: bool
    is_shared: bool
    readers: tuple[relax.Var, ...]
    activation: str
    channels: int
    written: tuple[Slot, ...]
    read: tuple[Slot, ...]


Constants = dict[tuple[relax.Var, int], np.ndarray]


def find_sites(main: relax.Function) -> tuple[list[Site], dict[str, str], Constants]:
    """The sites in order, why a product's input is at none of them, and the constants by slot.

    A bias of one number for all channels is written out in the constants.

    Returns:
        sites; by the name of a product, the reason; float32 arrays by `Slot.key`.
    """
    search = _Search(main)
    return search.sites, search.reasons, search.constants


def scale(site: Site, constants: Constants, factors: np.ndarray) -> None:
    """Divide what is written by the factors, `[channels]`, and multiply what is read, in place of the old arrays."""
    for slot in site.written:
        constants[slot.key] = slot.scaled(constants[slot.key], 1 / factors)
    for slot in site.read:
        constants[slot.key] = slot.scaled(constants[slot.key], factors)


class _Search:
    def __init__(self, main: relax.Function) -> None:
        self._uses = Uses(main)
        self.sites: list[Site] = []
        self.reasons: dict[str, str] = {}
        self.constants: Constants = {}
        self._stopped: dict[relax.Var, str] = {}  # by each tensor on the way from a producer
        products = [variable for variable in self._uses.variables if self._has_weight(variable)]
        for variable in self._uses.variables:
            if variable in products or self._uses.operator(variable) in _NORMS:
                self._follow(variable)
        reached = {product for site in self.sites for product in site.readers}
        self.reasons = {product.name: self._why_not(product) for product in products if product not in reached}

    def _has_weight(self, variable: relax.Var) -> bool:
        """True for a product of a float32 tensor and a constant."""
        call = self._uses.call(variable)
        if call is None or self._uses.operator(variable) not in ("nn.conv2d", "matmul"):
            return False
        x, weight = call.args
        if not isinstance(x, relax.Var) or _float32(weight) is None or str(call.ty.dtype) != "float32":
            return False
        if self._uses.operator(variable) == "matmul":
            return len(weight.value.shape) == 2
        return (str(call.attrs.data_layout), str(call.attrs.kernel_layout)) == ("NCHW", "OIHW")

    def _follow(self, producer: relax.Var) -> None:
        """Add the site that begins at a product or a norm, or say why there is none."""
        is_norm = self._uses.operator(producer) in _NORMS
        written = self._norm_slots(producer) if is_norm else [self._output_slot(producer)]
        if written is None:
            self._stopped[producer] = f"{producer.name} has no constant gamma and beta of its last axis"
            return
        channels = int(np.prod([written[0].split[axis] for axis in written[0].axes]))
        passed = [producer]
        while True:
            end = passed[-1]
            readers = self._uses.readers(end)
            products = tuple(reader for reader in readers if reader is not None and self._reads(reader, end))
            others = [reader for reader in readers if reader not in products]
            is_shared = is_norm and end.same_as(producer) and bool(others) and bool(products)
            if not others or is_shared:
                read = tuple(self._input_slot(product, channels) for product in products)
                site = Site(producer, is_norm, is_shared, products, end.name, channels, tuple(written), read)
                self.sites.append(site)
                return
            following = self._uses.only_reader(end)
            if following is None or not self._passes(following, end, channels, written):
                reader = others[0]
                name = f"{self._uses.operator(reader)} {reader.name}" if reader is not None else "the model's result"
                self._stopped |= dict.fromkeys(passed, f"{end.name} is read by {name}, which does not scale with it")
                return
            passed.append(following)

    def _reads(self, reader: relax.Var, variable: relax.Var) -> bool:
        call = self._uses.call(reader)
        return self._has_weight(reader) and call is not None and call.args[0].same_as(variable)

    def _why_not(self, product: relax.Var) -> str:
        """Why nothing before a product can be scaled."""
        call = self._uses.call(product)
        assert call is not None
        tensor = call.args[0]
        operator = self._uses.operator(tensor) or "an input"
        return self._stopped.get(tensor, f"{tensor.name} comes from {operator}, which has no weights to divide")

    def _passes(self, variable: relax.Var, source: relax.Var, channels: int, written: list[Slot]) -> bool:
        """True where the operator scales with its input, channel by channel; a bias or bound becomes one more slot."""
        call, operator = self._uses.call(variable), self._uses.operator(variable)
        if call is None:
            return False
        if operator in ("add", "minimum", "maximum"):
            position = 1 if call.args[0].same_as(source) else 0
            slot = self._bias_slot(variable, call.args[position], position, channels)
            if slot is not None:
                written.append(slot)
            return slot is not None
        if operator in _POINTWISE:
            return True
        if operator in ("clip", "nn.relu6"):
            bound = _upper_bound(call)
            if bound is None:
                return False
            self.constants[variable, UPPER_BOUND] = np.full(_vector_shape(variable, channels), bound, np.float32)
            written.append(Slot(variable, UPPER_BOUND, (channels,), (0,)))
            return True
        before, after = ([int(extent) for extent in x.ty.shape.values] for x in (source, variable))
        if len(before) != 4:
            return False
        if operator in _VIEWS:
            return len(after) == 2 and before[:2] == after and before[2:] == [1, 1]
        if operator == "mean":
            return sorted(int(axis) % 4 for axis in call.attrs.axis) == [2, 3]
        return operator in _POOLINGS

    def _bias_slot(self, variable: relax.Var, value: relax.Expr, position: int, channels: int) -> Slot | None:
        bias = _float32(value)
        shape = _vector_shape(variable, channels)
        rank = len(shape)
        if bias is None or bias.ndim > rank:
            return None
        padded = bias.reshape((1,) * (rank - bias.ndim) + bias.shape)
        if padded.shape != shape and padded.size != 1:
            return None
        written = np.array(np.broadcast_to(padded, shape))
        # As many dimensions as before where they hold the channels, so that nothing but numbers changes.
        self.constants[variable, position] = written.reshape(bias.shape if bias.size == channels else shape)
        return Slot(variable, position, (channels,), (0,))

    def _norm_slots(self, norm: relax.Var) -> list[Slot] | None:
        """Gamma and beta of a norm over the last axis."""
        call = self._uses.call(norm)
        assert call is not None
        rank = len(norm.ty.shape.values)
        parameters = [_float32(argument) for argument in call.args[1:]]
        if [int(axis) % rank for axis in call.attrs.axes] != [rank - 1]:
            return None
        slots = []
        for position, parameter in enumerate(parameters, 1):
            if parameter is None or parameter.ndim != 1:
                return None
            self.constants[norm, position] = parameter
            slots.append(Slot(norm, position, parameter.shape, (0,)))
        return slots

    def _output_slot(self, product: relax.Var) -> Slot:
        weight = self._keep_weight(product)
        if self._uses.operator(product) == "matmul":
            return Slot(product, 1, weight.shape, (1,))
        return Slot(product, 1, (weight.shape[0], weight[0].size), (0,))

    def _input_slot(self, product: relax.Var, channels: int) -> Slot:
        weight = self._keep_weight(product)
        if self._uses.operator(product) == "matmul":
            return Slot(product, 1, weight.shape, (0,))
        outputs, inner = weight.shape[:2]
        groups = channels // inner
        return Slot(product, 1, (groups, outputs // groups, inner, weight[0, 0].size), (0, 2))

    def _keep_weight(self, product: relax.Var) -> np.ndarray:
        call = self._uses.call(product)
        assert call is not None
        return self.constants.setdefault((product, 1), call.args[1].value.numpy())


def _vector_shape(variable: relax.Var, channels: int) -> tuple[int, ...]:
    """In which one number for each channel broadcasts over the tensor."""
    rank = len(variable.ty.shape.values)
    axis = 1 if rank == 4 else rank - 1
    return tuple(channels if index == axis else 1 for index in range(rank))


def _upper_bound(call: relax.Call) -> float | None:
    """Of a relu6, or a clip from zero on."""
    if call.op.name == "relax.nn.relu6":
        return 6.0
    low, high = (_number(bound) for bound in call.args[1:])
    return high if low == 0 and high > 0 and np.isfinite(high) else None


def _number(value: relax.Expr) -> float:
    """Of a bound of clip: a constant, or a prim value."""
    if isinstance(value, tvm.ir.GenericConst):
        return float(value.value.numpy())
    return float(getattr(value, "value", value))


def _float32(value: relax.Expr) -> np.ndarray | None:
    if not isinstance(value, tvm.ir.GenericConst):
        return None
    array = value.value.numpy()
    return array if array.dtype == np.float32 else None
