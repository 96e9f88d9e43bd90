"""The layers of a model that can be factorised, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.recipe import OPERATORS
from edgecompile.compress.lowrank.shape import LayerShape, Pair

if TYPE_CHECKING:
    import numpy as np
    from tvm import relax

    from edgecompile.compress.activations.product import Product
    from edgecompile.frontend.model import Model


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution or matrix product.

    Attributes:
        name: of its variable.
        operator: of Relax, without its prefix.
        product: with its weight; None where it cannot be factorised.
        reason: why it cannot; "" where it can.
    """

    name: str
    operator: str
    product: Product | None
    reason: str

    @property
    def shape(self) -> LayerShape:
        """Of one that can be factorised."""
        assert self.product is not None
        return shape_of(self.product)

    @property
    def weight(self) -> np.ndarray:
        """float32 `[outputs, inputs, KH, KW]`, of one that can be factorised."""
        assert self.product is not None
        weight = self.product.weight
        return weight if self.product.is_convolution else weight.T[:, :, None, None]


def weighted_layers(model: Model) -> list[WeightedLayer]:
    """All convolutions and matrix products of a simplified model, in order of execution."""
    import tvm
    from tvm import relax

    from edgecompile.compress.activations.product import products_of

    main = model.module["main"]
    if not isinstance(main.body, relax.SeqExpr) or len(main.body.blocks) != 1:
        return []
    calls = [
        (binding.var.name, binding.value)
        for binding in main.body.blocks[0].bindings
        if isinstance(binding.value, relax.Call) and isinstance(binding.value.op, tvm.ir.Op)
    ]
    found = [(name, call) for name, call in calls if _operator(call) in OPERATORS]
    products = {product.name: product for product in products_of(main, {name for name, _ in found})}
    readers = Counter(
        argument.value.data_ptr()
        for _, call in calls
        for argument in call.args
        if isinstance(argument, tvm.ir.GenericConst)
    )
    layers = []
    for name, call in found:
        product = products.get(name)
        reason = _why_not(call, product, readers)
        layers.append(WeightedLayer(name, _operator(call), product if not reason else None, reason))
    return layers


def shape_of(product: Product) -> LayerShape:
    """The sizes of a product without groups."""
    if not product.is_convolution:
        inputs, outputs = product.weight.shape
        rows = 1
        for extent in _static(product.call.ty)[:-1]:
            rows *= extent
        return LayerShape(outputs, inputs, images=rows)
    outputs, inputs, height, width = product.weight.shape
    attributes = product.call.attrs
    images, _, *result = _static(product.call.ty)
    top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
    return LayerShape(
        outputs=outputs,
        inputs=inputs,
        kernel=(height, width),
        strides=_pair(attributes.strides),
        padding=(top, left, bottom, right),
        dilation=_pair(attributes.dilation),
        source=_pair(_static(product.call.args[0].ty)[2:]),
        result=_pair(result),
        images=images,
    )


def _why_not(call: relax.Call, product: Product | None, readers: Counter[int]) -> str:
    import numpy as np

    if _operator(call) == "nn.conv2d" and int(call.attrs.groups) != 1:
        return f"a convolution of {int(call.attrs.groups)} groups is small already: its factors would mix the groups"
    if product is None:
        return "it has no constant float32 weight, a matrix of matmul or OIHW of conv2d"
    if not np.isfinite(product.weight).all():
        return "its weight has NaN or infinite values"
    if not product.weight.any():
        return "its weight is all zero"
    if readers[call.args[1].value.data_ptr()] > 1:
        return "its weight is shared with another layer: both would have factors of their own"
    return ""


def _operator(call: relax.Call) -> str:
    return str(call.op.name).removeprefix("relax.")


def _static(type_: relax.TensorType) -> list[int]:
    """The extents; 1 for one that is known at run time only."""
    from tvm import tirx

    return [int(extent) if isinstance(extent, tirx.IntImm) else 1 for extent in type_.shape.values]


def _pair(numbers: Sequence[object]) -> Pair:
    height, width = (int(number) for number in numbers)  # type: ignore[call-overload]  # of TVM's own integer types
    return height, width
