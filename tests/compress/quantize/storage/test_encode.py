"""Weights -> codes: nearest values, odd weights, and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecompile.compress.quantize.scheme import LayerScheme, WeightScheme
from edgecompile.compress.quantize.storage.encode import encode
from edgecompile.compress.quantize.storage.sizes import encoded_bytes
from edgecompile.errors import InvalidRecipeError
from edgecompile.storage.runs import split
from edgecompile.storage.stored_weight import CodedWeight

SCHEMES = {
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8 per tensor": {"dtype": "int8", "granularity": "per_tensor"},
    "int8": {"dtype": "int8"},
    "int8 asymmetric": {"dtype": "int8", "symmetric": False},
    "int4": {"dtype": "int4"},
    "int4 in groups": {"dtype": "int4", "granularity": "per_group", "group_size": 3},
    "int4 in groups, asymmetric": {
        "dtype": "int4", "granularity": "per_group", "group_size": 3, "symmetric": False
    },
    "codebook": {"dtype": "int4", "method": "codebook"},
    "codebook per tensor": {"dtype": "int4", "method": "codebook", "granularity": "per_tensor"},
    "codebook of 3 bits": {"dtype": "int8", "method": "codebook", "bits": 3},
    "power_of_two": {"dtype": "int4", "method": "power_of_two"},
    "power_of_two of 8 bits": {"dtype": "int8", "method": "power_of_two"},
}  # fmt: skip
SHAPE = (5, 6, 3, 3)


def scheme(name: str) -> LayerScheme:
    return LayerScheme(weights=WeightScheme(**SCHEMES[name]))  # type: ignore[arg-type]


def weight() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", SCHEMES)
def test_bytes_are_known_before(name: str) -> None:
    assert encode("conv", "nn.conv2d", weight(), scheme(name)).nbytes == encoded_bytes("nn.conv2d", SHAPE, scheme(name))


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize(
    "values",
    ["zero", "constant", "positive", "negative", "small", "tiny", "large", "one channel of zeros", "one outlier"],
)
def test_odd_weights(name: str, values: str) -> None:
    """Finite numbers, zeros where there were zeros, and nothing beyond the coarsest step of a group."""
    exact = {
        "zero": np.zeros(SHAPE),
        "constant": np.full(SHAPE, 0.7),
        "positive": np.abs(weight()) + 1,
        "negative": -np.abs(weight()) - 1,
        "small": weight() * 1e-30,
        "tiny": weight() * 1e-44,
        "large": weight() * 1e4,
        "one channel of zeros": weight() * (np.arange(5) != 2)[:, None, None, None],
        "one outlier": np.where(np.arange(270).reshape(SHAPE) == 7, 1000, weight()),
    }[values].astype(np.float32)
    decoded = encode("conv", "nn.conv2d", exact, scheme(name)).decode()
    assert np.isfinite(decoded).all()
    largest = float(np.abs(exact).max())
    # Half of the least number: of float16, or of a scale in float32.
    least = 3e-8 if name == "float16" else 127 * 0.7e-45
    assert np.abs(decoded - exact).max() <= 0.51 * largest + least
    if values == "zero":
        np.testing.assert_array_equal(decoded, 0)
    if values == "constant":
        np.testing.assert_allclose(decoded, exact, rtol=4e-3)  # bfloat16 has 8 bits
    if values == "one channel of zeros" and "codebook" not in name:  # a codebook has no entry for it
        np.testing.assert_array_equal(decoded[2], 0)


@pytest.mark.parametrize(
    ("name", "blocks"), [("int8 per tensor", (1, 1, 1, 1)), ("int4", (5, 1, 1, 1)), ("int4 in groups", (5, 2, 1, 1))]
)
def test_symmetric_codes_are_the_nearest(name: str, blocks: tuple[int, ...]) -> None:
    stored = encode("conv", "nn.conv2d", weight(), scheme(name))
    assert isinstance(stored, CodedWeight)
    highest = (1 << (stored.bits - 1)) - 1
    largest = np.abs(split(weight(), blocks)).max(axis=(1, 3, 5, 7))
    np.testing.assert_array_equal(stored.scale, (largest.astype(np.float64) / highest).astype(np.float32))
    error = np.abs(split(stored.decode() - weight(), blocks)).max(axis=(1, 3, 5, 7))
    assert (error <= stored.scale / 2 * (1 + 1e-5)).all()


def test_asymmetric_codes_span_a_one_sided_range() -> None:
    exact = np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)
    one_sided = encode("conv", "nn.conv2d", exact, scheme("int8 asymmetric")).decode()
    both = encode("conv", "nn.conv2d", exact, scheme("int8")).decode()
    assert np.square(one_sided - exact).mean() < 0.3 * np.square(both - exact).mean()


def test_products_are_grouped_along_their_sums() -> None:
    matrix = np.ones((6, 4), np.float32)
    matrix[3:] = 100
    stored = encode("fc", "matmul", matrix, scheme("int4 in groups"))
    assert isinstance(stored, CodedWeight) and stored.scale.shape == (2, 4)
    np.testing.assert_allclose(stored.decode(), matrix, rtol=1e-6)
    vector = encode("fc", "matmul", np.arange(6, dtype=np.float32), scheme("int4 in groups"))
    assert isinstance(vector, CodedWeight) and vector.scale.shape == (2,)


def test_powers_of_two_are_what_is_stored() -> None:
    decoded = encode("conv", "nn.conv2d", weight(), scheme("power_of_two")).decode()
    for channel in decoded:
        magnitudes = np.unique(np.abs(channel[channel != 0]))
        np.testing.assert_allclose(np.log2(magnitudes / magnitudes[-1]) % 1, 0, atol=1e-6)
        assert len(magnitudes) <= 7


def test_powers_of_two_are_the_nearest() -> None:
    stored = encode("conv", "nn.conv2d", weight(), scheme("power_of_two"))
    assert isinstance(stored, CodedWeight) and stored.table is not None
    for channel, scale, decoded in zip(weight(), stored.scale, stored.decode(), strict=True):
        grid = (scale.reshape(()) * stored.table).astype(np.float64)
        best = np.abs(channel[..., None] - grid).min(axis=-1)
        np.testing.assert_allclose(np.abs(channel - decoded), best, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("float16", 65520.0, r"layer 'conv': float16 holds magnitudes up to 65504, found 65520; .* bfloat16"),
        ("float16", -1e30, "float16 holds magnitudes up to 65504, found 1e\\+30"),
        ("bfloat16", 3.4e38, "bfloat16 holds magnitudes up to 3.38953e\\+38, found 3.4e\\+38"),
        *itertools.product(SCHEMES, [np.nan], ["layer 'conv' has weights that are NaN or infinite"]),
        ("int8", -np.inf, "layer 'conv' has weights that are NaN or infinite"),
    ],
)
def test_what_cannot_be_stored(name: str, value: float, message: str) -> None:
    wrong = weight()
    wrong[1, 2, 0, 1] = value
    with pytest.raises(InvalidRecipeError, match=message):
        encode("conv", "nn.conv2d", wrong, scheme(name))


def test_float16_holds_its_largest() -> None:
    exact = np.array([65504, -65504, 6e-8, 1e-9], np.float32)
    np.testing.assert_array_equal(
        encode("fc", "matmul", exact, scheme("float16")).decode(), exact.astype(np.float16).astype(np.float32)
    )


@pytest.mark.parametrize("name", [name for name in SCHEMES if "float" not in name and "asymmetric" not in name])
def test_the_largest_floats_stay_finite(name: str) -> None:
    exact = weight() / np.abs(weight()).max() * np.float32(3.4e38)
    assert np.isfinite(encode("conv", "nn.conv2d", exact, scheme(name)).decode()).all()


def test_what_rounding_takes_beyond_float32_is_refused() -> None:
    exact = np.array([[3.4e38, -1.411e38, 0, 0, 0, 0]], np.float32).T
    with pytest.raises(
        InvalidRecipeError, match=r"layer 'fc': rounding takes weights of up to 3.4e\+38 beyond float32"
    ):
        encode("fc", "matmul", exact, scheme("int4 in groups, asymmetric"))


def test_seven_bits() -> None:
    narrow = scheme("int8").model_copy(update={"reduce_range": True})
    stored = encode("conv", "nn.conv2d", weight(), narrow)
    assert isinstance(stored, CodedWeight)
    assert (int(stored.codes.min()), int(stored.codes.max())) == (128 - 63, 128 + 63)
