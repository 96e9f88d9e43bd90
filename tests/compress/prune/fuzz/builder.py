"""`Builder`: emits the layers of a random network, with weights that keep numbers near one."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tests.fuzz.choices import Choices
from tests.relax_models import constant


class Builder:
    """Layers over Relax's builder.

    Args:
        choices: what decides of sizes and options.
        generator: of weights.
    """

    def __init__(self, builder: relax.BlockBuilder, choices: Choices, generator: np.random.Generator) -> None:
        self._builder, self.choices, self._generator = builder, choices, generator

    def emit(self, value: relax.Expr) -> relax.Var:
        """A variable for a value."""
        return self._builder.emit(value)

    def weight(self, *shape: int, fan_in: int = 1) -> tvm.ir.GenericConst:
        """Normal numbers whose sum over `fan_in` of them is near one."""
        return constant((self._generator.standard_normal(shape) / max(fan_in, 1) ** 0.5).astype(np.float32))

    def positive(self, *shape: int) -> tvm.ir.GenericConst:
        """Numbers from 0.5 to 1.5."""
        return constant(self._generator.uniform(0.5, 1.5, shape).astype(np.float32))

    def channels(self) -> int:
        """How many a layer makes; even and odd, one as well."""
        return self.choices.choose((4, 6, 8, 3, 12, 1, 2))

    def conv(self, x: relax.Var, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> relax.Var:
        """A convolution with padding that keeps the size, and a bias at times."""
        inputs = extent(x, 1)
        weight = self.weight(outputs, inputs // groups, kernel, kernel, fan_in=inputs // groups * kernel**2)
        return self.convolved(x, weight, stride=stride, groups=groups)

    def convolved(self, x: relax.Var, weight: relax.Expr, *, stride: int = 1, groups: int = 1) -> relax.Var:
        """The same with a given weight [O, C / groups, K, K]."""
        outputs, _, kernel, _ = shape(weight)
        y = self.emit(relax.op.nn.conv2d(x, weight, stride, kernel // 2, 1, groups))
        return self.biased(y, (1, outputs, 1, 1)) if self.choices.flag() else y

    def biased(self, x: relax.Var, biases: tuple[int, ...]) -> relax.Var:
        """x + bias."""
        return self.emit(relax.op.add(x, self.weight(*biases)))

    def dense(self, x: relax.Var, outputs: int) -> relax.Var:
        """x W^T + b with W as PyTorch keeps it, or x W."""
        inputs = extent(x, -1)
        if self.choices.flag():
            return self.emit(relax.op.matmul(x, self.weight(inputs, outputs, fan_in=inputs)))
        weight = self.emit(relax.op.permute_dims(self.weight(outputs, inputs, fan_in=inputs)))
        return self.biased(self.emit(relax.op.matmul(x, weight)), (outputs,))

    def batch_norm(self, x: relax.Var) -> relax.Var:
        """Of channels."""
        count = extent(x, 1)
        statistics = (self.positive(count), self.weight(count), self.weight(count), self.positive(count))
        normalized = self.emit(relax.op.nn.batch_norm(x, *statistics, axis=1))
        return self.emit(relax.TupleGetItem(normalized, 0))

    def activation(self, x: relax.Var) -> relax.Var:
        """One that is zero at zero, or not."""
        functions = (relax.op.nn.relu, relax.op.nn.silu, relax.op.nn.gelu, relax.op.sigmoid)
        return self.emit(self.choices.choose(functions)(x))

    def reshape(self, x: relax.Var, *extents: Any) -> relax.Var:
        """To extents of which -1 is the first of x, known or not."""
        first = x.ty.shape.values[0]
        return self.emit(relax.op.reshape(x, [first if e == -1 else e for e in extents]))

    def permute(self, x: relax.Var, *axes: int) -> relax.Var:
        """To another order."""
        return self.emit(relax.op.permute_dims(x, list(axes)))


def shape(x: relax.Expr) -> tuple[Any, ...]:
    """The extents: integers, or a variable for what is known at run time."""
    return tuple(getattr(e, "value", e) for e in x.ty.shape.values)


def extent(x: relax.Expr, axis: int) -> int:
    """One that is known."""
    return int(shape(x)[axis])
