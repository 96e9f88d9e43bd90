"""`prepare`: a model, a recipe and data to a quantization that only lacks the choice of layers."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.quantize.prepared import Prepared
from edgecompile.compress.quantize.quantizable import (
    EMBEDDING_OPERATORS,
    ROW_OPERATORS,
    WEIGHTED_OPERATORS,
    QuantizableLayer,
    quantizable_layers,
)
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.resolve import resolve
from edgecompile.compress.quantize.scheme import ActivationScheme, LayerScheme
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError
from edgecompile.frontend.model import Model
from edgecompile.passes.simplify_model import simplify_model
from edgecompile.storage.insert_weights import sparse_layers, with_dense_weights

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Data
    from edgecompile.compress.quantize.insert import ProductScheme, TensorRange
    from edgecompile.compress.quantize.weights import IntegerWeight

Schemes = Mapping[str, LayerScheme]
Progress = Callable[[str], None]

_SAMPLES_KEPT = 32  # for signal-to-noise ratios


def prepare(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    progress: Progress,
    keep: bool,
) -> Prepared:
    """Simplify, resolve the recipe, change scales of the float model, calibrate, and round the weights.

    Args:
        data, samples, table, progress: as of `compress`.
        keep: samples will be asked for again, so they stay.

    Raises:
        InvalidRecipeError: the recipe does not fit the model.
        InvalidInputError: neither data nor a table where some layer is static, or a table where the recipe needs data.
        InvalidCalibrationError: see `calibrate` and `load_table`.
    """
    sparse = sparse_layers(model.module)
    simplified = simplify_model(dataclasses.replace(model, module=with_dense_weights(model.module)))
    layers = quantizable_layers(simplified)
    schemes = {name: found for name, found in resolve(step, layers).items() if not found.skip}
    with_weights = (*WEIGHTED_OPERATORS, *EMBEDDING_OPERATORS)
    with_constants = {layer.name for layer in layers if layer.weight_shape is not None}
    weighted = {layer.name for layer in layers if layer.operator in with_weights} & schemes.keys()
    batched = {layer.name for layer in layers if layer.operator == "matmul" and layer.weight_shape is None}
    computing = {name: layer for name, layer in schemes.items() if name in weighted and layer.activations.is_integer}
    products = {
        name: layer for name, layer in computing.items() if name not in batched or _takes_two_activations(layer)
    }
    stored = {name: layer for name, layer in schemes.items() if name in weighted and name not in computing}
    integer = _integer_rows(layers, schemes)
    decisions = [
        Decision("StoreWeights", name, False, "its zeros are stored too, in as many bits as its other weights")
        for name in stored
        if name in sparse and stored[name].weights.dtype != "none"
    ]
    equalized = _equalized(simplified, products | stored, decisions)
    replay = _samples(model, products | stored, data, samples, table, decisions, keep)
    scaled = _smoothed(equalized, products, replay, progress, decisions)
    with Runs(scaled, replay, progress) as runs:
        ranges = _ranges(runs, products, schemes, integer, table, progress)
        rounded = {**_rounded(runs, products, progress, decisions), **_two_activations(products, batched)}
        constant = {name: stored[name] for name in stored if name in with_constants}
        integers = _rounded_by_data(runs, constant, progress, decisions)
        ready = Prepared(scaled, rounded, stored, integer, integers, ranges, {}, (), decisions, sparse)
        corrections = _corrections(runs, products | stored, ready, progress, decisions)
    return dataclasses.replace(ready, corrections=corrections, samples=_first_samples(replay, data, keep))


def _takes_two_activations(layer: LayerScheme) -> bool:
    """True where a recipe wants a product of two activations in integers; those are of 8 bits."""
    return layer.attention and layer.activations.dtype != "int16"


def _integer_rows(layers: Sequence[QuantizableLayer], schemes: Schemes) -> frozenset[str]:
    """The softmax and layer normalizations that the recipe wants in integers."""
    rows = {layer.name for layer in layers if layer.operator in ROW_OPERATORS} & schemes.keys()
    return frozenset(
        name for name in rows if schemes[name].nonlinear == "integer" and schemes[name].activations.is_integer
    )


def _two_activations(products: Schemes, batched: Collection[str]) -> dict[str, ProductScheme]:
    from edgecompile.compress.quantize.insert import ProductScheme

    found = {name: layer.activations for name, layer in products.items() if name in batched}
    return {
        name: ProductScheme(None, symmetric_activations=activations.symmetric, scales=_scales(activations))
        for name, activations in found.items()
    }


def _first_samples(replay: Replay, data: Data | None, keep: bool) -> list[Mapping[str, np.ndarray]]:
    if data is not None and (keep or not replay.first):
        return list(itertools.islice(replay, _SAMPLES_KEPT if keep else 1))
    return [replay.first] if replay.first else []


def _scales(activations: ActivationScheme) -> Literal["static", "per_row", "per_tensor"]:
    if not activations.is_dynamic:
        return "static"
    return "per_row" if activations.has_row_scales else "per_tensor"


def _samples(
    model: Model,
    schemes: Schemes,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    decisions: list[Decision],
    keep: bool,
) -> Replay:
    """The data, ready for as many passes as the recipe needs; none beside a table.

    Raises:
        InvalidInputError: neither data nor a table, or a table that does not do.
    """
    if data is None and table is None and any(_is_static(layer) for layer in schemes.values()):
        raise InvalidInputError("static int8 needs calibration data or a table, found neither: give data= or table=")
    asked = {what: name for name, layer in schemes.items() for what in _improvements(layer)}
    if data is None and asked:
        what, name = next(iter(asked.items()))
        found = "none" if table is None else "a table of the model without it"
        raise InvalidInputError(
            f"layer {name!r} asks for {what}, which needs calibration data, found {found}: give data="
        )
    # Equalized weights are calibrated afterwards, in the only pass.
    replay = Replay(
        () if data is None else data, model.inputs, samples, once=not keep and not set(asked) - {"equalize"}
    )
    if replay.is_cut:
        reason = f"kept the first {replay.kept} samples for several passes: the data can be read once only"
        decisions.append(Decision("Samples", "data", False, f"{reason}; give a folder, a list or module:function"))
    return replay


def _is_static(layer: LayerScheme) -> bool:
    return layer.activations.is_integer and not layer.activations.is_dynamic


def _improvements(layer: LayerScheme) -> list[str]:
    """What a scheme asks for beside rounding to nearest, of what needs data."""
    asked = {
        "equalize": layer.equalize and layer.activations.is_integer,
        "smooth": layer.smooth is not None,
        f"rounding {layer.rounding}": layer.rounding != "nearest",
        "bias_correction": layer.bias_correction,
    }
    return [what for what, is_asked in asked.items() if is_asked]


def _equalized(model: Model, schemes: Schemes, decisions: list[Decision]) -> Model:
    from edgecompile.compress.quantize.improve.equalize import equalize

    names = [name for name, layer in schemes.items() if layer.equalize]
    return dataclasses.replace(model, module=equalize(model.module, names, decisions)) if names else model


def _smoothed(model: Model, schemes: Schemes, replay: Replay, progress: Progress, decisions: list[Decision]) -> Model:
    from edgecompile.compress.quantize.improve.smooth import smooth
    from edgecompile.compress.quantize.ranges import peaks_from_data

    exponents = {name: layer.smooth for name, layer in schemes.items() if layer.smooth is not None}
    if not exponents:
        return model
    with Runs(model, replay, progress) as runs:
        progress("smooth")
        peaks = peaks_from_data(runs)
    return dataclasses.replace(model, module=smooth(model.module, exponents, peaks, decisions))


def _ranges(
    runs: Runs,
    products: Schemes,
    schemes: Schemes,
    integer: Collection[str],
    table: str | os.PathLike[str] | None,
    progress: Progress,
) -> Mapping[str, TensorRange]:
    """Of the tensors whose scales are known beforehand."""
    from edgecompile.compress.quantize.ranges import ranges_from_data
    from edgecompile.compress.quantize.table import load_table

    static = {name: layer for name, layer in products.items() if _is_static(layer)}
    if not static:
        return {}
    progress("calibrate")
    if table is None:
        return ranges_from_data(runs, static, schemes, integer)
    loaded = load_table(table)
    loaded.check(runs.model)
    return loaded.tensors


def _rounded(
    runs: Runs, schemes: Schemes, progress: Progress, decisions: list[Decision]
) -> Mapping[str, ProductScheme]:
    """The integers of the weights."""
    from edgecompile.compress.activations.product import products_of
    from edgecompile.compress.quantize.improve.choose_weights import choose_weights
    from edgecompile.compress.quantize.insert import ProductScheme

    products = products_of(runs.model.module["main"], schemes.keys())
    weights = choose_weights(products, schemes, runs, progress, decisions)
    return {
        name: ProductScheme(
            weight,
            symmetric_activations=schemes[name].activations.symmetric,
            activation_bits=16 if schemes[name].activations.dtype == "int16" else 8,
            scales=_scales(schemes[name].activations),
        )
        for name, weight in weights.items()
    }


def _rounded_by_data(
    runs: Runs, stored: Schemes, progress: Progress, decisions: list[Decision]
) -> Mapping[str, IntegerWeight]:
    """The integers of stored weights that are not just the nearest ones, by layer."""
    import numpy as np

    from edgecompile.compress.activations.product import products_of
    from edgecompile.compress.quantize.improve.choose_weights import STEP, choose_weights

    asking = {name: layer for name, layer in stored.items() if layer.rounding != "nearest"}
    products = products_of(runs.model.module["main"], asking.keys())
    finite = [product for product in products if np.isfinite(product.weight).all()]  # storing refuses the others
    known = {product.name for product in products}
    decisions += [
        Decision(STEP, name, False, f"{layer.rounding} is for conv2d and matmul of a matrix: nearest")
        for name, layer in asking.items()
        if name not in known
    ]
    return choose_weights(finite, asking, runs, progress, decisions) if finite else {}


def _corrections(
    runs: Runs, schemes: Schemes, ready: Prepared, progress: Progress, decisions: list[Decision]
) -> Mapping[str, np.ndarray]:
    """Of the biases, with all layers quantized."""
    from edgecompile.compress.activations.product import products_of
    from edgecompile.compress.quantize.improve.correct_bias import bias_corrections

    asking = {name for name, layer in schemes.items() if layer.bias_correction} & ready.layers
    if not asking:
        return {}
    inserted = ready.insert(ready.layers)
    quantized = asking & set(ready.quantized(inserted))
    products = [
        product for product in products_of(runs.model.module["main"], schemes.keys()) if product.name in quantized
    ]
    return bias_corrections(inserted.module, products, runs, progress, decisions) if products else {}
