"""From a model to an artifact that runs: the main job on small models."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.errors import CompilerBugError, InvalidInputError, UnknownTargetError, WrongMachineError
from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model

X = TensorSpec("x", (1, 3, 16, 20), "float32")
PREDICTION = TensorSpec("prediction", (1, 10), "float32")
FEATURES = TensorSpec("features", (1, 8, 16, 20), "float32")


def small_network() -> Model:
    """Convolution, pooling, matrix product and softmax: every kind of step once, large enough for threads."""
    rng = np.random.default_rng(0)
    kernel, bias, dense = (rng.standard_normal(s).astype(np.float32) for s in ((8, 3, 3, 3), (1, 8, 1, 1), (8, 10)))

    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        value = b.emit(relax.op.nn.conv2d(x, constant(kernel), padding=1), name_hint="stem")
        features = b.emit(relax.op.nn.relu(b.emit(relax.op.add(value, constant(bias)))))
        pooled = b.emit(relax.op.mean(features, [2, 3]))
        return [b.emit(relax.op.nn.softmax(b.emit(relax.op.matmul(pooled, constant(dense))))), features]

    def reference(x: np.ndarray) -> list[np.ndarray]:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        features = np.maximum(np.einsum("nchwyx,ocyx->nohw", windows, kernel) + bias, 0)
        logits = features.mean((2, 3)) @ dense
        weights = np.exp(logits - logits.max())
        return [weights / weights.sum(), features]

    return make_model([X], body, [PREDICTION, FEATURES], reference=reference)


@pytest.fixture(scope="module")
def network() -> Model:
    return small_network()


@pytest.fixture(scope="module")
def artifact(network: Model, tmp_path_factory: pytest.TempPathFactory) -> ec.Artifact:
    return ec.compile(network, out=tmp_path_factory.mktemp("compiled") / "net")


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # float32 sums of 27 and 8 terms


def test_outputs_agree_with_numpy(network: Model, artifact: ec.Artifact) -> None:
    assert network.reference is not None
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(X.shape).astype(np.float32)
        assert_close(artifact.run(x), network.reference([x]))
    assert artifact.verify().ok


def test_threads_change_nothing(artifact: ec.Artifact) -> None:
    x = np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
    expected = artifact.run(x)
    for threads in (2, 3):
        with ec.open(artifact.path, threads=threads) as other:
            for _ in range(20):
                for a, b in zip(other.run(x), expected, strict=True):
                    np.testing.assert_array_equal(a, b)


def test_report_names_layers_costs_and_templates(artifact: ec.Artifact) -> None:
    report = artifact.report
    first = report.steps[0]
    assert first.layers == ("stem",)
    assert first.macs == 8 * 3 * 9 * 16 * 20
    assert first.operations == 2 * first.macs + 2 * 8 * 16 * 20
    assert first.kind == "conv 3x3"
    assert first.bytes_read == 3 * 16 * 20 * 4
    assert first.weight_bytes == (8 * 3 * 9 + 8) * 4
    assert "direct convolution" in [decision.reason for decision in first.decisions]
    assert report.memory is not None
    assert report.memory.lower_bound_bytes <= report.memory.arena_bytes <= report.memory.sum_bytes
    assert artifact.manifest.arena_bytes == report.memory.arena_bytes


def test_library_needs_only_libc_and_libm(artifact: ec.Artifact) -> None:
    library = artifact.path / artifact.manifest.library
    needed = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    libraries = set(re.findall(r"NEEDED.*\[(.*)\]", needed))
    # glibc keeps one function in its loader: the one that finds a thread's own variables.
    assert {name for name in libraries if not name.startswith("ld-linux")} <= {"libc.so.6", "libm.so.6"}
    symbols = subprocess.run(["nm", "-D", "-u", library], check=True, capture_output=True, text=True).stdout
    assert not re.search(r"TVM|std::|_Z", symbols)


def test_embedded_weights_need_no_file(network: Model, artifact: ec.Artifact, tmp_path: Path) -> None:
    embedded = ec.compile(network, out=tmp_path / "net", embed_weights=True)
    assert embedded.manifest.weights is None
    assert embedded.manifest.weights_embedded
    assert not (embedded.path / "weights.bin").exists()
    x = np.ones(X.shape, np.float32)
    for a, b in zip(embedded.run(x), artifact.run(x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fresh_processes_write_the_same_bytes(tmp_path: Path, repository: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        import edgecompile as ec
        from tests.test_driver import small_network
        ec.compile(small_network(), out=sys.argv[1])
        """
    )
    for place in ("one/net", "two/other"):
        subprocess.run([sys.executable, "-c", program, tmp_path / place], check=True, cwd=repository)
    one, two = tmp_path / "one" / "net", tmp_path / "two" / "other"
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    assert [name for name in names if (one / name).read_bytes() != (two / name).read_bytes()] == []


@pytest.mark.board
@pytest.mark.parametrize("target", ["rpi4", "rpi5", "armv9"])
def test_board_agrees_with_numpy(network: Model, target: str, tmp_path: Path) -> None:
    compiled = ec.compile(network, target=target, out=tmp_path / "net")
    with pytest.raises(WrongMachineError, match=r"aarch64.*emulate"):
        compiled.run(np.ones(X.shape, np.float32))
    with ec.open(compiled.path, emulate=True) as board:
        assert network.reference is not None
        x = np.random.default_rng(5).standard_normal(X.shape).astype(np.float32)
        assert_close(board.run(x), network.reference([x]))
        assert board.verify().ok


def test_dynamic_shapes_go_through_the_virtual_machine_and_say_so(tmp_path: Path) -> None:
    spec = TensorSpec("x", ("n", 4), "float32")
    model = make_model([spec], lambda b, x: relax.op.nn.softmax(x), [TensorSpec("y", ("n", 4), "float32")])
    with pytest.warns(UserWarning, match=r"virtual machine.*not known at compile time"):
        artifact = ec.compile(model, out=tmp_path / "net")
    assert artifact.manifest.executor == "vm"
    assert "'x'" in artifact.manifest.executor_reason
    for rows in (1, 5):
        x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
        (found,) = artifact.run(x)
        expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_reference_that_differs_is_reported(tmp_path: Path) -> None:
    model = make_model([X], lambda b, x: relax.op.nn.relu(x), [X], reference=lambda x: [x])
    with pytest.warns(UserWarning, match="differs from numpy"):
        artifact = ec.compile(model, out=tmp_path / "net")
    assert not artifact.verify().ok
    assert "differs from numpy" in artifact.report.warnings[0]


def test_size_can_be_preferred_to_speed(tmp_path: Path) -> None:
    """Winograd's weights for this layer are at least 16 / 9 times as large, and its code is longer."""
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((64, 64, 3, 3)).astype(np.float32)
    x = TensorSpec("x", (1, 64, 28, 28), "float32")

    def body(b: relax.BlockBuilder, x: relax.Var) -> list[relax.Expr]:
        value = b.emit(relax.op.nn.conv2d(x, constant(kernel), padding=1), name_hint="layer")
        return [b.emit(relax.op.nn.relu(value))]

    model = make_model([x], body, [TensorSpec("y", (1, 64, 28, 28), "float32")])
    fast = ec.compile(model, out=tmp_path / "fast")
    small = ec.compile(model, out=tmp_path / "small", prefer="size")
    assert (fast.manifest.prefer, small.manifest.prefer) == ("speed", "size")
    assert fast.manifest.weight_bytes >= kernel.nbytes * 16 / 9
    assert small.manifest.weight_bytes == kernel.nbytes
    assert small.manifest.files[small.manifest.library].bytes <= fast.manifest.files[fast.manifest.library].bytes
    decisions = [*small.report.decisions, *(entry for step in small.report.steps for entry in step.decisions)]
    reasons = [entry.reason for entry in decisions]
    assert any("F(4,3) refused: its weights are 4.0 times as large" in reason for reason in reasons)
    image = rng.standard_normal((1, 64, 28, 28)).astype(np.float32)
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    expected = np.maximum(np.einsum("nchwyx,ocyx->nohw", windows, kernel, optimize=True), 0)
    for artifact in (fast, small):
        # Sums of 576 products whose root of the mean square is 24.
        np.testing.assert_allclose(artifact.run(image)[0], expected, rtol=0, atol=24 * 2e-5)


def test_bad_arguments_are_refused_before_anything_is_written(network: Model, tmp_path: Path) -> None:
    with pytest.raises(UnknownTargetError, match="rpi5"):
        ec.compile(network, target="rpi6", out=tmp_path / "net")
    with pytest.raises(InvalidInputError, match="folder to write"):
        ec.compile(network)
    with pytest.raises(InvalidInputError, match="threads"):
        ec.compile(network, out=tmp_path / "net", threads=0)
    with pytest.raises(InvalidInputError, match="prefer must be one of speed, size, found 'space'"):
        ec.compile(network, out=tmp_path / "net", prefer="space")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_nested_extremum_compiles_in_seconds(tmp_path: Path, repository: Path) -> None:
    """LLVM does not end on this reduction as three loops; a child process, since nothing can interrupt LLVM."""
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        from tvm import relax
        import edgecompile as ec
        from edgecompile.frontend.model import TensorSpec
        from tests.relax_models import make_model
        x, y = TensorSpec("x", (8, 3, 13), "float32"), TensorSpec("y", (), "float32")
        artifact = ec.compile(make_model([x], lambda b, v: relax.op.max(v), [y]), out=sys.argv[1])
        values = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
        assert artifact.run(values)[0] == values.max()
        """
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "net"], check=True, cwd=repository, timeout=120)


def test_a_failure_that_nothing_foresaw_is_typed_and_leaves_nothing(
    network: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("LLVM is unhappy\nand says much")

    monkeypatch.setattr("edgecompile.driver.schedule_kernels", fail)
    with pytest.raises(CompilerBugError, match=r"'schedule': ValueError: LLVM is unhappy$"):
        ec.compile(network, "host", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_exception_of_the_callers_callback_is_the_callers(network: Model, tmp_path: Path) -> None:
    def stop(phase: str) -> None:
        raise LookupError(phase)

    with pytest.raises(LookupError):
        ec.compile(network, "host", tmp_path / "out", progress=stop)
    assert not list(tmp_path.iterdir())


def test_dynamic_model_without_kernels_compiles_for_a_board(tmp_path: Path) -> None:
    spec = TensorSpec("x", ("n", 3), "float32")
    model = make_model([spec], lambda b, x: x, [TensorSpec("y", ("n", 3), "float32")])
    with pytest.warns(UserWarning, match="virtual machine"):
        assert ec.compile(model, "rpi4", tmp_path / "out").manifest.executor == "vm"


@pytest.mark.parametrize("function", ["cosh", "asinh", "asin", "erf"])
def test_half_precision_functions_that_libm_lacks(function: str, tmp_path: Path) -> None:
    spec = TensorSpec("x", (3, 37), "float16")
    model = make_model([spec], lambda b, x: getattr(relax.op, function)(x), [TensorSpec("y", (3, 37), "float16")])
    x = np.linspace(-0.9, 0.9, 111).reshape(3, 37).astype(np.float16)
    expected = np.vectorize(getattr(math, function))(x.astype(np.float64))
    with ec.compile(model, "host", tmp_path / "out") as artifact:
        np.testing.assert_allclose(artifact.run(x)[0], expected, rtol=2e-3, atol=1e-3)  # one step of float16
