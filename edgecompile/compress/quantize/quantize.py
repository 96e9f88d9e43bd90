"""`quantize`: one step of a recipe, from a float model to one with quantize and dequantize in it."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from edgecompile.compress.quantize.calibrate import calibrate
from edgecompile.compress.quantize.chosen_observer import chosen_observer
from edgecompile.compress.quantize.data import read_samples
from edgecompile.compress.quantize.quantizable import WEIGHTED_OPERATORS, quantizable_layers
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.resolve import resolve
from edgecompile.compress.quantize.scheme import ActivationScheme, LayerScheme
from edgecompile.compress.quantize.table import CalibrationTable, load_table
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.passes.simplify_model import simplify_model

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Data, Evaluate, StepResult

_SEVEN_BITS, _EIGHT_BITS = 63, 127


def quantize(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model in QDQ form; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the recipe asks for what is not built yet, or does not fit the model.
        InvalidInputError: neither data nor a table, and some layer is static.
        InvalidCalibrationError: see `calibrate` and `load_table`.
    """
    from edgecompile.compress.driver import StepResult
    from edgecompile.compress.quantize.insert import ProductScheme, insert_quantization

    if evaluate is not None or max_drop is not None:
        raise InvalidInputError("quantization that watches a metric is not built yet: leave eval and max_drop out")
    simplified = simplify_model(model)
    layers = quantizable_layers(simplified)
    schemes = {name: found for name, found in resolve(step, layers).items() if not found.skip}
    weighted = {layer.name: schemes[layer.name] for layer in layers if _has_scheme(layer.operator, layer.name, schemes)}
    _refuse_unbuilt(weighted)
    progress("calibrate")
    first, whole = _first_sample(model, data)
    static = {name: layer for name, layer in weighted.items() if not layer.activations.is_dynamic}
    ranges = _ranges(simplified, static, whole, samples, table).tensors if static else {}
    products = {
        name: ProductScheme(
            weight_axis_is_channel=layer.weights.granularity == "per_channel",
            highest_weight=_SEVEN_BITS if layer.reduce_range else _EIGHT_BITS,
            symmetric_activations=layer.activations.symmetric,
            scales=_scales(layer.activations),
        )
        for name, layer in weighted.items()
    }
    decisions: list[Decision] = []
    module = insert_quantization(simplified.module, ranges, products, decisions)
    if not any(decision.kept for decision in decisions):
        module = model.module  # the caller says so
    # The self-test of an artifact should ask what the ranges were chosen for.
    return StepResult(dataclasses.replace(model, module=module, sample_inputs=first or model.sample_inputs), decisions)


def _first_sample(model: Model, data: Data | None) -> tuple[Mapping[str, np.ndarray], Data | None]:
    """The first sample, by input name, and all of them; nothing without data."""
    if data is None:
        return {}, None
    all_samples = read_samples(data, model.inputs)
    first = next(all_samples, None)
    return (first, itertools.chain([first], all_samples)) if first is not None else ({}, ())


def _scales(activations: ActivationScheme) -> Literal["static", "per_row", "per_tensor"]:
    if not activations.is_dynamic:
        return "static"
    return "per_row" if activations.has_row_scales else "per_tensor"


def _has_scheme(operator: str, name: str, schemes: Mapping[str, LayerScheme]) -> bool:
    return operator in WEIGHTED_OPERATORS and name in schemes


def _refuse_unbuilt(schemes: Mapping[str, LayerScheme]) -> None:
    """Raises where a layer asks for more than int8."""
    ways = [layer.calibration for layer in schemes.values() if not layer.activations.is_dynamic]
    for name, layer in schemes.items():
        weights, activations = layer.weights, layer.activations
        unbuilt = {
            f"weights of {weights.dtype}": weights.dtype != "int8" or weights.code_bits != 8,
            f"weights by {weights.method}": weights.method != "uniform",
            f"weights with {weights.granularity}": weights.granularity == "per_group",
            "asymmetric weights": not weights.symmetric,
            f"activations of {activations.dtype}": activations.dtype not in ("int8", "uint8"),
            "equalize": layer.equalize,
            "bias_correction": layer.bias_correction,
            f"rounding {layer.rounding}": layer.rounding != "nearest",
            "smooth": layer.smooth is not None,
            "several ways of calibration": not activations.is_dynamic and layer.calibration != ways[0],
        }
        asked = [what for what, is_asked in unbuilt.items() if is_asked]
        if asked:
            raise InvalidRecipeError(f"layer {name!r} asks for {', '.join(asked)}, which is not built yet: use int8")


def _ranges(
    model: Model,
    schemes: Mapping[str, LayerScheme],
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
) -> CalibrationTable:
    if table is not None:
        loaded = load_table(table)
        loaded.check(model)
        return loaded
    if data is None:
        raise InvalidInputError("static int8 needs calibration data or a table, found neither: give data= or table=")
    calibration = next(iter(schemes.values())).calibration
    assert calibration is not None  # static activations have one; see `combinations`
    return calibrate(model, data, observer=chosen_observer(calibration), samples=samples)
