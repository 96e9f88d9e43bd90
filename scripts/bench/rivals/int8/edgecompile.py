"""edgecompile's own int8: static with calibration for images, dynamic for text."""

from __future__ import annotations

import functools

import edgecompile as ec
from edgecompile import Model
from scripts.bench.accuracy import CALIBRATION_SAMPLES, calibration
from scripts.bench.case import Case
from scripts.bench.rivals.edgecompile import Compiled


def load(case: Case, threads: int, way: str) -> Compiled:
    """The case as an artifact, `way` being "int8" or "float32".

    Raises:
        InvalidRecipeError: the network cannot be quantized so.
    """
    if way == "float32":
        return Compiled(case, threads)
    recipe = "int8-dynamic" if case.is_text else "int8"
    network = Compiled(case, threads, functools.partial(_compress, case, recipe))
    data = "" if case.is_text else f", {CALIBRATION_SAMPLES} samples"
    network.notes = f"{recipe}{data}; {network.notes}"
    return network


def _compress(case: Case, recipe: str, model: Model) -> Model:
    return ec.compress(model, recipe, None if case.is_text else calibration(case))
