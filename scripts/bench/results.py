"""What was measured, as tables for people and as a document for programs."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from typing import Any

from edgecompile.cli.tables import Percent, print_table
from scripts.bench.peak import Peak
from scripts.bench.rounds import Comparison, Row

COLUMNS = ("runtime", "median ms", "min ms", "to best rival", "GFLOP/s", "of peak %", "difference", "how")
INT8_COLUMNS = (
    "runtime", "median ms", "min ms", "to best rival", "to our float", "SNR dB", "top-1 same", "model MB", "how"
)  # fmt: skip

_NO_PEAK = Peak(None, "not measured")


def print_comparison(comparison: Comparison, peak: Peak) -> None:
    """One table: a runtime in each row, ours first; a runtime that could not be timed shows the reason."""
    rows = [
        (
            f"{row.runtime} {row.version}".strip(),
            row.median_ms,
            row.min_ms,
            comparison.ratio(row),
            gflops(comparison, row),
            peak_percent(comparison, row, peak),
            None if row.difference is None else f"{row.difference:.0e}",
            row.notes if row.status == "timed" else f"{row.status}: {row.reason}",
        )
        for row in comparison.rows
    ]
    speed = "peak unknown" if peak.gflops is None else f"peak {peak.gflops:.0f} GFLOP/s"
    print_table(
        COLUMNS,
        rows,
        f"{comparison.case.name}, threads: {comparison.threads}, {speed} ({peak.vectors}), "
        f"other programs took {comparison.foreign_share:.0%} of the cores",
    )


def print_int8_comparison(comparison: Comparison) -> None:
    """The same with accuracies and sizes in place of rates."""
    rows = [
        (
            f"{row.runtime} {row.version}".strip(),
            row.median_ms,
            row.min_ms,
            comparison.ratio(row),
            comparison.ratio_to_float(row),
            None if row.accuracy is None else f"{row.accuracy.snr_db:.1f}",
            None if row.accuracy is None or row.accuracy.top1 is None else Percent(row.accuracy.top1),
            None if row.model_bytes is None else row.model_bytes / 1e6,
            row.notes if row.status == "timed" else f"{row.status}: {row.reason}",
        )
        for row in comparison.rows
    ]
    assert comparison.varying_share is not None
    print_table(
        INT8_COLUMNS,
        rows,
        f"{comparison.case.name} in int8, threads: {comparison.threads}, "
        f"other programs took {comparison.foreign_share:.0%} of the cores, "
        f"{comparison.varying_share:.1%} of the answers' energy differs between inputs",
    )


def print_summary(comparisons: Sequence[Comparison]) -> None:
    """One row for each network and thread count: our median beside the best rival's."""
    rows = []
    for comparison in comparisons:
        best = comparison.best_rival
        rows.append(
            (
                comparison.case.name,
                comparison.threads,
                comparison.ours.median_ms,
                best.median_ms if best else None,
                best.runtime if best else "none was timed",
                comparison.ratio(comparison.ours),
                *([comparison.ratio_to_float(comparison.ours)] if comparison.baseline else []),
            )
        )
    columns = ["model", "threads", "edgecompile ms", "best rival ms", "best rival", "ratio"]
    if any(comparison.baseline for comparison in comparisons):
        columns.append("to our float")
    print_table(columns, rows, "Summary")


def gflops(comparison: Comparison, row: Row) -> float | None:
    """1e9 operations per second at the median, two for each multiply-accumulate of direct convolution."""
    return None if row.median_ms is None else 2e-6 * comparison.case.macs / row.median_ms


def peak_percent(comparison: Comparison, row: Row, peak: Peak) -> float | None:
    """Share of the peak; Winograd's convolution needs fewer operations than are counted, and may exceed 100."""
    rate = gflops(comparison, row)
    return None if rate is None or peak.gflops is None else round(100 * rate / peak.gflops, 1)


def document(comparisons: Sequence[Comparison], peaks: dict[int, Peak], precision: str = "float32") -> dict[str, Any]:
    """Everything that was measured; times in milliseconds, operations in 1e9 per second, sizes in bytes.

    Args:
        peaks: by the number of threads; in int8 there are none.
        precision: "float32" or "int8".
    """
    return {
        "precision": precision,
        "machine": {"architecture": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()},
        "peaks": {threads: {"gflops": peak.gflops, "vectors": peak.vectors} for threads, peak in sorted(peaks.items())},
        "comparisons": [
            {
                "model": comparison.case.name,
                "threads": comparison.threads,
                "macs": comparison.case.macs,
                "foreign_share": comparison.foreign_share,
                "varying_share": comparison.varying_share,
                "best_rival": comparison.best_rival.runtime if comparison.best_rival else None,
                "ratio": comparison.ratio(comparison.ours),
                "ratio_to_float": comparison.ratio_to_float(comparison.ours),
                "rows": [
                    {
                        "runtime": row.runtime,
                        "version": row.version,
                        "status": row.status,
                        "reason": row.reason,
                        "notes": row.notes,
                        "difference": row.difference,
                        "median_ms": row.median_ms,
                        "min_ms": row.min_ms,
                        "runs": len(row.times_ms),
                        "ratio": comparison.ratio(row),
                        "ratio_to_float": comparison.ratio_to_float(row),
                        "gflops": gflops(comparison, row),
                        "peak_percent": peak_percent(comparison, row, peaks.get(comparison.threads, _NO_PEAK)),
                        "snr_db": _finite(row.accuracy.snr_db) if row.accuracy else None,
                        "top1_agreement": row.accuracy.top1 if row.accuracy else None,
                        "model_bytes": row.model_bytes,
                    }
                    for row in comparison.rows
                ],
            }
            for comparison in comparisons
        ],
    }


def _finite(number: float) -> float | None:
    """JSON has no infinity."""
    return number if math.isfinite(number) else None
