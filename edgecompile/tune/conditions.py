"""`Conditions`: all that a measured time depends on beside the kernel."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json

from edgecompile.artifact.machine import host_identity, runs_here
from edgecompile.artifact.manifest import Frozen
from edgecompile.target import Target


class Conditions(Frozen):
    """Where and by what a record was made.

    Attributes:
        family: the target's.
        isa: the facts of the target that decide the code, as canonical JSON.
        versions: of edgecompile, TVM and LLVM: another release makes other code.
        cpu: the CPU that ran it, as its operating system names it.
        threads: how many worked on one kernel.
    """

    family: str
    isa: str
    versions: str
    cpu: str
    threads: int

    def why_not(self, wanted: Conditions) -> str | None:
        """The first difference that makes a record of these conditions useless under the wanted ones, or None.

        Records of a board are used on any machine that compiles for the board, so `cpu` counts only where the wanted
        one names it.
        """
        for name, label in (("family", "target"), ("isa", "target"), ("versions", "version"), ("threads", "threads")):
            if getattr(self, name) != getattr(wanted, name):
                return label
        return "CPU" if wanted.cpu and self.cpu != wanted.cpu else None


def conditions_of(target: Target, threads: int) -> Conditions:
    """The conditions under which code for `target` runs; `cpu` is "" unless that is this machine."""
    import tvm

    isa = {
        "architecture": target.architecture,
        "llvm_cpu": target.llvm_cpu,
        "llvm_features": target.llvm_features,
        **dataclasses.asdict(target.cpu),
    }
    ours, theirs = importlib.metadata.version("edgecompile"), importlib.metadata.version("apache-tvm")
    llvm = tvm.target.codegen.llvm_version_major()
    return Conditions(
        family=target.family,
        isa=json.dumps(isa, sort_keys=True),
        versions=f"edgecompile {ours}, TVM {theirs}, LLVM {llvm}",
        cpu="; ".join(host_identity().splitlines()) if runs_here(target) else "",
        threads=threads,
    )
