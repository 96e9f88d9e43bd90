"""Tuning on this machine, from a model to the same bytes again."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.errors import InvalidInputError, InvalidRecordsError, WrongMachineError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.tune import choose, quick
from edgecompile.tune.conditions import conditions_of
from edgecompile.tune.pinned import pinned
from edgecompile.tune.records import Record, RecordsFile
from edgecompile.tune.trial_library import TrialLibrary
from tests.relax_models import constant, make_model
from tests.tune.samples import TARGET

X = TensorSpec("x", (1, 16, 10, 10), "float32")
Y = TensorSpec("y", (1, 200), "float32")


def two_layers() -> Model:
    """A convolution for which there are several templates, and a product of matrices."""
    rng = np.random.default_rng(0)
    kernel, dense = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 16, 3, 3), (16, 200)))

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        value = b.emit(relax.op.nn.relu(b.emit(relax.op.nn.conv2d(x, constant(kernel), padding=1))))
        return relax.op.matmul(b.emit(relax.op.mean(value, [2, 3])), constant(dense))

    def reference(x: np.ndarray) -> list[np.ndarray]:
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        value = np.maximum(np.einsum("nchwyx,ocyx->nohw", windows, kernel), 0)
        return [(value.mean((2, 3)) @ dense).astype(np.float32)]

    return make_model([X], body, [Y], reference=reference)


@pytest.fixture(scope="module")
def model() -> Model:
    return two_layers()


@pytest.fixture(scope="module")
def tuned(model: Model, tmp_path_factory: pytest.TempPathFactory) -> ec.Artifact:
    """Compiled into `net`, by the records in `host.jsonl` beside it."""
    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, "QUICK_SECONDS", 8.0)
        return ec.compile(model, out=folder / "net", tune="quick", records=folder / "host.jsonl")


def read(artifact: ec.Artifact) -> tuple[Record, ...]:
    found = RecordsFile(artifact.path.parent / "host.jsonl", TARGET).read(conditions_of(TARGET, 1))
    assert found.ignored == ()
    return found.records


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_layer_is_measured_in_several_ways(tuned: ec.Artifact) -> None:
    records = read(tuned)
    kinds = {json.loads(record.workload)["kind"] for record in records}
    assert kinds == {"convolution", "product"}
    templates = {json.loads(record.way)["template"] for record in records}
    assert templates >= {"direct convolution", "packed product"}
    assert len({(record.workload, record.way) for record in records}) == len(records)
    ways = Counter(record.workload for record in records)
    assert len(ways) == 2 and min(ways.values()) > 1  # how many more depends on what else the machine does
    for record in records:
        assert 0 < record.min_ns <= record.quartile_ns <= record.median_ns < 1e7
        assert record.repeats >= 4
        assert 5e8 < record.clock_hz < 1e10


def test_the_fastest_ways_are_built_in_and_named(tuned: ec.Artifact, model: Model) -> None:
    records = read(tuned)
    used = [record for record in records if record.key in tuned.manifest.records]
    assert len(used) == len(tuned.manifest.records) == 2
    for record in used:
        same = [other.quartile_ns for other in records if other.workload == record.workload]
        assert record.quartile_ns <= min(same) / 0.98
    reasons = [decision.reason for decision in tuned.report.decisions if decision.step == "PlanLayouts"]
    assert sum(" ms, " in reason and "cycles measured" in reason for reason in reasons) == 2
    assert tuned.verify().ok
    x = np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
    assert model.reference is not None
    # Sums of 144 and 16 products in float32; Winograd may add some bits.
    np.testing.assert_allclose(tuned.run(x)[0], model.reference([x])[0], rtol=0, atol=2e-5)


def test_with_records_nothing_is_measured_and_the_bytes_are_the_same(
    tuned: ec.Artifact, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError(f"measured again: {arguments}")

    monkeypatch.setattr(choose, "tune_quick", refuse)
    records = tuned.path.parent / "host.jsonl"
    before = records.read_bytes()
    options: list[dict[str, Any]] = [{"tune": "quick"}, {}]
    for at, more in enumerate(options):
        out = tmp_path / str(at) / "net"
        ec.compile(model, out=out, records=records, **more).close()
        assert files(out) == files(tuned.path)
    assert records.read_bytes() == before


def test_records_decide(tuned: ec.Artifact, model: Model, tmp_path: Path) -> None:
    """A record that says so makes the slowest way the choice."""
    records = read(tuned)
    convolutions = [record for record in records if json.loads(record.workload)["kind"] == "convolution"]
    winner = next(record for record in convolutions if record.key not in tuned.manifest.records)
    fast = winner.model_copy(update={"quartile_ns": 1.0, "min_ns": 1.0, "median_ns": 1.0})
    file = RecordsFile(tmp_path / "host.jsonl", TARGET)
    file.append([*records, fast])
    artifact = ec.compile(model, out=tmp_path / "net", records=file.path)
    assert fast.key in artifact.manifest.records
    assert artifact.verify().ok


def test_records_of_other_conditions_are_ignored_with_a_message(
    tuned: ec.Artifact, model: Model, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="records are ignored, of another threads"):
        artifact = ec.compile(model, out=tmp_path / "net", records=tuned.path.parent / "host.jsonl", threads=2)
    assert artifact.manifest.records == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ec.compile(model, out=tmp_path / "plain", threads=2).close()


def test_progress_says_what_is_known(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(quick, "QUICK_SECONDS", 0.1)
    out = tmp_path / "net"
    artifact = ec.compile(model, out=out, tune="quick", records=tmp_path / "deep" / "db", progress=heard.append)
    lines = [line for line in heard if line.startswith("tune: ")]
    assert lines[:2] == ["tune: what the layers are", "tune: 0 ways of 2 layers timed, at most 0 s left"]
    assert lines[2].startswith("tune: 2 ways of 2 layers timed, best 0.0")
    assert len(artifact.manifest.records) == 2
    assert (tmp_path / "deep" / "db" / "host_cpu.jsonl").exists()


def test_what_cannot_be_is_refused_before_anything_is_written(model: Model, tmp_path: Path) -> None:
    compile: Callable[..., Any] = ec.compile
    with pytest.raises(WrongMachineError, match=r"tuning needs a machine that runs the target's code: .*rpi4"):
        compile(model, "rpi4", tmp_path / "net", tune="quick")
    with pytest.raises(InvalidInputError, match="tune must be None or one of quick, found 'slow'"):
        compile(model, out=tmp_path / "net", tune="slow")
    with pytest.raises(InvalidRecordsError, match=r"none\.jsonl cannot be read"):
        compile(model, out=tmp_path / "net", records=tmp_path / "none.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_such_layers(tmp_path: Path) -> None:
    model = make_model([Y], lambda b, y: relax.op.nn.relu(y), [Y])
    artifact = ec.compile(model, out=tmp_path / "net", tune="quick", records=tmp_path / "host.jsonl")
    assert artifact.manifest.records == ()
    assert (tmp_path / "host.jsonl").read_bytes() == b""


def test_pinned_threads_return_to_their_cores() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(len(before) + 1):
        assert os.sched_getaffinity(0) == before


def test_libraries_are_closed_when_one_fails(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[TrialLibrary] = []
    close = TrialLibrary.close

    def fail(library: TrialLibrary) -> list[int]:
        raise InvalidInputError("no time")

    def count(library: TrialLibrary) -> None:
        closed.append(library)
        close(library)

    monkeypatch.setattr(TrialLibrary, "run", fail)
    monkeypatch.setattr(TrialLibrary, "close", count)
    with pytest.raises(InvalidInputError, match="no time"):
        ec.compile(model, out=tmp_path / "net", tune="quick", records=tmp_path / "host.jsonl")
    assert len(closed) == 1
    assert list(tmp_path.iterdir()) == []
