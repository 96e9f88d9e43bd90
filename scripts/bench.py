#!/usr/bin/env python3
"""Latency of the zoo on this machine, beside PyTorch.

Each model is compiled for `host`, checked against PyTorch, and timed: the runtimes take turns, so that what else the
machine does meets all alike, and the ratio of the medians is shown beside the milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import edgecompile as ec
from edgecompile import zoo
from edgecompile.errors import EdgeCompileError
from edgecompile.sample_inputs import sample_inputs

MODELS = ("digits_resnet", "digits_mobilenet", "keyword_spotting", "mobilenetv2", "resnet18", "bert_tiny", "vit_tiny")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated names; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=20, help="rounds; default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    table = Table("model", "edgecompile ms", "PyTorch ms", "ratio of medians", "compile s", "difference")
    table.columns[0].no_wrap = True
    rows = []
    for name in arguments.models.split(","):
        row = measure(name, arguments.threads, arguments.repeat)
        rows.append(row)
        ratio = row["edgecompile_ms"] / row["pytorch_ms"]
        table.add_row(
            name,
            f"{row['edgecompile_ms']:.3f}",
            f"{row['pytorch_ms']:.3f}",
            f"{ratio:.2f}",
            f"{row['compile_s']:.1f}",
            f"{row['difference']:.1e}",
        )
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def measure(name: str, threads: int, repeat: int) -> dict[str, Any]:
    """Medians in milliseconds of interleaved runs, and the compile time in seconds."""
    model = ec.load(f"zoo:{name}")
    module, _ = zoo.build(name)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        start = time.perf_counter()
        artifact = ec.compile(model, out=Path(folder) / "artifact", threads=threads)
        seconds = time.perf_counter() - start
        arrays = list(sample_inputs(model).values())
        tensors = [torch.from_numpy(array) for array in arrays]
        ours, theirs = [], []
        for _ in range(repeat):
            ours.append(milliseconds(lambda: artifact.run(*arrays)))
            theirs.append(milliseconds(lambda: module(*tensors)))
        differences = [c.difference for c in artifact.verify().comparisons if c.against == "reference"]
        artifact.close()
    return {
        "name": name,
        "edgecompile_ms": statistics.median(ours),
        "pytorch_ms": statistics.median(theirs),
        "compile_s": seconds,
        "difference": max(differences),
    }


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeCompileError as error:
        sys.exit(f"error: {error}")
