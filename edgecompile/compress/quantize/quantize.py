"""`quantize`: one step of a recipe, from a float model to one with quantize and dequantize in it."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
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
    import tvm

    from edgecompile.compress.driver import Data, Evaluate, StepResult
    from edgecompile.compress.quantize.insert import ProductScheme

_SEVEN_BITS, _EIGHT_BITS = 63, 127


_SAMPLES_KEPT = 32  # for signal-to-noise ratios


def quantize(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model in QDQ form; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the recipe asks for what is not built yet, or does not fit the model.
        InvalidInputError: neither data nor a table; or see `Metric`.
        InvalidCalibrationError: see `calibrate` and `load_table`.
    """
    from edgecompile.compress.driver import StepResult

    ready = prepare(model, step, data=data, samples=samples, table=table, progress=progress)
    decisions: list[Decision] = []
    module = ready.insert(ready.schemes.keys(), decisions)
    if not any(decision.kept for decision in decisions):
        return StepResult(model, decisions)  # the caller says so
    if evaluate is not None or report is not None:
        from edgecompile.compress.quantize.mixed.step import judged_step

        return judged_step(
            model, ready, step, evaluate=evaluate, max_drop=max_drop, target=target, report=report, progress=progress
        )
    return StepResult(ready.renewed(model, module), decisions)


@dataclass(frozen=True)
class Prepared:
    """Everything that insertion needs, calibration done.

    Attributes:
        model: float, simplified: what the names of layers and tensors speak of.
        schemes: of the layers that the recipe quantizes, by name.
        table: the range of each tensor.
        samples: the first of the calibration data; none where a table was given.
    """

    model: Model
    schemes: Mapping[str, ProductScheme]
    table: CalibrationTable
    samples: Sequence[Mapping[str, np.ndarray]]

    def insert(self, layers: Collection[str], decisions: list[Decision]) -> tvm.IRModule:
        """The module in which these layers are quantized, where that is possible."""
        from edgecompile.compress.quantize.insert import insert_quantization

        chosen = {name: scheme for name, scheme in self.schemes.items() if name in layers}
        return insert_quantization(self.model.module, self.table.tensors, chosen, decisions)

    def renewed(self, model: Model, module: tvm.IRModule) -> Model:
        """The user's model with another module; the self-test should ask what the ranges were chosen for."""
        return dataclasses.replace(
            model, module=module, sample_inputs=self.samples[0] if self.samples else model.sample_inputs
        )


def prepare(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> Prepared:
    """Simplify, resolve the recipe and calibrate; arguments and errors as of `quantize`."""
    from edgecompile.compress.quantize.insert import ProductScheme

    simplified = simplify_model(model)
    layers = quantizable_layers(simplified)
    schemes = {name: found for name, found in resolve(step, layers).items() if not found.skip}
    weighted = {layer.name: schemes[layer.name] for layer in layers if _has_scheme(layer.operator, layer.name, schemes)}
    _refuse_unbuilt(weighted)
    progress("calibrate")
    first, whole = _first_samples(model, data)
    ranges = _ranges(simplified, weighted, whole, samples, table)
    products = {
        name: ProductScheme(
            weight_axis_is_channel=layer.weights.granularity == "per_channel",
            highest_weight=_SEVEN_BITS if layer.reduce_range else _EIGHT_BITS,
            symmetric_activations=layer.activations.symmetric,
        )
        for name, layer in weighted.items()
    }
    return Prepared(simplified, products, ranges, first)


def _first_samples(model: Model, data: Data | None) -> tuple[list[dict[str, np.ndarray]], Data | None]:
    """The first samples, by input name, and all of them; nothing without data."""
    if data is None:
        return [], None
    all_samples = read_samples(data, model.inputs)
    first = list(itertools.islice(all_samples, _SAMPLES_KEPT))
    return first, itertools.chain(first, all_samples)


def _has_scheme(operator: str, name: str, schemes: Mapping[str, LayerScheme]) -> bool:
    return operator in WEIGHTED_OPERATORS and name in schemes


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
