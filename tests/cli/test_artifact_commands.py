"""run, verify, bench, explain and inspect on an artifact."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.artifact.selftest import write_selftest
from edgecompile.artifact.write import seal
from edgecompile.cli.program import run_program
from edgecompile.errors import ToolchainError
from edgecompile.roofline import ReadRate, Roofline
from targets import host_cpu
from tests.artifact import tiny

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the program; the result is what it printed, on stderr where the status is 2."""

    def call(*arguments: object, status: int = 0) -> str:
        assert run_program([str(argument) for argument in arguments]).status == status
        captured = capsys.readouterr()
        if status == 2:
            assert captured.out == ""
            assert captured.err.startswith("error: ")
            assert len(captured.err.splitlines()) == 1
            return captured.err
        assert captured.err == ""
        return captured.out

    return call


@pytest.fixture
def arrays(tmp_path: Path) -> list[str]:
    """Options that give the inputs."""
    np.save(tmp_path / "x.npy", tiny.X)
    np.save(tmp_path / "shift.npy", tiny.SHIFT)
    return ["--input", f"x={tmp_path / 'x.npy'}", "--input", f"shift={tmp_path / 'shift.npy'}"]


def test_run(run: Run, folder: Path, arrays: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    text = run("run", folder, *arrays, "-o", out)
    assert "float32" in text
    assert "2x4" in text
    with np.load(out) as saved:
        for name, wanted in zip(("y", "z"), tiny.expected(tiny.X, tiny.SHIFT), strict=True):
            np.testing.assert_array_equal(saved[name], wanted)
    first, second = json.loads(run("run", folder, *arrays, "--json"))
    assert second == {"output": "z", "dtype": "int32", "shape": "2x4", "min": 1.0, "max": 8.0, "mean": 4.5}
    assert first["max"] == 133.5


def test_run_with_wrong_inputs(run: Run, folder: Path, arrays: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "empty.npy").write_text("")
    np.save(tmp_path / "objects.npy", np.array([print], object), allow_pickle=True)
    np.savez(tmp_path / "many.npz", tiny.X, tiny.SHIFT)
    np.save(tmp_path / "double.npy", tiny.X.astype(np.float64))
    for option, message in (
        ("x", "--input needs NAME=VALUE, found 'x'"),
        ("=x.npy", "--input needs NAME=VALUE"),
        (f"x={tmp_path}/none.npy", "none.npy cannot be read: No such file"),
        (f"x={tmp_path}", "cannot be read: Is a directory"),
        (f"x={tmp_path}/text.npy", "text.npy is no .npy file of numbers"),
        (f"x={tmp_path}/empty.npy", "empty.npy is no .npy file of numbers"),
        (f"x={tmp_path}/objects.npy", "objects.npy is no .npy file of numbers"),
        (f"x={tmp_path}/many.npz", "many.npz holds several arrays"),
        (f"x={tmp_path}/double.npy", "'x' needs dtype float32, found float64"),
        (f"q={tmp_path}/double.npy", "no input is named 'q'"),
    ):
        assert message in run("run", folder, "--input", option, *arrays[2:], status=2)
    assert "names 'x' twice" in run("run", folder, *arrays[:2], *arrays[:2], status=2)
    assert "input x: float32[2, 3] is missing" in run("run", folder, status=2)


def test_run_cannot_save(run: Run, folder: Path, arrays: list[str], tmp_path: Path) -> None:
    assert "cannot write" in run("run", folder, *arrays, "-o", tmp_path / "none/out.npz", status=2)


def test_verify(run: Run, folder: Path) -> None:
    text = run("verify", folder)
    assert "native, reference: numpy" in text
    assert text.splitlines()[-1] == "ok"
    document = json.loads(run("verify", folder, "--json"))
    assert document["ok"] is True
    assert [entry["tolerance"] for entry in document["outputs"]] == [1e-6, 0, 1e-4, 0]


@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_verify_fails(run: Run, folder: Path, wrong: float) -> None:
    good = tiny.selftest()
    write_selftest(folder, dataclasses.replace(good, reference={**good.reference, "y": good.reference["y"] + wrong}))
    seal(folder, tiny.facts())
    assert run("verify", folder, status=1).splitlines()[-1] == "FAILED"
    document = json.loads(run("verify", folder, "--json", status=1))
    assert document["ok"] is False
    assert [entry["ok"] for entry in document["outputs"]] == [True, True, False, True]


def test_bench(run: Run, folder: Path) -> None:
    assert "median ms" in run("bench", folder, "--repeat", 3)
    document = json.loads(run("bench", folder, "--repeat", 3, "--warmup", 0, "--threads", 2, "--json"))
    assert document["min_ms"] <= document["median_ms"] <= document["p99_ms"]
    assert (document["repeat"], document["threads"], document["machine"]) == (3, 2, "native")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Roofline:
    """What this machine can do, without measuring it."""
    known = Roofline(1, 2e9, (ReadRate(1024, 4e9), ReadRate(2**20, 1e9)))
    monkeypatch.setattr(host_cpu, "measure_roofline", lambda target, threads, *, again: known)
    return known


def test_bench_per_operator(run: Run, folder: Path, machine: Roofline) -> None:
    text = run("bench", folder, "--per-op", "--repeat", 3)
    dense, add = (line.split() for line in text.splitlines() if "tiny_" in line)
    assert dense[:4] == ["0", "tiny_dense", "dense", "RegisterTile"]
    assert dense[-1] == "memory"
    assert add[:2] == ["1", "tiny_add"]
    for fact in ("2 kernel calls", "peak 2.0 GFLOP/s", "By kind of operator", "4 of 1 KiB, 1 of 1 MiB", "moved bytes"):
        assert fact in text


def test_bench_per_operator_as_json(run: Run, folder: Path, machine: Roofline) -> None:
    document = json.loads(run("bench", folder, "--per-op", "--repeat", 3, "--threads", 2, "--json"))
    dense, add = document["steps"]
    assert (dense["layers"], dense["operations"], dense["moved_bytes"]) == (["dense"], 56, 120)
    # 56 operations at 2 GFLOP/s; 120 bytes at 4 GB/s.
    assert (dense["bound_ms"], dense["limit"]) == (pytest.approx(30e-6), "memory")
    assert dense["share"] + add["share"] == pytest.approx(1)
    assert {kind["kind"]: kind["calls"] for kind in document["kinds"]} == {"matmul": 1, "other": 1}
    assert document["threads"] == 2
    assert document["roofline"] == dataclasses.asdict(machine) | {"reads": [vars(read) for read in machine.reads]}


def test_bench_per_operator_sorted_by_time(run: Run, folder: Path, machine: Roofline) -> None:
    steps = json.loads(run("bench", folder, "--per-op", "--sort", "time", "--json"))["steps"]
    assert steps[0]["median_ms"] >= steps[1]["median_ms"]
    assert sorted(step["index"] for step in steps) == [0, 1]
    steps = json.loads(run("bench", folder, "--per-op", "--sort", "step", "--json"))["steps"]
    assert [step["index"] for step in steps] == [0, 1]


def test_bench_per_operator_without_a_peak(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> Roofline:
        raise ToolchainError("no compiler was found: apt-get install gcc")

    monkeypatch.setattr(host_cpu, "measure_roofline", fail)
    text = run("bench", folder, "--per-op", "--repeat", 1)
    assert "no peak and no bounds: no compiler was found: apt-get install gcc" in text
    assert "tiny_dense" in text


def test_bench_per_operator_is_refused(run: Run, folder: Path) -> None:
    assert "step times need the device itself" in run("bench", folder, "--per-op", "--emulate", status=2)
    assert "--sort is for --per-op" in run("bench", folder, "--sort", "time", status=2)
    assert "--measure-again is for --per-op" in run("bench", folder, "--measure-again", status=2)


def test_explain(run: Run, folder: Path) -> None:
    text = run("explain", folder)
    for fact in ("executor: plan", "tiny_dense", "matmul add", "FuseBias", "no batch norm", "without reuse 128"):
        assert fact in text
    document: dict[str, Any] = json.loads(run("explain", folder, "--json"))
    assert document["steps"][0]["macs"] == 24
    assert "median_ms" not in document["steps"][0]
    timed = json.loads(run("explain", folder, "--profile", "--json"))
    assert [step["median_ms"] >= 0 for step in timed["steps"]] == [True, True]
    assert " ms\n" in run("explain", folder, "--profile")


def test_inspect_an_artifact(run: Run, folder: Path) -> None:
    text = run("inspect", folder)
    for fact in ("x: float32[2, 3]", "64 bytes, in a file", "onnx, opset 21", "libtiny.so"):
        assert fact in text
    assert json.loads(run("inspect", folder, "--json")) == json.loads((folder / "manifest.json").read_bytes())
    assert "are for models" in run("inspect", folder, "--shape", "x=1", status=2)


@pytest.mark.parametrize("command", ["run", "verify", "bench", "explain", "inspect"])
def test_damage_is_one_line(run: Run, folder: Path, command: str) -> None:
    with (folder / "weights.bin").open("r+b") as file:
        file.write(b"\xff")
    assert "weights.bin was changed since it was written" in run(command, folder, status=2)


@pytest.mark.parametrize("command", ["run", "verify", "bench", "explain"])
def test_no_artifact_is_one_line(run: Run, tmp_path: Path, command: str) -> None:
    assert "found nothing" in run(command, tmp_path / "none", status=2)


def test_another_machine_is_one_line(run: Run, tmp_path: Path, tiny_library: Path) -> None:
    other = dataclasses.replace(tiny.host(), name="elsewhere", architecture="armv7l")
    tiny.write(tmp_path / "net", tiny_library, target=other)
    assert "built for elsewhere (armv7l), this machine is" in run("verify", tmp_path / "net", status=2)
    assert "elsewhere" in run("inspect", tmp_path / "net")


def test_targets(run: Run) -> None:
    text = run("targets")
    for name in ("host", "rpi4", "rpi5", "android-arm64", "armv9", "armv7-neon"):
        assert f"\n {name} " in text
    rows = {row["name"]: row for row in json.loads(run("targets", "--json"))}
    assert rows["rpi4"]["cpu"] == "cortex-a72"
    assert all(row["can_emit"] == (row["missing"] is None) for row in rows.values())
    assert rows["host"]["can_emit"]


def test_doctor(run: Run) -> None:
    assert "apache-tvm" in run("doctor")
    rows = {row["name"]: row for row in json.loads(run("doctor", "--json"))}
    assert rows["torch"]["found"]
    assert all(bool(row["how_to_install"]) != row["found"] for row in rows.values())
