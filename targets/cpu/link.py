"""Kernels' objects + facts + runtime -> `lib<name>.so`, `lib<name>.a` and the headers."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgecompile.errors import CompilerBugError, OutputError, UnsupportedModelError
from targets.cpu.bionic import lacks_c_library, link_with_stubs
from targets.cpu.elf_symbols import defined_symbols, rename_and_hide
from targets.cpu.network import Network, network_source, public_header, weights_source
from targets.cpu.runtime_objects import COMPILE_FLAGS, INCLUDE_FOLDER, include_flags, runtime_objects
from targets.cpu.toolchain import Toolchain, find_toolchain

# Code reaches its constants with 32-bit offsets on x86-64; half of that range leaves room for everything else.
MAX_EMBEDDED_BYTES = 2**30

# The functions of edgecompile.h, each by name: a pattern like `ec_*` would let `ec_internal_*` out.
PUBLIC_FUNCTIONS = (
    *("ec_abi_version", "ec_last_error", "ec_network_name", "ec_network_target", "ec_input_count", "ec_output_count"),
    *("ec_input", "ec_output", "ec_arena_bytes", "ec_weights_bytes", "ec_open", "ec_run", "ec_close"),
    *("ec_step_count", "ec_step_name", "ec_step_nanoseconds"),
)
_RUNTIME_CALLS = ("TVMBackendParallelLaunch", "ec_internal_step_done")
_LINK_FLAGS = (
    *("-shared", "-Wl,--gc-sections", "-Wl,--as-needed", "-Wl,--strip-debug"),
    *("-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
    "-Wl,--build-id=sha1",  # of the contents: names the build in a crash report, and is the same for the same build
)


def link_library(network: Network, objects: Sequence[Path], weights: Path | None, folder: Path) -> None:
    """Write `lib<name>.so`, `lib<name>.a`, `include/edgecompile.h` and `include/<name>.h` into `folder`.

    The same arguments and toolchain give the same bytes, wherever `folder` is. Nothing but `ec_*` and `<name>_network`
    is visible in the shared library; in the archive, every symbol of the network's own carries its name.

    Args:
        network: the facts.
        objects: position-independent ELF objects that define `network.run_symbol`.
        weights: the constant blob; needed when `network.has_embedded_weights`, else ignored.
        folder: exists; files of the same names are replaced.

    Raises:
        ToolchainError: no compiler for the target, or it failed.
        UnsupportedModelError: the weights are too large to be embedded.
        OutputError: the folder cannot be written.
    """
    toolchain = find_toolchain(network.target)
    runtime = runtime_objects(toolchain)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".link-") as name:
            work = Path(name)
            _write_headers(network, work)
            members = [_compile_table(network, toolchain, work), *_rename_objects(network, objects, work)]
            if network.has_embedded_weights:
                members.append(_assemble_weights(network, toolchain, weights, work))
            members += [shutil.copyfile(path, work / f"ec_{path.name}").name for path in runtime]
            shared = _link_shared(network, toolchain, members, work)
            static = f"lib{network.name}.a"
            toolchain.archive(["rcsD", static, *members], work, f"archiving {static}")
            _move(work, folder, [shared, static, "include/edgecompile.h", f"include/{network.name}.h"])
    except OSError as error:
        raise OutputError(f"cannot write the library into {folder}: {error.strerror or error}") from error


def _write_headers(network: Network, work: Path) -> None:
    include = work / "include"
    include.mkdir()
    shutil.copyfile(INCLUDE_FOLDER / "edgecompile.h", include / "edgecompile.h")
    (include / f"{network.name}.h").write_text(public_header(network))


def _compile_table(network: Network, toolchain: Toolchain, work: Path) -> str:
    (work / "network.c").write_text(network_source(network))
    arguments = [*COMPILE_FLAGS, *include_flags(), "-c", "network.c", "-o", "network.o"]
    toolchain.compile(arguments, work, f"compiling the table of network '{network.name}'")
    return "network.o"


def _rename_objects(network: Network, objects: Sequence[Path], work: Path) -> list[str]:
    """Copies of the kernels' objects whose symbols no other network has."""
    contents = [path.read_bytes() for path in objects]
    defined = frozenset[str]().union(*map(defined_symbols, contents))
    if network.run_symbol not in defined:
        raise CompilerBugError(f"the kernels of '{network.name}' must define {network.run_symbol}, and do not")
    names = {symbol: network.symbol(symbol) for symbol in (*defined, *_RUNTIME_CALLS)}
    members = [f"kernels_{i}.o" for i in range(len(contents))]
    for member, content in zip(members, contents, strict=True):
        (work / member).write_bytes(rename_and_hide(content, names))
    return members


def _assemble_weights(network: Network, toolchain: Toolchain, weights: Path | None, work: Path) -> str:
    if network.weights_bytes > MAX_EMBEDDED_BYTES:
        raise UnsupportedModelError(
            f"at most {MAX_EMBEDDED_BYTES} bytes of weights can be embedded, '{network.name}' has "
            f"{network.weights_bytes}: keep them in a file"
        )
    if weights is None or _sha256(weights) != network.weights_sha256:
        raise CompilerBugError(
            f"the weights of '{network.name}' to embed are not those that its table names: {weights}"
        )
    (work / "weights.bin").symlink_to(weights.resolve())
    (work / "weights.S").write_text(weights_source(network, "weights.bin"))
    toolchain.compile(["-c", "weights.S", "-o", "weights.o"], work, f"embedding the weights of '{network.name}'")
    return "weights.o"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _link_shared(network: Network, toolchain: Toolchain, members: Sequence[str], work: Path) -> str:
    exports = " ".join(f"{symbol};" for symbol in (*PUBLIC_FUNCTIONS, f"{network.name}_network"))
    (work / "exports.map").write_text(f"{{ global: {exports} local: *; }};\n")
    name = f"lib{network.name}.so"
    flags = [*_LINK_FLAGS, f"-Wl,-soname,{name}", "-Wl,--version-script=exports.map"]
    if toolchain.kind != "zig":  # Zig adds no start files and no libgcc of its own to a shared library
        flags += ["-nostartfiles", "-static-libgcc"] if toolchain.kind == "gcc" else ["-nostartfiles"]
    if network.target.os == "android":
        flags.append("-Wl,-z,max-page-size=16384")  # phones since Android 15 may have pages of 16 KiB
    if lacks_c_library(network.target, toolchain):
        link_with_stubs(toolchain, flags, members, name, work)
    else:
        toolchain.compile([*flags, *members, "-lm", "-pthread", "-o", name], work, f"linking {name}")
    return name


def _move(work: Path, folder: Path, names: Sequence[str]) -> None:
    (folder / "include").mkdir(exist_ok=True)
    for name in names:
        (work / name).replace(folder / name)
