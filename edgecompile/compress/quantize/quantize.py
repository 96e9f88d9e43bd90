"""`quantize`: one step of a recipe, from a float model to one with quantize and dequantize in it."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.calibrate import calibrate
from edgecompile.compress.quantize.chosen_observer import chosen_observer
from edgecompile.compress.quantize.data import read_samples
from edgecompile.compress.quantize.quantizable import WEIGHTED_OPERATORS, quantizable_layers
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.resolve import resolve
from edgecompile.compress.quantize.scheme import LayerScheme
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
        InvalidInputError: neither data nor a table.
        InvalidCalibrationError: see `calibrate` and `load_table`.
    """
    from edgecompile.compress.driver import StepResult
    from edgecompile.compress.quantize.insert import ProductScheme, insert_quantization
    from edgecompile.compress.quantize.storage.store_weights import store_weights

    if evaluate is not None or max_drop is not None:
        raise InvalidInputError("quantization that watches a metric is not built yet: leave eval and max_drop out")
    simplified = simplify_model(model)
    layers = quantizable_layers(simplified)
    schemes = {name: found for name, found in resolve(step, layers).items() if not found.skip}
    weighted = {layer.name: schemes[layer.name] for layer in layers if _has_scheme(layer.operator, layer.name, schemes)}
    stored = {name: scheme for name, scheme in weighted.items() if not scheme.activations.is_integer}
    weighted = {name: scheme for name, scheme in weighted.items() if name not in stored}
    _refuse_unbuilt_storage(stored)
    if not weighted:
        decisions: list[Decision] = []
        module = store_weights(simplified.module, stored, decisions, progress)
        if not any(decision.kept for decision in decisions):
            module = model.module  # the caller says so
        return StepResult(dataclasses.replace(model, module=module), decisions)
    _refuse_unbuilt(weighted)
    progress("calibrate")
    first, whole = _first_sample(model, data)
    ranges = _ranges(simplified, weighted, whole, samples, table)
    products = {
        name: ProductScheme(
            weight_axis_is_channel=layer.weights.granularity == "per_channel",
            highest_weight=_SEVEN_BITS if layer.reduce_range else _EIGHT_BITS,
            symmetric_activations=layer.activations.symmetric,
        )
        for name, layer in weighted.items()
    }
    found: list[Decision] = []
    module = insert_quantization(simplified.module, ranges.tensors, products, found)
    decisions = [decision for decision in found if decision.subject not in stored]
    if stored:
        module = store_weights(module, stored, decisions, progress)
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


def _has_scheme(operator: str, name: str, schemes: Mapping[str, LayerScheme]) -> bool:
    return operator in WEIGHTED_OPERATORS and name in schemes


def _refuse_unbuilt_storage(schemes: Mapping[str, LayerScheme]) -> None:
    """Raises where a layer whose weights alone are stored in fewer bits asks for more than the nearest codes."""
    for name, layer in schemes.items():
        unbuilt = {
            "equalize": layer.equalize,
            "bias_correction": layer.bias_correction,
            f"rounding {layer.rounding}": layer.rounding != "nearest",
        }
        asked = [what for what, is_asked in unbuilt.items() if is_asked]
        if asked:
            raise InvalidRecipeError(
                f"layer {name!r} asks for {', '.join(asked)}, which is not built yet for float activations: omit it"
            )


def _refuse_unbuilt(schemes: Mapping[str, LayerScheme]) -> None:
    """Raises where a layer asks for more than static int8."""
    for name, layer in schemes.items():
        weights, activations = layer.weights, layer.activations
        unbuilt = {
            f"weights of {weights.dtype}": weights.dtype != "int8" or weights.code_bits != 8,
            f"weights by {weights.method}": weights.method != "uniform",
            f"weights with {weights.granularity}": weights.granularity == "per_group",
            "asymmetric weights": not weights.symmetric,
            f"activations of {activations.dtype}": activations.dtype not in ("int8", "uint8"),
            "dynamic activations": activations.mode == "dynamic",
            "equalize": layer.equalize,
            "bias_correction": layer.bias_correction,
            f"rounding {layer.rounding}": layer.rounding != "nearest",
            "smooth": layer.smooth is not None,
            "several ways of calibration": layer.calibration != next(iter(schemes.values())).calibration,
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
