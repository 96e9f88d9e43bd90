"""Calibration from the model and the data to the tables."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.compress.quantize import calibrate, calibrate_each
from edgecompile.compress.quantize.observe import observe
from edgecompile.compress.quantize.observers import Entropy, Histogram, MinMax, MovingAverage, Percentile
from edgecompile.compress.quantize.table import CalibrationTable, decode
from edgecompile.errors import InvalidCalibrationError, InvalidModelError, UnsupportedModelError
from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model, run_virtual_machine

X = TensorSpec("x", (1, 3, 8, 8), "float32")
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((5, 3, 3, 3)).astype(np.float32)
WEIGHTS = RNG.standard_normal((5, 4)).astype(np.float32)


def small_network() -> Model:
    """A convolution, ReLU, a join of two paths, a view and a product whose weights are transposed on the way."""

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        stem = b.emit(relax.op.nn.conv2d(x, constant(KERNEL)), name_hint="stem")
        active = b.emit(relax.op.nn.relu(stem), name_hint="active")
        joined = b.emit(relax.op.concat([active, stem], axis=1), name_hint="joined")
        pooled = b.emit(relax.op.mean(joined, [2, 3]), name_hint="pooled")
        view = b.emit(relax.op.reshape(pooled, (2, 5)), name_hint="view")
        weights = b.emit(relax.op.permute_dims(constant(np.ascontiguousarray(WEIGHTS.T))), name_hint="weights")
        return b.emit(relax.op.matmul(view, weights), name_hint="logits")

    return make_model([X], body, [TensorSpec("out", (2, 4), "float32")])


def tensors_by_tvm(samples: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the network's tensors are, one row per sample, by TVM's own lowering of the part up to the join."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("x", "stem", "active", "joined", "pooled", "logits")}
    conv = make_model(
        [X], lambda b, x: b.emit(relax.op.nn.conv2d(x, constant(KERNEL))), [TensorSpec("y", (1, 5, 6, 6), "float32")]
    )
    for x in samples:
        stem = run_virtual_machine(conv.module, x)[0]
        joined = np.concatenate([np.maximum(stem, 0), stem], axis=1)
        pooled = joined.mean((2, 3))
        values = (x, stem, np.maximum(stem, 0), joined, pooled, pooled.reshape(2, 5) @ WEIGHTS)
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: np.stack(values) for name, values in found.items()}


@pytest.fixture(scope="module")
def network() -> Model:
    return small_network()


@pytest.fixture(scope="module")
def samples() -> list[np.ndarray]:
    return list(np.random.default_rng(1).standard_normal((6, *X.shape)).astype(np.float32))


@pytest.fixture(scope="module")
def table(network: Model, samples: list[np.ndarray]) -> CalibrationTable:
    return calibrate(network, samples, observer="min_max", channels=True)


@pytest.fixture(scope="module")
def tiny() -> Model:
    """One operator, to compile it often."""
    spec = TensorSpec("x", (1, 3), "float32")
    return make_model([spec], lambda b, x: b.emit(relax.op.nn.relu(x), name_hint="positive"), [spec])


def test_every_tensor_that_depends_on_the_input(table: CalibrationTable, network: Model) -> None:
    """The transposed weights do not, and are no entry; `gv` is another name of the logits."""
    assert list(table.tensors) == ["x", "stem", "active", "joined", "pooled", "view", "logits", "gv"]
    assert (table.model, table.observer, table.samples) == ("net", "min_max", 6)
    table.check(network)
    assert decode(table.encode()).encode() == table.encode()


def test_ranges_agree_with_tvm(table: CalibrationTable, samples: list[np.ndarray]) -> None:
    for name, values in tensors_by_tvm(samples).items():
        found = table.tensors[name]
        expected = (min(values.min(), 0), max(values.max(), 0))
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-5, abs=1e-6), name  # sums of 27 terms
    assert table.tensors["view"].range == table.tensors["pooled"].range


def test_channels_agree_with_tvm(table: CalibrationTable, samples: list[np.ndarray]) -> None:
    expected = tensors_by_tvm(samples)
    stem, logits = table.tensors["stem"].channel_absmax, table.tensors["logits"].channel_absmax
    assert stem == pytest.approx(np.abs(expected["stem"]).max((0, 1, 3, 4)), rel=1e-5)
    assert logits == pytest.approx(np.abs(expected["logits"]).max((0, 1)), rel=1e-5)


def test_one_pass_gives_what_each_observer_alone_gives(network: Model, samples: list[np.ndarray]) -> None:
    observers = ("min_max", Entropy(), MovingAverage(0.3), "percentile", Percentile(99), "mse")
    together = calibrate_each(network, iter(samples), observers=observers)
    assert [table.observer for table in together] == [
        "min_max", "entropy", "moving_average(0.3)", "percentile(99.99)", "percentile(99)", "mse",
    ]  # fmt: skip
    alone = calibrate(network, samples, observer=observers[1])
    assert together[1].encode() == alone.encode()


def test_histograms_can_be_had(network: Model, samples: list[np.ndarray]) -> None:
    observations = observe(network, samples, observers=[Entropy(), MinMax()])
    histogram = observations.tensors["stem"].statistic(Entropy())
    assert isinstance(histogram, Histogram)
    assert histogram.total == 6 * 5 * 6 * 6 == histogram.counts.sum()


@pytest.mark.parametrize("fill", [0, 3, -3])
def test_constant_data(network: Model, fill: float) -> None:
    tables = calibrate_each(network, [np.full(X.shape, fill, np.float32)] * 2, observers=("min_max", "entropy", "mse"))
    for table in tables:
        found = table.tensors["x"]
        assert (found.low, found.high) == pytest.approx((min(fill, 0), max(fill, 0)), rel=1e-6)
        assert len(table.tensors) == 8
        if fill == 0:
            assert all((entry.low, entry.high) == (0, 0) for entry in table.tensors.values())


def test_the_number_of_samples(tiny: Model) -> None:
    def endless() -> Any:
        while True:
            yield np.ones((1, 3))

    assert calibrate(tiny, endless(), samples=3).samples == 3
    assert calibrate(tiny, [np.ones((1, 3))] * 6, samples=100).samples == 6
    with pytest.raises(InvalidCalibrationError, match="calibration needs 1 sample or more, found samples=0"):
        calibrate(tiny, endless(), samples=0)


def test_progress(tiny: Model) -> None:
    samples = [np.ones((1, 3))] * 6

    def counted(data: Any, **options: Any) -> list[tuple[int, int | None]]:
        calls: list[tuple[str, int, int | None]] = []
        calibrate(tiny, data, progress=lambda *call: calls.append(call), **options)
        assert ("simplify", 0, None) in calls
        return [(done, total) for title, done, total in calls if title == "calibrate"]

    assert counted(samples) == [(number, 6) for number in range(1, 7)]
    assert counted((x for x in samples), samples=2) == [(1, 2), (2, 2)]
    assert counted(x for x in samples[:2]) == [(1, None), (2, None)]
    assert counted([np.concatenate(samples[:2])])[-1] == (2, None)


def test_bad_data(network: Model, samples: list[np.ndarray], tmp_path: Path) -> None:
    poisoned = [sample.copy() for sample in samples]
    poisoned[3][0, 1, 2, 3] = np.nan
    with pytest.raises(InvalidCalibrationError, match="sample 3 has NaN in input 'x'"):
        calibrate(network, poisoned)
    with pytest.raises(InvalidCalibrationError, match="found none in the list"):
        calibrate(network, [])
    with pytest.raises(InvalidCalibrationError, match=r"sample 0 needs shape \[1, 3, 8, 8\]"):
        calibrate(network, [np.ones((3, 8, 9), np.float32)])
    with pytest.raises(InvalidCalibrationError, match="calibration needs files of"):
        calibrate(network, tmp_path)
    with pytest.raises(InvalidCalibrationError, match="no observer is named 'kl'"):
        calibrate(network, samples, observer="kl")


def test_a_tensor_that_is_infinite_stays_float() -> None:
    """As masks of attention are: the rest is calibrated."""

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        logarithm = b.emit(relax.op.log(x), name_hint="logarithm")
        return b.emit(relax.op.exp(logarithm), name_hint="back")

    spec = TensorSpec("x", (1, 3), "float32")
    model = make_model([spec], body, [TensorSpec("out", (1, 3), "float32")])
    data = [np.array([1, 2, 3], np.float32), np.array([1, 0, 3], np.float32)]
    with pytest.warns(UserWarning, match="tensor 'logarithm' is NaN or infinite for sample 2: left out"):
        table = calibrate(model, data, observer="min_max")
    assert list(table.tensors) == ["x", "back", "gv"]
    table.check(model)


def test_integers_and_floats() -> None:
    """Token ids are no tensor to quantize; what is looked up with them is. The mask is an input and a result."""

    def body(b: relax.BlockBuilder, ids: relax.Var, mask: relax.Var) -> list[relax.Expr]:
        rows = b.emit(relax.op.take(constant(np.eye(5, dtype=np.float32) * 7), ids, axis=0), name_hint="rows")
        return [b.emit(relax.op.multiply(rows, mask), name_hint="masked"), mask]

    specs = [TensorSpec("ids", (2,), "int64"), TensorSpec("mask", (2, 1), "float32")]
    outputs = [TensorSpec("a", (2, 5), "float32"), TensorSpec("b", (2, 1), "float32")]
    model = make_model(specs, body, outputs)
    table = calibrate(model, [(np.array([1, 4]), np.array([[-2.0], [3.0]]))], observer="min_max")
    assert {name: (entry.low, entry.high) for name, entry in table.tensors.items()} == {
        "mask": (-2, 3), "rows": (0, 7), "masked": (-14, 21),
    }  # fmt: skip


def test_a_batch_known_at_run_time_only() -> None:
    spec = TensorSpec("x", ("batch", 3), "float32")
    model = make_model(
        [spec],
        lambda b, x: b.emit(relax.op.nn.relu(x), name_hint="positive"),
        [TensorSpec("out", ("batch", 3), "float32")],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the model runs on Relax's virtual machine")
        table = calibrate(model, [np.full((2, 3), -1.0), np.full((5, 3), 4.0)], observer="min_max")
    assert (table.tensors["x"].range.low, table.tensors["positive"].range.high) == (-1, 4)


def test_models_that_cannot_be_calibrated() -> None:
    spec = TensorSpec("x", (1, 3), "float32")

    def same_names(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        for _ in range(2):
            variable = relax.Var("twin", x.ty)
            b.emit_normalized(relax.VarBinding(variable, b.normalize(relax.op.nn.relu(x))))
            x = variable
        return x

    twins = make_model([spec], same_names, [spec])
    with pytest.raises(InvalidModelError, match="'net' has several named 'twin'"):
        calibrate(twins, [np.ones((1, 3))])

    integers = TensorSpec("ids", (1, 3), "int32")
    no_floats = make_model([integers], lambda b, x: b.emit(relax.op.add(x, x)), [integers])
    with pytest.raises(InvalidCalibrationError, match="needs a model with float32 tensors, 'net' has none"):
        calibrate(no_floats, [np.ones((1, 3), np.int32)])


def test_a_branch_is_refused() -> None:
    from tvm.script import ir as I
    from tvm.script import relax as R

    @I.ir_module
    class Branch:
        @R.function
        def main(x: R.Tensor((1, 3), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((1, 3), "float32"):  # type: ignore[valid-type,name-defined]
            if c:  # noqa: SIM108  (TVM's script has no such expression)
                y = R.nn.relu(x)
            else:
                y = R.negative(x)
            return y

    inputs = (TensorSpec("x", (1, 3), "float32"), TensorSpec("c", (), "bool"))
    model = Model(Branch, inputs, (TensorSpec("out", (1, 3), "float32"),), "branch", "onnx")
    with pytest.raises(UnsupportedModelError, match="calibration needs a model without control flow, found a branch"):
        calibrate(model, [(np.ones((1, 3)), np.array(True))])


def test_trained_digits() -> None:
    """The table of a trained network: every observer, 50 images; those that clip, clip little."""
    from edgecompile.zoo import digits

    model = ec.load("zoo:digits_resnet")
    names = ("min_max", "moving_average", "percentile", "mse", "entropy")
    tables = dict(zip(names, calibrate_each(model, digits.calibration(50), observers=names), strict=True))
    full = tables["min_max"].tensors
    assert full["x"].high == digits.load_digits().train_images[:50].max()
    assert len(full) == 34
    for name, table in tables.items():
        assert table.samples == 50
        table.check(model)
        for tensor, entry in table.tensors.items():
            width = full[tensor].high - full[tensor].low
            assert entry.low >= full[tensor].low
            assert entry.high <= full[tensor].high
            assert entry.high - entry.low > 0.4 * width, (name, tensor)
            if tensor.endswith("relu"):
                assert entry.low == 0 < entry.high
    assert sum(entry.high < full[name].high for name, entry in tables["entropy"].tensors.items()) > 10
