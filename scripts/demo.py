#!/usr/bin/env python3
"""The main job from end to end: a trained network, compiled for this machine and for an emulated board.

A small ResNet is trained on scikit-learn's digits (once; the weights are cached), compiled for each target, and run on
the whole test split, natively or in QEMU. The table shows what ships and whether it still predicts what PyTorch
predicts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import edgecompile as ec
from edgecompile import zoo
from edgecompile.artifact.open import open as open_artifact
from edgecompile.errors import EdgeCompileError, ToolchainError
from edgecompile.zoo import digits


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="host,rpi4", help="comma-separated; default: %(default)s")
    parser.add_argument("--network", default="digits_resnet", choices=("digits_resnet", "digits_mobilenet"))
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder; default: %(default)s")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    console = Console(width=None if sys.stdout.isatty() else 120)
    data = digits.load_digits()
    module = zoo.trained(arguments.network)
    images = torch.from_numpy(data.test_images)
    with torch.no_grad():
        expected = module(images).numpy()
    model = ec.load(module, example_inputs=(images[:1],), name=arguments.network)
    console.print(str(model), highlight=False)
    table = Table("target", "accuracy", "PyTorch", "difference", "library", "weights", "arena", "latency")
    for column in table.columns:
        column.no_wrap = True
    agree = True
    for name in arguments.targets.split(","):
        try:
            row, same = measure(model, name, arguments.out / name, data, expected)
        except ToolchainError as error:
            console.print(f"{name} is left out: {error}", style="yellow")
            continue
        table.add_row(name, *row)
        agree = agree and same
    console.print(table)
    console.print(f"The artifacts are in {arguments.out}: edgecompile explain {arguments.out}/host", highlight=False)
    return 0 if agree else 1


def measure(
    model: ec.Model, target: str, out: Path, data: digits.Digits, expected: np.ndarray
) -> tuple[list[str], bool]:
    """The table's cells for one target, and whether every prediction is PyTorch's."""
    artifact = ec.compile(model, target=target, out=out)
    emulated = artifact.manifest.target.name != "host"
    if emulated:
        artifact = open_artifact(out, emulate=True)
    samples = [image[np.newaxis] for image in data.test_images]
    outputs = np.concatenate([result[0] for result in artifact.run_many(samples)])
    stats = artifact.bench(repeat=5 if emulated else 50)
    manifest = artifact.manifest
    ours, theirs = outputs.argmax(1), expected.argmax(1)
    cells = [
        f"{np.mean(ours == data.test_labels):.2%}",
        f"{np.mean(theirs == data.test_labels):.2%}",
        f"{np.abs(outputs - expected).max():.1e}",
        f"{manifest.files[manifest.library].bytes / 1024:,.0f} KB",
        f"{manifest.weight_bytes / 1024:,.0f} KB",
        f"{manifest.arena_bytes / 1024:,.0f} KB",
        f"{stats.median_ms:.3f} ms" + (" in QEMU" if stats.is_emulated else ""),
    ]
    return cells, bool(np.array_equal(ours, theirs))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeCompileError as error:
        sys.exit(f"error: {error}")
