"""Exit statuses, and the one line that each kind of failure prints."""

from __future__ import annotations

import os
import traceback
from typing import TextIO

import click

from edgecompile.errors import CompilerBugError, EdgeCompileError
from edgecompile.settings import debug_level

OK = 0
CHECK_FAILED = 1
FAILED = 2


class CheckFailed(Exception):
    """The command worked, and what it checked is not as it should be; it has printed the details."""


def describe(error: BaseException) -> str:
    """`error: ...` in one line; from `EDGECOMPILE_DEBUG=1` on, the traceback goes before it."""
    line = f"error: {' '.join(_message(error).split())}"
    if debug_level() < 1 or isinstance(error, click.exceptions.Abort):
        return line
    return "".join(traceback.format_exception(error)) + line


def silence(stream: TextIO, error: BaseException) -> None:
    """Where nobody reads `stream` any more, keep Python from complaining about it once more at exit."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _message(error: BaseException) -> str:
    if isinstance(error, CompilerBugError):
        return f"this is a bug in edgecompile, please report it: {error}"
    if isinstance(error, EdgeCompileError):
        return str(error)
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "edgecompile"
        return f"{error.format_message().rstrip('.')}; see `{command} --help`"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return "interrupted; nothing half-written is left behind"
    if isinstance(error, BrokenPipeError):
        return "whoever read the output went away"
    if isinstance(error, MemoryError):
        return "out of memory: free some, or use a smaller model"
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror or error}"
    first = (str(error).strip().splitlines() or ["no message"])[0][:300]
    return f"this is a bug in edgecompile, please report it with EDGECOMPILE_DEBUG=1: {type(error).__name__}: {first}"
