"""Comparing what an artifact answers now with what was recorded when it was compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgecompile.artifact.dtypes import is_floating
from edgecompile.artifact.manifest import Manifest
from edgecompile.artifact.selftest import SelfTest

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Comparison:
    """One output against one record of it.

    Attributes:
        output: its name.
        against: "compiled" (this artifact, when it was compiled) or "reference" (the original model).
        difference: largest absolute difference, as a part of the record's range; infinite where shapes, or the places
            of NaN and infinities, differ.
        tolerance: the largest difference that passes; 0 means bit-exact.
    """

    output: str
    against: Literal["compiled", "reference"]
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """True when the difference is within the tolerance."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class VerifyResult:
    """All comparisons of one self-test; at least one per output unless nothing was recorded."""

    comparisons: tuple[Comparison, ...]
    reference_name: str
    machine: str

    @property
    def ok(self) -> bool:
        """True when something was compared and everything passed."""
        return bool(self.comparisons) and all(comparison.ok for comparison in self.comparisons)

    def __bool__(self) -> bool:
        return self.ok


def compare(manifest: Manifest, selftest: SelfTest, outputs: Sequence[np.ndarray], machine: str) -> VerifyResult:
    """Compare fresh `outputs`, in the manifest's order, with both records of the self-test."""
    fresh = {entry.name: array for entry, array in zip(manifest.outputs, outputs, strict=True)}
    floating = {entry.name: is_floating(entry.dtype) for entry in manifest.outputs}
    comparisons: list[Comparison] = []
    records: tuple[tuple[Literal["compiled", "reference"], Mapping[str, np.ndarray], float], ...] = (
        ("compiled", selftest.compiled, manifest.compiled_tolerance),
        ("reference", selftest.reference, manifest.reference_tolerance),
    )
    for against, recorded, tolerance in records:
        for name, array in recorded.items():
            allowed = tolerance if floating[name] else 0.0
            comparisons.append(Comparison(name, against, relative_difference(fresh[name], array), allowed))
    return VerifyResult(tuple(comparisons), manifest.reference_name, machine)


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| / (max expected - min expected), over the finite elements.

    Where `expected` is constant, its magnitude stands for the range, or 1 if that is zero. Equal arrays differ by 0.
    """
    import numpy as np

    if found.shape != expected.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    a, b = found.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    if np.array_equal(found[finite], expected[finite]):  # before float64 blurs large integers
        return 0.0
    a, b = a[finite], b[finite]
    extent = float(b.max() - b.min()) or float(np.abs(b).max()) or 1.0
    # Unequal integers above 2^53 may have become equal: they still differ.
    return float(np.abs(a - b).max()) / extent or float(np.finfo(np.float64).tiny)
