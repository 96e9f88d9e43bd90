"""Targets by name, with overrides."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgecompile.errors import UnknownTargetError
from edgecompile.target import find_target, list_targets


def test_all_families_are_found() -> None:
    targets = list_targets()
    names = [target.name for target in targets]
    assert names == sorted(names)
    assert {"host", "rpi4", "rpi5", "android-arm64", "armv9", "armv7-neon"} <= set(names)
    assert all(find_target(target.name) == target for target in targets)


def test_overrides_replace_facts() -> None:
    target = find_target("rpi4, num_cores=2 ,features=asimddp:asimd,llvm_features=+dotprod:-prefer-x,llvm_cpu=generic")
    assert target.cpu.num_cores == 2
    assert target.cpu.features == ("asimd", "asimddp")
    assert target.llvm_features == ("+dotprod", "-prefer-x")
    assert target.llvm_cpu == "generic"
    assert target.cpu.l1d_bytes == find_target("rpi4").cpu.l1d_bytes
    assert find_target(target.name) == target
    assert find_target("rpi4,features=").cpu.features == ()
    assert find_target("android-arm64,os=linux").os == "linux"


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("rpi44", "did you mean 'rpi4'.*android-arm64.*rpi5"),
        ("", "no target is named ''"),
        ("Host", "did you mean 'host'"),
        ("rpi4,num_core=2", "did you mean 'num_cores'.*l1d_bytes"),
        ("rpi4,num_cores", "KEY=VALUE, found 'num_cores'"),
        ("rpi4,", "KEY=VALUE, found ''"),
        ("rpi4,num_cores=0", "whole number above 0, found '0'"),
        ("rpi4,num_cores=two", "whole number above 0, found 'two'"),
        ("rpi4,vector_bytes=17", "does not fit"),
        ("rpi4,os=beos", "os must be one of android, ios, linux"),
        ("rpi4,llvm_cpu=a b", "llvm_cpu must be a name"),
        ("rpi4,llvm_features=dotprod", "each with \\+ or -"),
        ("rpi4,features=asimd::fp", "joined by colons"),
        ("rpi4,name=x", "KEY=VALUE, found 'name=x'"),
    ],
)
def test_mistakes_say_what_exists(text: str, needle: str) -> None:
    with pytest.raises(UnknownTargetError, match=needle):
        find_target(text)


def test_finding_targets_imports_nothing_heavy() -> None:
    program = (
        "import sys; from edgecompile.target import list_targets; list_targets();"
        "sys.exit(bool({'tvm', 'torch', 'numpy', 'onnx'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
