"""The runtimes that can be compared, one file each behind one protocol; a file is imported only in its own worker."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from scripts.bench.case import Case

__all__ = ["OURS", "RIVALS", "Loader", "Network", "ProbedNetwork", "UnusableRival", "loader", "version_of"]

OURS = "edgecompile"

# Names to the distributions that each needs; the first one's version is shown.
RIVALS = {
    OURS: ("edgecompile",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "mnn": ("mnn",),
    "ncnn": ("ncnn", "pnnx"),
    "pytorch": ("torch",),
}


class UnusableRival(Exception):
    """A runtime cannot take part; the message is the reason, in one line."""


class Network(Protocol):
    """A network that a runtime has loaded, its inputs in place.

    Attributes:
        notes: the settings that were chosen, and what the runtime tells about its kernels.
    """

    notes: str

    def run(self) -> object:
        """One inference."""

    def outputs(self) -> list[np.ndarray]:
        """What the last inference answered, in the order of the case's `expected`."""


class ProbedNetwork(Network, Protocol):
    """A network that can be asked about other inputs too, as those in int8 are.

    Attributes:
        model_bytes: of the files that the runtime needs beside itself.
    """

    model_bytes: int

    def give(self, inputs: Sequence[np.ndarray]) -> None:
        """Other inputs of the same shapes, in order, for the inferences that follow."""


# From a case and a number of threads to the runtime's version, and the network at its fastest settings. A process is
# started with it, so it must be a function of a module, or a `functools.partial` of one.
Loader = Callable[[Case, int], tuple[str, Network]]


def loader(rival: str) -> Loader:
    """How to load a case into one of `RIVALS`.

    The function that it gives raises `UnusableRival` where a distribution is missing, and whatever the runtime raises.
    """
    return functools.partial(_load, rival)


def version_of(*distributions: str) -> str:
    """The version of the first one.

    Raises:
        UnusableRival: one of them is missing.
    """
    try:
        versions = [importlib.metadata.version(distribution) for distribution in distributions]
    except importlib.metadata.PackageNotFoundError as error:
        raise UnusableRival(f"{error.name} is not installed: pip install -e '.[bench]'") from None
    return versions[0]


def _load(rival: str, case: Case, threads: int) -> tuple[str, Network]:
    version = version_of(*RIVALS[rival])
    return version, importlib.import_module(f"scripts.bench.rivals.{rival}").load(case, threads)
