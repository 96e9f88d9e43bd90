"""`main`: finds the command, runs it, and turns every failure into one line and an exit status."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

import click

from edgecompile.cli.failures import CHECK_FAILED, FAILED, OK, CheckFailed, describe, silence
from edgecompile.cli.notices import show_notices
from edgecompile.settings import debug_level

_COMMANDS = ("compile", "compress", "analyze", "run", "verify", "bench", "inspect", "explain", "targets", "doctor")


class LazyGroup(click.Group):
    """Imports a command's module when the command is named; the modules themselves import only click."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The function `command` of `edgecompile.cli.<name>`."""
        if cmd_name not in _COMMANDS:
            return None
        return importlib.import_module(f"edgecompile.cli.{cmd_name}").command


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"edgecompile {version('edgecompile')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
def program() -> None:
    """Compile PyTorch and ONNX models into small C libraries for a named device.

    \b
    Examples:
      edgecompile compile model.onnx --target rpi4 -o build/net
      edgecompile verify build/net
      edgecompile COMMAND --help

    Exit status: 0 done, 1 a check failed, 2 wrong usage or input (one line on stderr). EDGECOMPILE_DEBUG=1 adds
    the traceback.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave the process with its exit status."""
    show_notices()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as it is in a shell's background jobs
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name outside the terminal's encoding is no reason to fail
    outcome = run_program(sys.argv[1:] if arguments is None else arguments)
    if _INTERRUPTIONS:
        _forget_interruption()
    if outcome.error and debug_level() < 1:
        # The error holds the frames that failed; TVM's objects in them print to stderr as they are destroyed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(outcome.status)


class Outcome(NamedTuple):
    """The exit status, and what was raised where it is `FAILED`."""

    status: int
    error: BaseException | None = None


def run_program(arguments: Sequence[str]) -> Outcome:
    """Run the program; every failure has been printed."""
    try:
        with program.make_context("edgecompile", list(arguments)) as context:
            program.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        return Outcome(leaving.exit_code)
    except CheckFailed:
        return Outcome(CHECK_FAILED)
    except (KeyboardInterrupt, Exception) as error:
        # C++ code between the signal and here may have made another kind of error of it.
        cause = KeyboardInterrupt().with_traceback(error.__traceback__) if _INTERRUPTIONS else error
        silence(sys.stdout, cause)
        click.echo(describe(cause), err=True)
        return Outcome(FAILED, error)
    return Outcome(OK)


_INTERRUPTIONS: list[int] = []  # the signals that asked this process to stop


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let half-written output be removed on the way out."""
    _INTERRUPTIONS.append(number)
    raise KeyboardInterrupt


def _forget_interruption() -> None:
    """Keep the exit status ours.

    Where an interruption passes through C code that runs Python text, Python remembers it as unhandled and ends the
    process by the signal, whatever the exit status. Running other text makes it forget.
    """
    import ctypes

    ctypes.pythonapi.PyRun_SimpleString(b"")
