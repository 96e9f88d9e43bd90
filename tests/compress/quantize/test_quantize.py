"""int8 from recipe to artifact: accuracy, the same bits on every device, tables that people edit, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edgecompile as ec
from edgecompile.compress.quantize import calibrate
from edgecompile.errors import InvalidCalibrationError, InvalidInputError
from edgecompile.frontend.model import Model
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code
from edgecompile.passes.simplify_model import simplify_model
from edgecompile.zoo.digits import accuracy, calibration, load_digits

NETWORKS = ("digits_resnet", "digits_mobilenet")


@pytest.fixture(scope="module")
def networks() -> dict[str, Model]:
    return {name: ec.load(f"zoo:{name}") for name in NETWORKS}


@pytest.fixture(scope="module")
def quantized(networks: dict[str, Model]) -> dict[str, Model]:
    return {name: ec.compress(model, "int8", calibration(200)) for name, model in networks.items()}


def operators(model: Model) -> set[str]:
    return {layer.operator for layer in model.layers}


def expected(model: Model, image: np.ndarray) -> np.ndarray:
    """What integer arithmetic in NumPy answers."""
    module = FuseIntegerOperators()(model.module, [])
    return run_reference(eliminate_dead_code()(module, []), [image])[0]


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy_and_bits(name: str, networks: dict[str, Model], quantized: dict[str, Model], tmp_path: Path) -> None:
    """At most 0.3 points lost on the whole test split, and every answer that of the reference."""
    plain = ec.compile(networks[name], out=tmp_path / "plain")
    small = ec.compile(quantized[name], out=tmp_path / "small")
    assert accuracy(lambda x: small.run(x)[0]) >= accuracy(lambda x: plain.run(x)[0]) - 0.003
    for image in load_digits().test_images[:20]:
        np.testing.assert_array_equal(small.run(image[None])[0], expected(quantized[name], image[None]))
    assert quantized[name].weight_bytes <= 0.31 * networks[name].weight_bytes
    assert small.verify().ok


def test_the_same_bits_on_an_emulated_board(quantized: dict[str, Model], tmp_path: Path) -> None:
    images = load_digits().test_images[:3]
    ec.compile(quantized["digits_mobilenet"], "rpi5", out=tmp_path / "board")
    with ec.open(tmp_path / "board", emulate=True) as board:
        for image in images:
            found = board.run(image[None])[0]
            np.testing.assert_array_equal(found, expected(quantized["digits_mobilenet"], image[None]))


def test_edited_table_keeps_a_layer_float(networks: dict[str, Model], tmp_path: Path) -> None:
    model = networks["digits_resnet"]
    table = calibrate(simplify_model(model), calibration(8), observer="min_max")
    path = tmp_path / "table.json"
    document = json.loads(table.encode())
    products = [layer.name for layer in simplify_model(model).layers if layer.operator == "nn.conv2d"]
    everything = ec.compress(model, "int8", table=_written(path, document))
    kept = {decision.subject for decision in everything.history[-1].decisions if decision.kept}
    assert set(products) <= kept
    del document["tensors"]["x"]
    first = ec.compress(model, "int8", table=_written(path, document))
    refused = {d.subject: d.reason for d in first.history[-1].decisions if not d.kept}
    assert refused == {products[0]: "the table has no range for x"}


def _written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_table_of_another_model(networks: dict[str, Model], tmp_path: Path) -> None:
    table = calibrate(simplify_model(networks["digits_resnet"]), calibration(2), observer="min_max")
    path = tmp_path / "table.json"
    path.write_bytes(table.encode())
    with pytest.raises(InvalidCalibrationError):
        ec.compress(networks["digits_mobilenet"], "int8", table=path)


def test_layers_that_are_skipped_stay_float(networks: dict[str, Model]) -> None:
    model = ec.compress(networks["digits_resnet"], "int8,skip=stem_*", calibration(4))
    reasons = {d.subject: d.reason for d in model.history[-1].decisions if not d.kept}
    assert reasons == {"stem_0": "the recipe leaves it float"}
    assert "quantize" in operators(model)


def test_seven_bits(networks: dict[str, Model]) -> None:
    model = ec.compress(networks["digits_mobilenet"], "int8,reduce_range", calibration(4))
    import tvm
    from tvm_ffi.structural import structural_walk

    found: list[np.ndarray] = []

    def visit(constant: tvm.ir.GenericConst) -> None:
        if str(constant.ty.dtype) == "int8" and constant.value.numpy().ndim > 1:
            found.append(constant.value.numpy())

    structural_walk(model.module["main"].body, (tvm.ir.GenericConst, visit))
    assert found and max(np.abs(array.astype(int)).max() for array in found) == 63


def test_no_data(networks: dict[str, Model]) -> None:
    with pytest.raises(InvalidInputError, match="needs calibration data or a table, found neither"):
        ec.compress(networks["digits_resnet"], "int8")
