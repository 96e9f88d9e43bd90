"""The environment variables and limits of edgecompile, each declared once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """The most that an untrusted model may ask for before it is refused.

    The numbers are far above any model that fits an edge device and far below what exhausts a workstation: a refused
    file must cost seconds and less than 512 MB.
    """

    model_file_bytes: int = 2**31 - 1  # protobuf cannot hold more; larger weights live in external data
    external_data_bytes: int = 64 * 2**30
    nodes: int = 200_000  # the largest exported transformers have about 20,000
    tensor_elements: int = 2**31 - 1  # kernels index with 32 bits
    dimension: int = 2**31 - 1
    rank: int = 16
    function_depth: int = 64
    subgraph_depth: int = 32
    unrolled_iterations: int = 4096


LIMITS = Limits()


def debug_level() -> int:
    """`EDGECOMPILE_DEBUG`: 0 silent (default), 1 phases, 2 passes, 3 kernels, 4 everything; other text counts as 0."""
    text = os.environ.get("EDGECOMPILE_DEBUG", "0")
    return int(text) if text.isdigit() else 0


def dump_ir_directory() -> Path | None:
    """`EDGECOMPILE_DUMP_IR`: a folder that receives the IR after each phase; None when unset."""
    text = os.environ.get("EDGECOMPILE_DUMP_IR", "")
    return Path(text) if text else None


def cache_directory() -> Path:
    """`EDGECOMPILE_CACHE`, else the user's cache folder: compiled runtime objects and trained zoo weights."""
    text = os.environ.get("EDGECOMPILE_CACHE", "")
    if text:
        return Path(text)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "edgecompile"
