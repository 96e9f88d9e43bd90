"""Running: right answers for right inputs, one typed error for wrong ones."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.open import open
from edgecompile.errors import InvalidArtifactError, InvalidInputError, RuntimeFailureError, ToolchainError
from edgecompile.roofline import ReadRate, Roofline
from edgecompile.target import Target
from targets import host_cpu
from tests.artifact import tiny
from tests.artifact.tiny import SHIFT, X


@pytest.fixture
def artifact(folder: Path) -> Iterator[Artifact]:
    with open(folder) as opened:
        yield opened


def check(outputs: list[np.ndarray], x: np.ndarray = X) -> None:
    """The sums are of small whole and half numbers: exact in any order."""
    for found, wanted in zip(outputs, tiny.expected(x, SHIFT), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_inputs_by_position_name_and_mapping(artifact: Artifact) -> None:
    check(artifact.run(X, SHIFT))
    check(artifact.run(shift=SHIFT, x=X))
    check(artifact.run(X, shift=SHIFT))
    check(artifact.run({"shift": SHIFT, "x": X}))
    check(artifact.run({"x": X}, shift=SHIFT))


def test_any_layout_is_taken(artifact: Artifact) -> None:
    check(artifact.run(np.asfortranarray(X), SHIFT))
    check(artifact.run(np.repeat(X, 2, axis=1)[:, ::2], SHIFT))
    raw = np.zeros(X.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(np.float32).reshape(X.shape)
    misaligned[...] = X
    check(artifact.run(misaligned, SHIFT))
    frozen = X.copy()
    frozen.flags.writeable = False
    check(artifact.run(frozen, SHIFT))


def test_outputs_are_new_each_time(artifact: Artifact) -> None:
    first = artifact.run(X, SHIFT)
    artifact.run(X + 1, SHIFT)
    check(first)


@pytest.mark.parametrize(
    ("arrays", "named", "message"),
    [
        ((), {}, r"input x: float32\[2, 3\] is missing; found 0 of 2"),
        ((X,), {}, r"input shift: int32\[2, 4\] is missing; found 1 of 2"),
        ((X, SHIFT, X), {}, r"needed 2 inputs \(x: .*\), found 3"),
        ((X, SHIFT), {"x": X}, "'x' is given twice"),
        ((X,), {"shfit": SHIFT}, "no input is named 'shfit'; the inputs are x: "),
        (
            (X.astype(np.float64), SHIFT),
            {},
            r"'x' needs dtype float32, found float64: convert it with .astype\('float32'\)",
        ),
        ((X.astype(">f4"), SHIFT), {}, "float32 in foreign byte order"),
        (([[1, 2, 3], [4, 5, 6]], SHIFT), {}, "found int64"),
        ((X.astype(object), SHIFT), {}, "found object"),
        ((X[0], SHIFT), {}, r"'x' needs shape \[2, 3\], found \[3\]"),
        ((X.T, SHIFT), {}, r"'x' needs shape \[2, 3\], found \[3, 2\]"),
        ((X[:0], SHIFT), {}, r"found \[0, 3\]"),
        ((None, SHIFT), {}, "found object"),
        (([[1], [1, 2]], SHIFT), {}, "needs a NumPy array, found list"),
        (("text", SHIFT), {}, "found str"),
    ],
)
def test_wrong_inputs_are_named(
    artifact: Artifact, arrays: tuple[object, ...], named: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        artifact.run(*arrays, **named)
    check(artifact.run(X, SHIFT))


def test_many_samples(artifact: Artifact) -> None:
    samples = [X + index for index in range(3)]
    for outputs, x in zip(artifact.run_many([(x, SHIFT) for x in samples]), samples, strict=True):
        check(outputs, x)
    assert artifact.run_many([]) == []
    with pytest.raises(InvalidInputError, match="missing"):
        artifact.run_many([(X, SHIFT), X])


def test_a_failing_kernel_is_reported(artifact: Artifact) -> None:
    with pytest.raises(RuntimeFailureError, match="failure 7"):
        artifact.run(X, np.full_like(SHIFT, 2**31 - 1))
    check(artifact.run(X, SHIFT))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(folder: Path, threads: int) -> None:
    with open(folder, threads=threads) as artifact:
        assert artifact.threads == threads
        check(artifact.run(X, SHIFT))


def test_bench(artifact: Artifact) -> None:
    for threads in (None, 2):
        stats = artifact.bench(repeat=7, warmup=1, threads=threads)
        assert stats.mean_ms is not None
        assert 0 < stats.min_ms <= stats.median_ms <= stats.p99_ms
        assert stats.min_ms <= stats.mean_ms <= stats.p99_ms
        assert (stats.repeat, stats.threads, stats.is_emulated) == (7, threads or 1, False)


@pytest.mark.parametrize("wrong", [{"repeat": 0}, {"warmup": -1}, {"threads": 0}])
def test_bench_refuses_odd_numbers(artifact: Artifact, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="bench needs"):
        artifact.bench(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"repeat": 0}, {"warmup": -1}, {"threads": 1025}])
def test_step_times_and_profiles_refuse_odd_numbers(artifact: Artifact, wrong: dict[str, int]) -> None:
    for use in (artifact.time_steps, artifact.profile):
        with pytest.raises(InvalidInputError, match="time_steps needs"):
            use(**wrong)  # type: ignore[operator]


def test_step_times(artifact: Artifact) -> None:
    steps = artifact.time_steps(repeat=3, warmup=0, threads=2)
    assert [(step.index, step.kernel) for step in steps] == [(0, "tiny_dense"), (1, "tiny_add")]
    assert all(step.median_ms >= 0 for step in steps)
    assert [step.kernel for step in artifact.report.steps] == [step.kernel for step in steps]


def test_profile(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, bool]] = []

    def measure(target: Target, threads: int, *, again: bool) -> Roofline:
        asked.append((target.name, threads, again))
        return Roofline(threads, 1e9, (ReadRate(1024, 1e9),))

    monkeypatch.setattr(host_cpu, "measure_roofline", measure)
    phases: list[str] = []
    profile = artifact.profile(repeat=3, progress=phases.append)
    assert [step.kernel for step in profile.steps] == ["tiny_dense", "tiny_add"]
    assert (profile.repeat, profile.threads) == (3, 1)
    # 56 operations at 1 GFLOP/s; 120 bytes, 64 of them weights, at 1 GB/s.
    assert (profile.steps[0].bound_ms, profile.steps[0].limit) == (pytest.approx(120e-6), "memory")
    assert artifact.profile(repeat=1, threads=2, measure_again=True).threads == 2
    assert asked == [("host", 1, False), ("host", 2, True)]
    assert phases == ["time the kernels", "measure this machine"]


def test_a_profile_goes_without_a_peak_where_it_cannot_be_measured(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(target: Target, threads: int, *, again: bool) -> Roofline:
        raise ToolchainError("no compiler was found")

    monkeypatch.setattr(host_cpu, "measure_roofline", fail)
    profile = artifact.profile(repeat=1)
    assert (profile.roofline, profile.roofline_missing) == (None, "no compiler was found")
    assert profile.steps[0].bound_ms is None


def test_a_closed_artifact_says_so(artifact: Artifact) -> None:
    artifact.close()
    artifact.close()
    for use in (lambda: artifact.run(X, SHIFT), artifact.bench, artifact.time_steps, artifact.profile, artifact.verify):
        with pytest.raises(RuntimeFailureError, match="closed: open it again"):
            use()


def test_many_opened_at_once_and_one_after_another(folder: Path) -> None:
    together = [open(folder) for _ in range(5)]
    for artifact in together:
        check(artifact.run(X, SHIFT))
    for artifact in together:
        artifact.close()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        with open(folder, threads=2) as artifact:
            check(artifact.run(X, SHIFT))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert "memfd:libtiny.so" not in Path("/proc/self/maps").read_text()


def test_one_artifact_in_several_threads(artifact: Artifact) -> None:
    failures: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            for _ in range(100):
                check(artifact.run(X + offset, SHIFT), X + offset)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_a_forked_process_gets_an_error_instead_of_a_hang(folder: Path) -> None:
    with open(folder, threads=2) as artifact:
        child = os.fork()
        if child == 0:
            try:
                artifact.run(X, SHIFT)
            except RuntimeFailureError as error:
                os._exit(0 if "fork" in str(error) else 2)
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        check(artifact.run(X, SHIFT))


def test_an_artifact_replaced_while_open_goes_on(folder: Path, tiny_library: Path) -> None:
    with open(folder) as artifact:
        tiny.write(folder, tiny_library, reference_name="another")
        check(artifact.run(X, SHIFT))
        (folder / "selftest.npz").write_bytes(b"")
        with pytest.raises(InvalidArtifactError, match="compile the model again"):
            artifact.verify()


def test_it_prints_what_it_is(artifact: Artifact) -> None:
    assert repr(artifact) == f"<Artifact 'tiny' for host at {str(artifact.path)!r}>"
    for fact in (
        "tiny for host, native, threads: 1",
        "x: float32[2, 3]",
        "weights 64 bytes, in a file",
        "arena   64 bytes",
    ):
        assert fact in str(artifact)
