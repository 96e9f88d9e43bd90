"""The program as a whole: quick, lazy, and every failure is one line and an exit status."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from edgecompile.cli import program
from edgecompile.cli.program import run_program
from edgecompile.errors import CompilerBugError, InvalidModelError

COMMANDS = ("compile", "compress", "analyze", "run", "verify", "bench", "inspect", "explain", "targets", "doctor")
PROGRAM = [sys.executable, "-m", "edgecompile.cli"]


def test_help_is_quick() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([*PROGRAM, "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.5


@pytest.mark.parametrize("arguments", ["--help", "compile --help", "targets", "nonsense", "run /nowhere"])
def test_heavy_modules_are_not_imported_without_need(arguments: str) -> None:
    heavy = ["tvm", "torch", "onnx", "onnxruntime"]
    if "--help" in arguments:
        heavy += ["numpy", "pydantic", "rich", "targets"]
    script = f"""
import sys
from edgecompile.cli.program import run_program
run_program({arguments.split()!r})
print("imported:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stderr.splitlines()[-1] == "imported:"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program([name, "--help"]).status == 0
    text = capsys.readouterr().out
    assert f"edgecompile {name}" in text.split("Examples:")[1]


def test_help_names_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["--help"]).status == 0
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " in text] == list(COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run_program(["--version"]).status == 0
    assert capsys.readouterr().out == f"edgecompile {version('edgecompile')}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "error: Missing command; see `edgecompile --help`"),
        ("nonsense", "error: No such command 'nonsense'; see `edgecompile --help`"),
        ("run", "error: Missing argument 'DIRECTORY'; see `edgecompile run --help`"),
        (
            "bench x --repeat 0",
            "error: Invalid value for '--repeat': 0 is not in the range x>=1; see `edgecompile bench --help`",
        ),
        ("bench x --nonsense", "error: No such option '--nonsense'; see `edgecompile bench --help`"),
        ("compile x", "error: Missing option '-o' / '--out'; see `edgecompile compile --help`"),
    ],
)
def test_wrong_usage_is_one_line(arguments: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(arguments.split()).status == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [line]
    assert captured.out == ""


Fail = Callable[[BaseException], list[str]]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fail:
    """Run a command that raises the given error; the result is what it printed on stderr."""

    def run(error: BaseException) -> list[str]:
        @click.command("targets")
        def command() -> None:
            raise error

        monkeypatch.setattr("edgecompile.cli.targets.command", command)
        assert run_program(["targets"]).status == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.splitlines()

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidModelError("x.onnx is no model"), "error: x.onnx is no model"),
        (InvalidModelError("two\n  lines"), "error: two lines"),
        (CompilerBugError("pass P"), "error: this is a bug in edgecompile, please report it: pass P"),
        (
            ValueError("from TVM\nStack trace:\n  0: tvm::ir"),
            "error: this is a bug in edgecompile, please report it with EDGECOMPILE_DEBUG=1: ValueError: from TVM",
        ),
        (
            RecursionError(),
            "error: this is a bug in edgecompile, please report it with EDGECOMPILE_DEBUG=1: "
            "RecursionError: no message",
        ),
        (KeyboardInterrupt(), "error: interrupted; nothing half-written is left behind"),
        (click.exceptions.Abort(), "error: interrupted; nothing half-written is left behind"),
        (MemoryError(), "error: out of memory: free some, or use a smaller model"),
        (FileNotFoundError(2, "No such file or directory", "a.npy"), "error: a.npy: No such file or directory"),
        (OSError("odd"), "error: odd"),
    ],
)
def test_each_failure_is_one_line(fail: Fail, error: BaseException, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECOMPILE_DEBUG", "0")
    assert fail(error) == [line]
    monkeypatch.setenv("EDGECOMPILE_DEBUG", "1")
    shown = fail(error)
    assert shown[-1] == line
    assert ("Traceback (most recent call last):" in shown) == (not isinstance(error, click.exceptions.Abort))


def test_a_reader_that_goes_away_is_no_crash() -> None:
    """`edgecompile targets --json | head -0`: stdout is closed at the other end."""
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run([*PROGRAM, "targets"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert found.returncode == 2
    assert found.stderr == "error: whoever read the output went away\n"


WAITS = {
    "plainly": "time.sleep(30)",
    # As C++ code does between a callback and its caller.
    "under another error": """
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        raise RuntimeError("callback failed") from None
""",
    # As C extensions do; Python then wants to end by the signal.
    "in text that C code runs": """
    run = ctypes.pythonapi.PyRun_String
    run.restype, run.argtypes = ctypes.py_object, [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object]
    run(b"time.sleep(30)", 257, globals(), globals())
""",
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_what_is_half_written(tmp_path: Path, number: signal.Signals, wait: str) -> None:
    script = f"""
import ctypes, time
import click
import edgecompile.cli.targets as targets
from edgecompile.artifact.write import staging
from edgecompile.cli.program import main

def wait():
    {WAITS[wait]}

@click.command("targets")
def command():
    with staging({str(tmp_path / "net")!r}) as folder:
        (folder / "x").write_text("1")
        print("started", flush=True)
        wait()

targets.command = command
main(["targets"])
"""
    (tmp_path / "interrupted.py").write_text(script)
    # Python looks for unhandled interruptions after modules alone; -B: no cache folder beside the module.
    command = [sys.executable, "-B", "-m", "interrupted"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        time.sleep(0.1)
        child.send_signal(number)
        _, stderr = child.communicate(timeout=10)
    assert (child.returncode, stderr) == (2, "error: interrupted; nothing half-written is left behind\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "interrupted.py"]


def test_what_the_failed_frames_print_as_they_go_is_silenced() -> None:
    """TVM's objects write to stderr when they are destroyed in the middle of their work."""
    script = """
import os
import click
import edgecompile.cli.targets as targets
from edgecompile.cli.program import main
from edgecompile.errors import InvalidModelError

class Noisy:
    def __del__(self):
        os.write(2, b"Warning: destroyed")

@click.command("targets")
def command():
    noisy = Noisy()
    raise InvalidModelError("no model")

targets.command = command
main(["targets"])
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (2, "error: no model\n")


def test_a_name_outside_the_encoding_of_the_terminal(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = subprocess.run(
        [*PROGRAM, "verify", str(tmp_path / "né")], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr.startswith("error: ")
    assert len(found.stderr.splitlines()) == 1


def test_all_commands_are_listed() -> None:
    assert program._COMMANDS == COMMANDS
