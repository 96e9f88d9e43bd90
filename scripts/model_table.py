#!/usr/bin/env python3
"""Compile the zoo and the small ONNX models that come with the `onnx` package, and compare each with its own framework.

The difference is the largest absolute one over all outputs, as a part of the output's range, between the compiled
library and PyTorch or ONNX Runtime. For a target other than this machine the library runs in its emulator.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import edgecompile as ec
from edgecompile import zoo
from edgecompile.errors import EdgeCompileError

LARGEST_DIFFERENCE = 1e-4


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="host")
    parser.add_argument("--models", help="comma-separated names; default: all")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    models = dict(known_models())
    if arguments.list:
        print("\n".join(models))
        return 0
    chosen = arguments.models.split(",") if arguments.models else list(models)
    unknown = sorted(set(chosen) - set(models))
    if unknown:
        sys.exit(f"error: no model is named {', '.join(unknown)}; --list shows the names")
    rows = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr)
        rows.append({"model": name, **measure(models[name], arguments.target)})
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["difference"] < LARGEST_DIFFERENCE for row in rows) else 1


def known_models() -> Iterator[tuple[str, str]]:
    """Names, and what `ec.load` takes for them."""
    import onnx

    yield from ((name, f"zoo:{name}") for name in zoo.names())
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    yield from ((path.stem, str(path)) for path in sorted(folder.glob("*.onnx")))


def measure(source: str, target: str) -> dict[str, Any]:
    """Sizes in bytes, times in seconds and milliseconds, and the largest difference."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the difference says it all
        model = ec.load(source)
        start = time.perf_counter()
        artifact = ec.compile(model, target=target, out=Path(folder) / "artifact")
        seconds = time.perf_counter() - start
        if target != "host":
            artifact = ec.open(artifact.path, emulate=True)
        with artifact:
            result = artifact.verify()
            stats = artifact.bench(repeat=10 if target == "host" else 1, warmup=1 if target == "host" else 0)
        differences = [c.difference for c in result.comparisons if c.against == "reference"]
        manifest = artifact.manifest
    return {
        "reference": result.reference_name,
        "difference": max(differences, default=float("nan")),
        "macs": model.macs,
        "compile_s": seconds,
        "library_bytes": manifest.files[manifest.library].bytes,
        "weight_bytes": manifest.weight_bytes,
        "arena_bytes": manifest.arena_bytes,
        "median_ms": stats.median_ms,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    table = Table("model", "difference", "MMACs", "compile s", "library KB", "weights KB", "arena KB", "median ms")
    for row in rows:
        table.add_row(
            row["model"],
            f"{row['difference']:.1e}",
            f"{row['macs'] / 1e6:,.1f}",
            f"{row['compile_s']:.1f}",
            f"{row['library_bytes'] / 1024:,.0f}",
            f"{row['weight_bytes'] / 1024:,.0f}",
            f"{row['arena_bytes'] / 1024:,.0f}",
            f"{row['median_ms']:,.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeCompileError as error:
        sys.exit(f"error: {error}")
