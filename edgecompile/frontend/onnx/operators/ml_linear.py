"""The domain ai.onnx.ml without its trees: scalers, encoders, linear models; of numbers, for text stays in the app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx
from tvm.relax import op

from edgecompile.frontend.onnx.context import (
    Context,
    Inputs,
    Result,
    dtype_of,
    is_float,
    make_constant,
    rank_of,
    shape_of,
)
from edgecompile.frontend.onnx.emit import cast, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

DOMAIN = "ai.onnx.ml"


@operator("Binarizer", domain=DOMAIN)
def binarizer(context: Context, node: Node, inputs: Inputs) -> Result:
    """1 above `threshold`, else 0."""
    x = inputs[0]
    threshold = node.floating("threshold", 0.0)
    if not is_float(dtype_of(x)):  # integers above a fraction are those above its floor
        threshold = float(np.floor(threshold))
    return cast(context, context.emit(op.greater(x, scalar(threshold, dtype_of(x)))), dtype_of(x))


@operator("ArrayFeatureExtractor", domain=DOMAIN)
def array_feature_extractor(context: Context, node: Node, inputs: Inputs) -> Result:
    """Columns of the last axis at the positions Y."""
    x, positions = inputs[0], inputs[1]
    count = int(np.prod(context.require_static(node, positions)))
    taken = context.emit(op.take(x, reshape(context, positions, (count,)), axis=rank_of(x) - 1, mode="clip"))
    return reshape(context, taken, (1, count)) if rank_of(x) == 1 else taken


@operator("Scaler", domain=DOMAIN)
def scaler(context: Context, node: Node, inputs: Inputs) -> Result:
    """(x - offset) * scale as float32."""
    x = cast(context, inputs[0], "float32")
    offset = make_constant(np.array(node.floats("offset") or [0.0], np.float32))
    scale = make_constant(np.array(node.floats("scale") or [1.0], np.float32))
    return context.emit(op.multiply(op.subtract(x, offset), scale))


@operator("Normalizer", domain=DOMAIN)
def normalizer(context: Context, node: Node, inputs: Inputs) -> Result:
    """x over the largest, the sum of the absolute or the root of the squared entries of its row; zero rows stay."""
    x, norm = cast(context, inputs[0], "float32"), node.string("norm", "MAX")
    functions = {
        "MAX": lambda: op.max(x, -1, keepdims=True),
        "L1": lambda: op.sum(op.abs(x), -1, keepdims=True),
        "L2": lambda: op.sqrt(op.sum(op.multiply(x, x), -1, keepdims=True)),
    }
    if norm not in functions:
        raise node.invalid(f"norm must be MAX, L1 or L2, found {norm!r}")
    size = context.emit(functions[norm]())
    safe = op.where(op.equal(size, scalar(0, "float32")), scalar(1, "float32"), size)
    return context.emit(op.divide(x, safe))


@operator("Imputer", domain=DOMAIN)
def imputer(context: Context, node: Node, inputs: Inputs) -> Result:
    """The entries equal to the replaced value, which may be NaN, become the imputed values (one, or one per column)."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    kind = ("floats", "float") if is_float(dtype) else ("int64s", "int64")
    values: Sequence[Any] | None = (
        node.floats("imputed_value_floats") if is_float(dtype) else node.integers(f"imputed_value_{kind[0]}")
    )
    if not values:
        raise node.invalid(f"imputed_value_{kind[0]} was needed for an input of {dtype}")
    replaced = (
        node.floating("replaced_value_float", 0.0) if is_float(dtype) else node.integer("replaced_value_int64", 0)
    )
    missing = op.isnan(x) if replaced != replaced else op.equal(x, scalar(replaced, dtype))
    return context.emit(op.where(missing, make_constant(np.array(values, dtype)), x))


def _table(node: Node, role: str) -> np.ndarray | None:
    """Keys or values of a LabelEncoder as an array; None where it has none of numbers."""
    tensor = node.tensor(f"{role}_tensor")
    if tensor is not None:
        return tensor.reshape(-1)
    integers, floats = node.integers(f"{role}_int64s"), node.floats(f"{role}_floats")
    if integers is not None:
        return np.array(integers, np.int64)
    return None if floats is None else np.array(floats, np.float32)


@operator("LabelEncoder", domain=DOMAIN, since=2)
def label_encoder(context: Context, node: Node, inputs: Inputs) -> Result:
    """The value at the position of the key equal to x, NaN equal to NaN; a default where no key is."""
    x = inputs[0]
    keys, values = _table(node, "keys"), _table(node, "values")
    if keys is None or values is None or keys.dtype.kind not in "iuf" or values.dtype.kind not in "iuf":
        raise node.unsupported("keys and values of numbers were needed; map text in the app")
    if keys.size != values.size or keys.size == 0:
        raise node.invalid(f"as many keys as values were needed, found {keys.size} and {values.size}")
    given = node.tensor("default_tensor")
    default = given.reshape(-1)[0] if given is not None else values.dtype.type(
        node.integer("default_int64", -1) if values.dtype.kind in "iu" else node.floating("default_float", -0.0)
    )  # fmt: skip
    dtype, count = dtype_of(x), keys.size
    table = np.concatenate([values, [default]]).astype(values.dtype)

    def compute(data: te.Tensor, known: te.Tensor, results: te.Tensor) -> te.Tensor:
        k = te.reduce_axis((0, count), name="k")

        def same(left: Any, right: Any) -> Any:
            equal = left == right
            return tirx.any(equal, tirx.all(tirx.isnan(left), tirx.isnan(right))) if is_float(dtype) else equal

        place = te.compute(
            data.shape,
            lambda *i: te.min(tirx.Select(same(data(*i), known(k)), k, tirx.const(count, "int32")), axis=k),
            name="key_position",
        )
        return te.compute(data.shape, lambda *i: results(te.min(place(*i), tirx.const(count, "int32"))), name="label")

    return context.emit_te(compute, x, make_constant(keys.astype(dtype)), make_constant(table), name="label_encoder")


@operator("OneHotEncoder", domain=DOMAIN)
def one_hot_encoder(context: Context, node: Node, inputs: Inputs) -> Result:
    """[.., ] -> [.., categories] float32, 1 at the category equal to x; unknown values give zeros."""
    categories = node.integers("cats_int64s")
    if categories is None or node.integer("zeros", 1) != 1:
        raise node.unsupported("categories of integers and zeros=1 were needed; map text in the app")
    shape = context.require_static(node, inputs[0])
    column = reshape(context, cast(context, inputs[0], "int64"), (*shape, 1))
    return cast(context, context.emit(op.equal(column, make_constant(np.array(categories, np.int64)))), "float32")


@operator("FeatureVectorizer", domain=DOMAIN)
def feature_vectorizer(context: Context, node: Node, inputs: Inputs) -> Result:
    """The inputs [N, C] side by side as float32."""
    columns = []
    for value in inputs:
        shape = context.require_static(node, value)
        columns.append(cast(context, reshape(context, value, (1, shape[0]) if len(shape) == 1 else shape), "float32"))
    return context.emit(op.concat(columns, axis=1))


def post_transform(context: Context, scores: relax.Expr, kind: str) -> relax.Expr:
    """NONE, LOGISTIC, SOFTMAX or SOFTMAX_ZERO (a softmax over the entries other than 0) of the last axis."""
    if kind == "NONE":
        return scores
    if kind == "LOGISTIC":
        return context.emit(op.sigmoid(scores))
    if kind == "SOFTMAX":
        return context.emit(op.nn.softmax(scores, -1))
    if kind == "SOFTMAX_ZERO":
        zero = scalar(0, "float32")
        powers = context.emit(op.exp(op.subtract(scores, op.max(scores, -1, keepdims=True))))
        powers = context.emit(op.where(op.equal(scores, zero), zero, powers))
        total = context.emit(op.sum(powers, -1, keepdims=True))
        return context.emit(op.divide(powers, op.where(op.equal(total, zero), scalar(1, "float32"), total)))
    raise context.node.unsupported(
        f"post_transform NONE, LOGISTIC, SOFTMAX or SOFTMAX_ZERO can be compiled, found {kind}"
    )


def _linear(context: Context, node: Node, x: relax.Expr, targets: int) -> relax.Expr:
    features = shape_of(x)[-1]
    coefficients = np.array(node.floats("coefficients") or [], np.float32)
    if coefficients.size != targets * int(features):
        raise node.invalid(f"{targets} times {features} coefficients were needed, found {coefficients.size}")
    weight = make_constant(np.ascontiguousarray(coefficients.reshape(targets, -1).T))
    scores = context.emit(op.matmul(cast(context, x, "float32"), weight))
    intercepts = node.floats("intercepts")
    return context.emit(op.add(scores, make_constant(np.array(intercepts, np.float32)))) if intercepts else scores


@operator("LinearRegressor", domain=DOMAIN)
def linear_regressor(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C] -> [N, targets] float32."""
    scores = _linear(context, node, inputs[0], node.integer("targets", 1))
    return post_transform(context, scores, node.string("post_transform", "NONE"))


@operator("LinearClassifier", domain=DOMAIN)
def linear_classifier(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C] -> label [N] int64 of the largest score, scores [N, E]; each class needs coefficients of its own."""
    labels = node.integers("classlabels_ints")
    if labels is None:
        raise node.unsupported("class labels of integers were needed; map text in the app")
    scores = _linear(context, node, inputs[0], len(labels))
    return labels_of(context, scores, labels), post_transform(context, scores, node.string("post_transform", "NONE"))


def labels_of(context: Context, scores: relax.Expr, labels: Sequence[int]) -> relax.Expr:
    """The label at the first largest score of each row, int64."""
    best = context.convert_node("ArgMax", [scores], axis=1, keepdims=0)[0]
    return context.emit(op.take(make_constant(np.array(labels, np.int64)), best, axis=0, mode="clip"))
