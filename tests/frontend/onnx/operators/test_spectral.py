"""DFT, STFT, MelWeightMatrix and windows."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

RNG = np.random.default_rng(0)
# sums over up to 12 products of size 1 in float32
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("length", [None, 9, 4])
@pytest.mark.parametrize("inverse", [0, 1])
def test_dft_against_numpy(parts: int, length: int | None, inverse: int) -> None:
    x = normal(2, 6, 3, parts)
    inputs = {"x": x, "n": None if length is None else np.array(length), "axis": np.array(1)}
    signal = x[..., 0] if parts == 1 else x[..., 0] + 1j * x[..., 1]
    spectrum = (np.fft.ifft if inverse else np.fft.fft)(signal, n=length, axis=1)
    expected = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)
    proto = make_model("DFT", inputs, opset=20, inverse=inverse)
    freeze = ("n", "axis") if length else ("axis",)
    check_model(proto, inputs, freeze=freeze, expected=[expected], **TOLERANCE)


@pytest.mark.parametrize("length", [7, 8])
def test_onesided_dft_and_its_inverse(length: int) -> None:
    x = normal(3, length, 1)
    half = np.fft.rfft(x[..., 0])
    spectrum = np.stack([half.real, half.imag], axis=-1).astype(np.float32)
    check_model(make_model("DFT", {"x": x}, opset=20, onesided=1), {"x": x}, expected=[spectrum], **TOLERANCE)
    inputs = {"x": spectrum, "n": np.array(length)}
    proto = make_model("DFT", inputs, opset=20, onesided=1, inverse=1)
    check_model(proto, inputs, freeze=("n",), expected=[x], **TOLERANCE)


def test_dft_with_the_axis_as_attribute() -> None:
    x = normal(2, 5, 4, 2)
    check_model(make_model("DFT", {"x": x}, opset=17, axis=2), {"x": x}, **TOLERANCE)


@pytest.mark.parametrize(("window", "onesided"), [(False, 1), (True, 0), (True, 1)])
def test_stft(window: bool, onesided: int) -> None:
    inputs = {
        "x": normal(2, 23, 1),
        "step": np.array(3),
        "window": np.hanning(8).astype(np.float32) if window else None,
        "length": np.array(8),
    }
    proto = make_model("STFT", inputs, onesided=onesided)
    check_model(proto, inputs, freeze=("step", "length"), **TOLERANCE)


def test_a_huge_transform_is_refused() -> None:
    inputs = {"x": normal(1, 6, 1), "n": np.array(2**40)}
    with pytest.raises(
        UnsupportedModelError, match="a matrix of at most 8388608 entries can be compiled, found 1099511627776 points"
    ):
        load_onnx(make_model("DFT", inputs, opset=20), freeze={"n": inputs["n"]})


def test_the_axis_of_the_parts_is_refused() -> None:
    inputs = {"x": normal(1, 6, 1), "n": None, "axis": np.array(2)}
    with pytest.raises(InvalidModelError, match="the axis must not be the last one"):
        load_onnx(make_model("DFT", inputs, opset=20), freeze={"axis": inputs["axis"]})


def test_mel_weights_are_a_constant() -> None:
    values = {"bins": 8, "length": 32, "rate": 8192}
    inputs: dict[str, np.ndarray | None] = {name: np.array(value) for name, value in values.items()}
    inputs.update(low=np.array(0.0, np.float32), high=np.array(4096.0, np.float32))
    model = check_model(make_model("MelWeightMatrix", inputs), inputs, freeze=tuple(inputs))
    assert model.inputs == ()
