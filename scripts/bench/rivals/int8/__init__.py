"""The runtimes in int8: each makes its model with its own tool, of the same float network and calibration data."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence

from scripts.bench.case import Case
from scripts.bench.rivals import OURS, RIVALS, Loader, Network, version_of

__all__ = ["BASELINE", "LEFT_OUT", "loaders"]

BASELINE = f"{OURS} float32"

# What each runtime takes part with: a name in the table, and how its module's `load` calls it.
_WAYS = {
    OURS: {OURS: "int8", BASELINE: "float32"},
    "onnxruntime": {"onnxruntime": "fastest", "onnxruntime 7 bits": "7 bits", "onnxruntime exact": "exact"},
    "openvino": {"openvino": "fastest", "openvino f32": "f32", "openvino 7 bits": "7 bits"},
}
_TOOLS = {"openvino": ("nncf",)}  # distributions that quantization needs beside the runtime's
LEFT_OUT = {
    # 3.6.1 on a Zen 5 core, one thread: MobileNetV2 takes 2.0 times, ResNet-18 1.25 times as long as in float32, and
    # answers nothing but noise. Of its tool's methods only EMA does not crash.
    "mnn": "its wheel's int8 is slower than its float32",
    "ncnn": "its quantization tools, ncnn2table and ncnn2int8, are not in the wheel",
    "pytorch": "its int8, by torchao and inductor, is not compared yet",
}


def loaders(rivals: Sequence[str]) -> dict[str, Loader]:
    """Ours in int8, ours in float32, and the rivals in int8, some of them in several ways; by name in the table.

    Each raises `UnusableRival` where a distribution is missing.

    Args:
        rivals: none of those that are left out.
    """
    return {
        name: functools.partial(_load, rival, way) for rival in (OURS, *rivals) for name, way in _WAYS[rival].items()
    }


def _load(rival: str, way: str, case: Case, threads: int) -> tuple[str, Network]:
    version = version_of(*RIVALS[rival], *_TOOLS.get(rival, ()))
    return version, importlib.import_module(f"{__name__}.{rival}").load(case, threads, way)
