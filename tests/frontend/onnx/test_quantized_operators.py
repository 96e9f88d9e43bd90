"""QDQ models of ONNX Runtime's quantizer with operators behind convolutions: fused to integers, with its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecompile.frontend.onnx import load_onnx
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code
from tests.frontend.onnx import quantized_networks as networks
from tests.frontend.onnx.test_quantized_models import Bound, check_steps, name_of

IMAGE = (2, 3, 9, 12)
# Multipliers of 15 bits and halves away from zero: see `test_quantized_models`.
FUSED = Bound(steps=1, share=0.02)
# Sums over 4 and 6 pixels at borders, and weights of a quarter or a half, often lie between two steps exactly.
AVERAGES, LINEAR = Bound(steps=1, share=0.05), Bound(steps=1, share=0.2)


def squeeze_and_excite(g: networks.GraphWriter, x: str) -> str:
    mean = g.node("GlobalAveragePool", [x], "squeezed")
    gate = g.node("HardSigmoid", [g.node("Conv", [mean, g.weight("w9", 8, 8, 1, 1, fan_in=4)], "excited")], "gate")
    return g.node("Mul", [x, gate], "gated")


def resized(mode: str, coordinates: str) -> Callable[[networks.GraphWriter, str], str]:
    def build(g: networks.GraphWriter, x: str) -> str:
        scales = g.constant("scales", np.array([1, 1, 2, 2], np.float32))
        return g.node("Resize", [x, "", scales], "resized", mode=mode, coordinate_transformation_mode=coordinates)

    return build


def averaged(g: networks.GraphWriter, x: str) -> str:
    return g.node("AveragePool", [x], "averaged", kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def parts(g: networks.GraphWriter, x: str) -> str:
    g.nodes.append(networks.helper.make_node("Split", [x], ["first", "second"], name="split", axis=1, num_outputs=2))
    padded = g.node("Pad", ["second", g.constant("pads", np.array([0, 0, 1, 0, 0, 0, 0, 1]))], "padded")
    cut = [g.constant(name, np.array([n])) for name, n in (("from", 1), ("to", 99), ("axis", 2))]
    sliced = g.node(
        "Slice", [g.node("Tile", [padded, g.constant("times", np.array([1, 1, 1, 1]))], "tiled"), *cut], "cut"
    )
    wide = g.node("Pad", ["first", g.constant("more", np.array([0, 0, 0, 0, 0, 0, 0, 1]))], "wide")
    return g.node("Concat", [sliced, wide], "together", axis=1)


@pytest.mark.parametrize(
    ("build", "bound"),
    [
        (squeeze_and_excite, FUSED),
        (resized("linear", "half_pixel"), LINEAR),
        (resized("linear", "asymmetric"), LINEAR),
        (resized("nearest", "asymmetric"), FUSED),
        (averaged, AVERAGES),
        (parts, FUSED),
    ],
)
def test_operators_behind_a_convolution(
    build: Callable[[networks.GraphWriter, str], str], bound: Bound, tmp_path: Path
) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType

    g = networks.GraphWriter()
    x = g.node("Conv", ["x", g.weight("w1", 8, 3, 3, 3, fan_in=27), g.weight("b1", 8, fan_in=9)], "c1")
    proto = g.model(IMAGE, {build(g, x): ()})
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    path = networks.quantize_static(
        proto, tmp_path, IMAGE, quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8
    )
    decisions: list[object] = []
    module = eliminate_dead_code()(FuseIntegerOperators()(load_onnx(path).module, decisions), [])
    found = [name_of(binding.value) for binding in module["main"].body.blocks[0].bindings]
    assert found.count("quantize") == 1 and found.count("dequantize") == 1, found
    (inputs,) = networks.inputs_like(IMAGE, 1, seed=2)
    (expected,) = networks.exact_runner(path)(inputs)
    check_steps(build.__name__, run_reference(module, [inputs["x"]])[0], expected, bound)
