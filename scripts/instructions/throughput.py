"""What a loop takes on a core by counting its pipelines: LLVM's machine code analyzer.

It assumes that every load hits the first cache and that every branch is foreseen.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

from edgecompile.errors import ToolchainError
from scripts.instructions.disassembly import Instruction

# LLVM treats a Cortex-A76 as a Cortex-A57. Neoverse N1, the same core for servers, has a model of its own.
# Likewise the N2 is a Cortex-A710.
CORES = {"Cortex-A72": "cortex-a72", "Cortex-A76": "neoverse-n1", "Cortex-A710": "neoverse-n2"}
PORTS = {"Cortex-A72": 1, "Cortex-A76": 2, "Cortex-A710": 2}  # products of four lanes that can start in a cycle
# By the instructions that the older cores lack.
_CORES_WITH = {"sdot": ("Cortex-A76", "Cortex-A710"), "smmla": ("Cortex-A710",)}
_LEAST_VERSION = 19  # 16 has no model of the N1 yet; those between were not tried
_ITERATIONS = 200


@dataclass(frozen=True)
class Throughput:
    """Of one loop on one core.

    Attributes:
        core: its name.
        cycles: of one turn, in the long run.
        peak_share: products of vectors as a part of those that the core can start.
    """

    core: str
    cycles: float
    peak_share: float


def find_analyzer() -> str:
    """The newest llvm-mca.

    Raises:
        ToolchainError: none, or only old ones.
    """
    names = ["llvm-mca", *(f"llvm-mca-{version}" for version in range(_LEAST_VERSION, 40))]
    found = [path for name in names if (path := shutil.which(name))]
    versions = {path: _version(path) for path in found}
    newest = max(found, key=lambda path: versions[path], default=None)
    if newest is None or versions[newest] < _LEAST_VERSION:
        raise ToolchainError(f"throughput needs llvm-mca {_LEAST_VERSION} or newer: apt-get install llvm-19")
    return newest


def analyze(analyzer: str, loop: tuple[Instruction, ...]) -> list[Throughput]:
    """A loop of `innermost_loops` on each of the cores.

    Raises:
        ToolchainError: the analyzer cannot read it.
    """
    products = sum(is_product(instruction) for instruction in loop)
    text = "\n".join(["begin:", *(_without_address(instruction.text) for instruction in loop), ""])
    found = []
    for core in cores_of(loop):
        command = [analyzer, "-mtriple=aarch64", f"-mcpu={CORES[core]}", f"-iterations={_ITERATIONS}", "-json"]
        result = subprocess.run(command, input=text, capture_output=True, text=True)
        if result.returncode != 0:
            said = (result.stderr.strip().splitlines() or ["no message"])[0]
            raise ToolchainError(f"llvm-mca cannot analyze a loop: {said}")
        summary = json.loads(result.stdout)["CodeRegions"][0]["SummaryView"]
        cycles = summary["TotalCycles"] / summary["Iterations"]
        found.append(Throughput(core, cycles, products / cycles / PORTS[core]))
    return found


def cores_of(loop: tuple[Instruction, ...]) -> tuple[str, ...]:
    """The cores that have all of its instructions; of float32, the two that have long been compared."""
    found: tuple[str, ...] = ("Cortex-A72", "Cortex-A76")
    for name, cores in _CORES_WITH.items():
        if any(instruction.text.startswith(name) for instruction in loop):
            found = cores
    return found


def is_product(instruction: Instruction) -> bool:
    """True for a fused multiply-add of four lanes: of floats, or of several bytes for each."""
    return re.match(r"(fml[as]|sdot|smmla) v\d+\.4s", instruction.text) is not None


def _without_address(text: str) -> str:
    """A branch with a name for its target, since an address means nothing elsewhere."""
    return re.sub(r"(?:0x)?[0-9a-f]+ <.*>$", "begin", text)


def _version(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"LLVM version (\d+)", said)
    return int(found[1]) if found else 0
