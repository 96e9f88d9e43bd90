"""What a machine can do at best, and the least time that some work then takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Limit = Literal["compute", "memory"]
Factors = Literal["float32", "int8"]


@dataclass(frozen=True)
class ReadRate:
    """How fast a buffer is read again and again.

    Attributes:
        buffer_bytes: its size, all threads' parts together; it decides which cache serves it.
        bytes_per_s: of all threads together.
    """

    buffer_bytes: int
    bytes_per_s: float

    def __post_init__(self) -> None:
        assert self.buffer_bytes > 0 and self.bytes_per_s > 0


@dataclass(frozen=True)
class Bound:
    """The least time of some work.

    Attributes:
        ms: no implementation can take less.
        limit: what it waits for.
    """

    ms: float
    limit: Limit


@dataclass(frozen=True)
class Roofline:
    """The best of a number of cores: measured, but for the peak of int8, which follows from the one of fp32.

    Attributes:
        threads: how many worked at the same time.
        flops_per_s: fp32 multiply-adds in registers, each counted as two operations.
        reads: for buffers of ascending size.
        int8_ops_per_s: int8 multiply-adds with 32-bit sums, likewise; None where no instruction is known for them.
    """

    threads: int
    flops_per_s: float
    reads: tuple[ReadRate, ...]
    int8_ops_per_s: float | None = None

    def __post_init__(self) -> None:
        assert self.threads > 0 and self.flops_per_s > 0 and self.reads
        assert self.int8_ops_per_s is None or self.int8_ops_per_s > 0
        sizes = [read.buffer_bytes for read in self.reads]
        assert sizes == sorted(set(sizes))

    def peak(self, factors: Factors) -> float:
        """Operations per second; int8 without instructions of its own is multiplied as other numbers are."""
        return self.int8_ops_per_s or self.flops_per_s if factors == "int8" else self.flops_per_s

    def bytes_per_s(self, buffer_bytes: int) -> float:
        """The most at which `buffer_bytes` can be read: the best of the measured buffers that are not clearly smaller.

        Between two measured sizes the smaller one's rate counts, so that the time from it stays a lower bound; a larger
        buffer that was read faster shows a disturbed measurement, and its rate counts instead.
        """
        smaller = [read.buffer_bytes for read in self.reads if read.buffer_bytes <= buffer_bytes]
        least = max(smaller, default=self.reads[0].buffer_bytes)
        return max(read.bytes_per_s for read in self.reads if read.buffer_bytes >= least)

    def bound(
        self,
        operations: int,
        moved_bytes: int,
        weight_bytes: int,
        resident_bytes: int,
        factors: Factors = "float32",
    ) -> Bound:
        """The least time of one kernel call.

            max(operations / peak, moved / rate(moved), weights / rate(resident))

        Args:
            operations: arithmetic, one multiply-add being two.
            moved_bytes: all that it reads and writes; at best the caches hold it from the call before.
            weight_bytes: the part of it that one inference reads once. Until the next inference reads it again, all
                other weights and activations have passed through the caches.
            resident_bytes: all weights and activations of the model.
            factors: of its products.
        """
        compute_s = operations / self.peak(factors)
        moved_s = moved_bytes / self.bytes_per_s(moved_bytes)
        memory_s = max(moved_s, weight_bytes / self.bytes_per_s(resident_bytes))
        return Bound(1e3 * max(compute_s, memory_s), "compute" if compute_s >= memory_s else "memory")
