"""The runtime's own object files, compiled once per toolchain and kept in the cache."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

import edgecompile.runtime
from edgecompile.errors import OutputError
from edgecompile.settings import cache_directory
from targets.cpu.toolchain import Toolchain

RUNTIME_FOLDER = Path(edgecompile.runtime.__file__).parent
INCLUDE_FOLDER = RUNTIME_FOLDER / "include"
SOURCE_FOLDER = RUNTIME_FOLDER / "src"

# -ffunction-sections lets the linker drop what a library does not use.
COMPILE_FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"),
    *("-Wall", "-Wextra", "-g0"),  # Zig adds debug information, and with it paths, unless told not to
)
_DIGESTS = "SHA256SUMS"


def include_flags() -> tuple[str, ...]:
    """Compiler flags that find the runtime's headers and keep their folder out of the objects."""
    return (f"-I{INCLUDE_FOLDER}", f"-I{SOURCE_FOLDER}", f"-ffile-prefix-map={RUNTIME_FOLDER}=edgecompile")


def runtime_objects(toolchain: Toolchain) -> tuple[Path, ...]:
    """The compiled runtime for `toolchain`, from the cache where it is there and intact.

    Raises:
        ToolchainError: the compiler failed.
        OutputError: the cache cannot be written.
    """
    return cached_build(toolchain, tuple(sorted(SOURCE_FOLDER.glob("*.c"))), "runtime")


def cached_program(
    toolchain: Toolchain, source: Path, *, flags: tuple[str, ...] = (), libraries: tuple[str, ...] = ()
) -> Path:
    """The executable of one source file, named as the file is; its object is kept in the cache.

    Args:
        flags: for the compiler, after `COMPILE_FLAGS`.
        libraries: for the linker.

    Raises:
        ToolchainError: the compiler failed.
        OutputError: the cache cannot be written.
    """
    (built,) = cached_build(toolchain, (source,), source.stem, flags)
    # Linking costs less than checking a cached program would.
    program = built.with_name(source.stem)
    try:
        with tempfile.TemporaryDirectory(dir=built.parent, prefix=".linking-") as name:
            work = Path(name)
            toolchain.compile([str(built), *libraries, "-o", program.name], work, f"linking {program.name}")
            (work / program.name).replace(program)
    except OSError as error:
        raise OutputError(
            f"cannot write the cache {program.parent}: {error.strerror}; set EDGECOMPILE_CACHE"
        ) from error
    return program


def cached_build(
    toolchain: Toolchain, sources: tuple[Path, ...], kind: str, flags: tuple[str, ...] = ()
) -> tuple[Path, ...]:
    """One object per source file, in the order of `sources`.

    The key holds everything that decides the bytes: sources, headers, flags and compiler. A folder that lacks a file,
    or has one that changed since it was written, is built again.
    """
    names = tuple(f"{source.stem}.o" for source in sources)
    every_flag = (*COMPILE_FLAGS, *flags)
    folder = cache_directory() / kind / _key(toolchain, sources, every_flag)
    if not _is_intact(folder, names):
        try:
            _build(toolchain, sources, every_flag, names, folder)
        except OSError as error:
            raise OutputError(f"cannot write the cache {folder}: {error.strerror}; set EDGECOMPILE_CACHE") from error
    return tuple(folder / name for name in names)


@functools.cache
def _key(toolchain: Toolchain, sources: tuple[Path, ...], flags: tuple[str, ...]) -> str:
    headers = sorted([*INCLUDE_FOLDER.glob("*.h"), *SOURCE_FOLDER.glob("*.h")])
    digest = hashlib.sha256(repr((toolchain.command, toolchain.version, flags)).encode())
    for path in (*sources, *headers):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _is_intact(folder: Path, names: tuple[str, ...]) -> bool:
    try:
        return (folder / _DIGESTS).read_text() == _digests(folder, names)
    except OSError:
        return False


def _digests(folder: Path, names: tuple[str, ...]) -> str:
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def _build(
    toolchain: Toolchain, sources: tuple[Path, ...], flags: tuple[str, ...], names: tuple[str, ...], folder: Path
) -> None:
    """Fill `folder` in one step, so that a process beside this one sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as name:
        work = Path(name) / "objects"
        work.mkdir()
        for source, output in zip(sources, names, strict=True):
            arguments = [*flags, *include_flags(), "-c", str(source), "-o", output]
            toolchain.compile(arguments, work, f"compiling the runtime's {source.name}")
        (work / _DIGESTS).write_text(_digests(work, names))
        if folder.exists():  # damaged, or finished by another process while this one compiled
            if _is_intact(folder, names):
                return
            shutil.rmtree(folder)
        try:
            work.rename(folder)
        except OSError:
            if not _is_intact(folder, names):  # not a finished build of another process either
                raise
