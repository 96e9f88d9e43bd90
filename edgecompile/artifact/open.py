"""Opening an artifact: everything is checked before any of its code is loaded."""

from __future__ import annotations

import os

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.elsewhere import ElsewhereExecutor
from edgecompile.artifact.executor import Executor
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.machine import check_machine
from edgecompile.artifact.manifest import REPORT_NAME, Manifest
from edgecompile.artifact.report import Report, decode
from edgecompile.errors import InvalidArtifactError, InvalidInputError


def open(path: str | os.PathLike[str], *, threads: int | None = None, emulate: bool = False) -> Artifact:
    """Open a folder that `edgecompile.compile` wrote.

    Args:
        path: the folder.
        threads: how many work on one inference; the number chosen at compile time unless given.
        emulate: run the library in an emulator of the target instead of in this process.

    Raises:
        InvalidArtifactError: the folder is no artifact, or differs from what was written.
        WrongMachineError: it was built for another machine and `emulate` is not set.
        ToolchainError: the emulator is missing.
    """
    folder = Folder(path)
    folder.check()
    chosen = folder.manifest.threads if threads is None else threads
    if not 1 <= chosen <= 1024:
        raise InvalidInputError(f"threads must be from 1 to 1024, found {chosen}")
    return Artifact(folder, _executor(folder, chosen, emulate))


def open_elsewhere(path: str | os.PathLike[str]) -> Artifact:
    """Open an artifact for another machine to look at it; running it raises WrongMachineError.

    Raises:
        InvalidArtifactError: the folder is no artifact, or differs from what was written.
    """
    folder = Folder(path)
    folder.check()
    return Artifact(folder, ElsewhereExecutor(folder.manifest.target, folder.manifest.threads))


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """What an artifact says about itself, for any machine: its files are checked, its code is not loaded.

    Raises:
        InvalidArtifactError: the folder is no artifact, or differs from what was written.
    """
    folder = Folder(path)
    folder.check()
    return folder.manifest


def read_report(path: str | os.PathLike[str]) -> Report:
    """How the kernels of an artifact came to be, for any machine; raises as `read_manifest` does."""
    folder = Folder(path)
    folder.check()
    if REPORT_NAME not in folder.manifest.files:
        raise InvalidArtifactError(f"{path} has no {REPORT_NAME}: compile the model again")
    return decode(folder.read(REPORT_NAME))


def _executor(folder: Folder, threads: int, emulate: bool) -> Executor:
    """The executor's modules are imported as needed: each has heavy ones of its own."""
    if emulate:
        from edgecompile.artifact.emulated import EmulatedExecutor

        return EmulatedExecutor(folder, threads)
    check_machine(folder.manifest.target)
    if folder.manifest.executor == "vm":
        from edgecompile.artifact.virtual_machine import VirtualMachineExecutor

        return VirtualMachineExecutor(folder, threads)
    from edgecompile.artifact.native import NativeExecutor

    return NativeExecutor(folder, threads)
