"""Shared libraries for Android without the NDK: Zig compiles and links, but has nothing of Android's C library.

The linker gets empty libraries that offer the names, as the NDK's own stubs do; on the phone, its real `libc.so` and
`libm.so` take their place. The names are those that Android has had since API level 24 at the latest and that the
runtime or generated code calls: another one fails the link here, not on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecompile.errors import ToolchainError
from edgecompile.target import Target
from targets.cpu.runtime_objects import RUNTIME_FOLDER, cached_build
from targets.cpu.toolchain import NDK_INSTALL, Toolchain, run_tool

_LIBC = (
    *("__errno", "abort", "calloc", "clock_gettime", "close", "free", "fstat", "getauxval", "getpid", "malloc"),
    *("memcmp", "memcpy", "memmove", "memset", "mmap", "munmap", "open", "posix_memalign", "pthread_attr_destroy"),
    *("pthread_attr_init", "pthread_attr_setstacksize", "pthread_cond_destroy", "pthread_cond_init"),
    *("pthread_cond_signal", "pthread_cond_wait", "pthread_create", "pthread_getspecific", "pthread_join"),
    *("pthread_key_create", "pthread_key_delete", "pthread_mutex_destroy", "pthread_mutex_init", "pthread_mutex_lock"),
    *("pthread_mutex_unlock", "pthread_once", "pthread_setspecific", "pthread_sigmask", "realloc", "sigfillset"),
    *("strcmp", "strerror", "strlen", "sysconf", "vsnprintf"),
)
_LIBM_DOUBLE = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "copysign", "cos", "cosh", "erf"),
    *("erfc", "exp", "exp2", "expm1", "fabs", "fdim", "floor", "fma", "fmax", "fmin", "fmod", "frexp", "hypot"),
    *("ldexp", "lgamma", "llrint", "llround", "log", "log10", "log1p", "log2", "lrint", "lround", "modf"),
    *("nearbyint", "nextafter", "pow", "remainder", "rint", "round", "sin", "sinh", "sqrt", "tan", "tanh", "tgamma"),
    "trunc",
)
_LIBM = (*_LIBM_DOUBLE, *(f"{name}f" for name in _LIBM_DOUBLE))


def lacks_c_library(target: Target, toolchain: Toolchain) -> bool:
    """True when the compiler has no C library of the target's: Zig for Android."""
    return target.os == "android" and toolchain.kind == "zig"


def link_with_stubs(toolchain: Toolchain, flags: Sequence[str], members: Sequence[str], name: str, work: Path) -> None:
    """Link `name` from the objects `members` in `work`; `flags` are the driver's.

    Zig's driver refuses to link without a C library, so its linker is called directly.

    Raises:
        ToolchainError: the compiler or the linker failed; above all, a function that is not among the known ones.
    """
    linker = (*toolchain.ar[:-1], "ld.lld")
    libraries = [_make_stub(toolchain, linker, *stub, work) for stub in (("libc.so", _LIBC), ("libm.so", _LIBM))]
    (thread_locals,) = cached_build(toolchain, (RUNTIME_FOLDER / "bionic" / "emutls.c",), "bionic")
    options = [word for flag in flags for word in (flag[4:].split(",") if flag.startswith("-Wl,") else [flag])]
    inputs = [*members, str(thread_locals), *libraries]
    run_tool((*linker, *options, "--eh-frame-hdr", *inputs, "-o", name), work, f"linking {name}")


def _make_stub(toolchain: Toolchain, linker: Sequence[str], name: str, functions: Sequence[str], work: Path) -> str:
    # -fno-builtin: the compiler knows these functions by other signatures.
    (work / "stub.c").write_text("".join(f"void {function}(void) {{}}\n" for function in functions))
    arguments = ["-c", "-fPIC", "-fno-builtin", "-g0", "stub.c", "-o", "stub.o"]
    toolchain.compile(arguments, work, f"compiling an empty {name}")
    run_tool((*linker, "-shared", "-soname", name, "stub.o", "-o", name), work, f"linking an empty {name}")
    return name


def need_ndk(target: Target, toolchain: Toolchain, what: str) -> None:
    """Refuse to make programs where only libraries can be made.

    Raises:
        ToolchainError: the toolchain has no start files of Android's.
    """
    if lacks_c_library(target, toolchain):
        raise ToolchainError(
            f"{what} for '{target.name}' needs Android's NDK, Zig alone makes libraries: {NDK_INSTALL}"
        )
