"""What a target takes that cannot run here: counted by the planner of layouts, in cycles."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.activations.product import products_of
from edgecompile.compress.measuring.estimate import estimated_cycles
from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.quantize.insert import ProductScheme, insert_quantization
from edgecompile.compress.quantize.table import TensorRange
from edgecompile.compress.quantize.weights import WeightForm, nearest
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.target import find_target
from tests.relax_models import constant, make_model

LAYERS = ("conv", "dense")
RANGES = {name: TensorRange(low=-4.0, high=4.0) for name in ("x", "conv")}


@pytest.fixture
def model() -> Model:
    """x [1, 32, 14, 14] -> conv 3x3 -> dense with a bias."""
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    matrix = rng.standard_normal((14, 24)).astype(np.float32)

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        conv = builder.emit(relax.op.nn.conv2d(x, constant(kernel), padding=1), name_hint="conv")
        dense = builder.emit(relax.op.matmul(conv, constant(matrix)), name_hint="dense")
        return builder.emit(relax.op.add(dense, constant(np.ones(24, np.float32))))

    specs = [TensorSpec("x", (1, 32, 14, 14), "float32")]
    return make_model(specs, body, [TensorSpec("y", (1, 32, 14, 24), "float32")])


def schemes(model: Model) -> dict[str, ProductScheme]:
    products = products_of(model.module["main"], LAYERS)
    blocks = {"conv": (32, 1, 1, 1), "dense": (1, 24)}
    return {found.name: ProductScheme(nearest(found.weight, WeightForm(blocks[found.name]))) for found in products}


@pytest.mark.parametrize("target", ["rpi4", "rpi5"])
def test_cycles_belong_to_layers(model: Model, target: str) -> None:
    device = find_target(target)
    quantized = insert_quantization(model.module, RANGES, schemes(model), [])
    plain, int8 = (estimated_cycles(module, device, LAYERS) for module in (model.module, quantized))
    assert set(LAYERS) <= plain.keys() & int8.keys()
    macs = 14 * 14 * 32 * 32 * 9
    for cycles, most_per_cycle in ((plain, 8), (int8, 64)):  # two FMAs of 4 lanes; two sdots of 16
        assert macs / (2.25 * most_per_cycle) <= cycles["conv"] < macs  # Winograd at best
    assert int8["conv"] < plain["conv"]


def test_a_workbench_for_a_board_compares_cycles(model: Model) -> None:
    with Workbench(model, LAYERS, find_target("rpi5"), {}, lambda phase: None) as bench:
        plain = bench.build("float", model.module)
        (cost,) = bench.compare([plain])
        assert bench.unit == "cycles"
        assert cost.median == plain.all_cycles >= sum(bench.layer_costs([plain])[0].values()) > 0
        assert cost.ratio == 1
        assert plain.artifact.manifest.target.name == "host", "answers come from this machine"
