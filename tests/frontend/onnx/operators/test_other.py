"""Optimizers, Det, Compress, BitCast, TensorScatter, and refusals of what depends on data or chance."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


TRAINING = {"domain": "ai.onnx.preview.training", "outputs": ["float32"] * 4}


@pytest.mark.parametrize("count", [0, 4])
@pytest.mark.parametrize("mode", ["standard", "nesterov"])
def test_momentum_of_two_tensors(count: int, mode: str) -> None:
    inputs = {"r": np.array(0.1, np.float32), "t": np.array(count)}
    inputs.update({f"{kind}{index}": normal(2 + index, 3) for kind in "xgv" for index in range(2)})
    proto = make_model("Momentum", inputs, **TRAINING, alpha=0.9, beta=0.7, norm_coefficient=0.01, mode=mode)
    check_model(proto, inputs)


@pytest.mark.parametrize("count", [0, 4])
def test_adam_and_adagrad(count: int) -> None:
    head = {"r": np.array(0.1, np.float32), "t": np.array(count)}
    states = {"x": normal(5), "g": normal(5), "v": normal(5), "h": np.abs(normal(5))}
    adam = make_model(
        "Adam", {**head, **states}, domain=TRAINING["domain"], outputs=["float32"] * 3, alpha=0.95, beta=0.8,
        norm_coefficient=0.01, norm_coefficient_post=0.05,
    )  # fmt: skip
    reference = load_onnx(adam).reference
    assert reference is not None
    expected = [
        array.astype(np.float32) for array in reference([*head.values(), *states.values()])
    ]  # in float64 for t > 0
    check_model(adam, {**head, **states}, expected=expected, rtol=1e-4)
    del states["v"]
    adagrad = make_model(
        "Adagrad", {**head, **states}, domain=TRAINING["domain"], outputs=["float32"] * 2, decay_factor=0.1
    )
    check_model(adagrad, {**head, **states})


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2, 3, 3), (5, 5)])
def test_det(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    check_model(make_model("Det", {"x": x}), {"x": x}, expected=[np.asarray(np.linalg.det(x))], rtol=1e-4, atol=1e-5)


def test_det_of_large_matrices_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="order 1 to 5 can be compiled, found 6 by 6"):
        load_onnx(make_model("Det", {"x": normal(6, 6)}))


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_compress_by_a_known_condition(axis: int | None) -> None:
    inputs = {"x": normal(3, 4), "c": np.array([True, False, True])}
    attributes = {} if axis is None else {"axis": axis}
    check_model(make_model("Compress", inputs, **attributes), inputs, freeze=("c",))
    with pytest.raises(UnsupportedModelError, match=r"input 1 \('c'\) must be known at import"):
        load_onnx(make_model("Compress", inputs, **attributes))


@pytest.mark.parametrize(
    ("have", "want"), [("float32", "int32"), ("int64", "float64"), ("uint16", "float16"), ("bool", "int8")]
)
def test_bit_cast(have: str, want: str) -> None:
    from onnx import helper

    x = np.array([0, 1, 1, 0, 1]).astype(have) if have == "bool" else (normal(5) * 1000).astype(have)
    proto = make_model(
        "BitCast", {"x": x}, outputs=[want], opset=26, to=helper.np_dtype_to_tensor_dtype(np.dtype(want))
    )
    check_model(proto, {"x": x}, expected=[x.view(want)], rtol=0, atol=0)


@pytest.mark.parametrize(("mode", "first"), [("linear", [0, 3]), ("circular", [4, 2]), ("linear", None)])
def test_tensor_scatter(mode: str, first: list[int] | None) -> None:
    cache, update = normal(2, 3, 5, 4), normal(2, 3, 2, 4)
    inputs = {"cache": cache, "update": update, "first": None if first is None else np.array(first)}
    expected = cache.copy()
    for batch, start in enumerate(first or [0, 0]):
        for step in range(2):
            expected[batch, :, (start + step) % 5] = update[batch, :, step]
    check_model(make_model("TensorScatter", inputs, opset=24, mode=mode), inputs, expected=[expected])


def test_an_update_larger_than_the_cache_is_refused() -> None:
    inputs = {"cache": normal(1, 2, 3), "update": normal(1, 4, 3)}
    with pytest.raises(InvalidModelError, match=r"an update of at most 2 entries .* found 4"):
        load_onnx(make_model("TensorScatter", inputs, opset=24))


@pytest.mark.parametrize("op_type", ["NonZero", "Unique"])
def test_results_of_unknown_size_are_refused(op_type: str) -> None:
    proto = make_model(op_type, {"x": normal(3)}, outputs=["int64" if op_type == "NonZero" else "float32"])
    with pytest.raises(UnsupportedModelError, match="the size of its result depends on the input's values"):
        load_onnx(proto)


def test_random_numbers_are_refused() -> None:
    proto = make_model("RandomNormalLike", {"x": normal(3)})
    with pytest.raises(UnsupportedModelError, match="it draws random numbers"):
        load_onnx(proto)
