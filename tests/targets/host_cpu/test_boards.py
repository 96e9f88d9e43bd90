"""`host` from the files of other machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.errors import UnknownTargetError
from targets.host_cpu.boards import Machine, describe, host, read_machine

V2 = "cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe"
V4 = f"{V3} avx512bw avx512cd avx512dq avx512f avx512vl"


def _x86(features: str, vendor: str = "GenuineIntel", family: int = 6) -> Machine:
    return Machine("x86_64", vendor, family, frozenset(features.split()), 32768, 1 << 20, 8)


@pytest.mark.parametrize(
    ("features", "llvm_cpu", "llvm_features", "vector_bytes", "registers"),
    [
        ("fpu sse2", "x86-64", (), 16, 16),
        (V2, "x86-64-v2", (), 16, 16),
        (V3, "x86-64-v3", (), 32, 16),
        (f"{V3} avx_vnni", "x86-64-v3", ("+avxvnni",), 32, 16),
        (V4, "x86-64-v4", ("-prefer-256-bit",), 64, 32),
        (f"{V4} avx512_vnni", "x86-64-v4", ("+avx512vnni", "-prefer-256-bit"), 64, 32),
        # A virtual machine that hides one feature keeps the others, one by one.
        (V3.replace(" movbe", ""), "x86-64-v2", ("+lzcnt", "+avx", "+avx2", "+bmi", "+bmi2", "+f16c", "+fma"), 32, 16),
        (V4.replace(" avx512vl", " avx512_vnni"), "x86-64-v3", (), 32, 16),
    ],
)
def test_x86_by_features(
    features: str, llvm_cpu: str, llvm_features: tuple[str, ...], vector_bytes: int, registers: int
) -> None:
    target = describe(_x86(features))
    assert (target.llvm_cpu, target.llvm_features) == (llvm_cpu, llvm_features)
    assert (target.cpu.vector_bytes, target.cpu.vector_registers) == (vector_bytes, registers)
    assert set(target.cpu.features) <= set(features.split())  # the library demands nothing that the machine lacks


def test_x86_fma_ports_by_generation() -> None:
    assert describe(_x86(V4)).cpu.fma_ports == 2
    assert describe(_x86(V4, "AuthenticAMD", 25)).cpu.fma_ports == 1
    assert describe(_x86(V4, "AuthenticAMD", 26)).cpu.fma_ports == 2
    assert describe(_x86(V3, "AuthenticAMD", 25)).cpu.fma_ports == 2
    assert describe(_x86(V2)).cpu.fma_ports == 1


def test_arm_hosts() -> None:
    pi5 = Machine("aarch64", "", 0, frozenset(["fp", "asimd", "aes", "asimdhp", "fphp", "asimddp"]), 65536, 524288, 4)
    target = describe(pi5)
    assert (target.architecture, target.llvm_features) == ("aarch64", ("+dotprod", "+fullfp16"))
    assert target.cpu.features == ("asimd", "asimddp", "asimdhp", "fphp")
    pi2 = Machine("armv7l", "", 0, frozenset(["half", "neon", "vfpv3", "vfpv4"]), None, None, 4)
    target = describe(pi2)
    assert (target.llvm_triple, target.cpu.vector_registers) == ("armv7a-linux-gnueabihf", 16)
    assert (target.cpu.l1d_bytes, target.cpu.l2_bytes) == (32768, 262144)
    for machine in (
        Machine("armv7l", "", 0, frozenset({"vfpv3"}), None, None, 1),
        Machine("riscv64", "", 0, frozenset(), None, None, 1),
    ):
        with pytest.raises(UnknownTargetError, match="needs an x86-64, AArch64 or ARMv7 NEON machine"):
            describe(machine)


def test_files_are_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nflags\t\t: avx avx2\n\nflags\t\t: other\n")
    for index, (level, kind, size) in enumerate(
        [("1", "Instruction", "64K"), ("1", "Data", "48K"), ("2", "Unified", "2M")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    machine = read_machine(cpuinfo, tmp_path)
    assert (machine.vendor, machine.family, machine.features) == ("AuthenticAMD", 25, frozenset({"avx", "avx2"}))
    assert (machine.l1d_bytes, machine.l2_bytes) == (48 * 1024, 2 * 1024 * 1024)
    nothing = read_machine(tmp_path / "missing", tmp_path / "missing")
    assert (nothing.features, nothing.l1d_bytes) == (frozenset(), None)


def test_host_is_the_same_each_time() -> None:
    assert host() == host()
