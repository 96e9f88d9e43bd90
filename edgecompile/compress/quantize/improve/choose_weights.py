"""The integers of all weights: to nearest, or as the data say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgecompile.compress.activations.gather import Inputs, gather
from edgecompile.compress.activations.product import Product
from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.quantize.improve.adaround import adaround
from edgecompile.compress.quantize.improve.gptq import gptq
from edgecompile.compress.quantize.scheme import LayerScheme
from edgecompile.compress.quantize.storage.blocks import blocks_of
from edgecompile.compress.quantize.weights import IntegerWeight, WeightForm, WeightGrid, nearest, widest_grid
from edgecompile.decision import Decision
from edgecompile.storage.runs import run_axes, split, spread

STEP = "Rounding"

_PARTS = np.linspace(1.0, 0.4, 31)  # of a range that a grid may span


def choose_weights(
    products: Sequence[Product],
    schemes: Mapping[str, LayerScheme],
    runs: Runs | None,
    progress: Callable[[str], None],
    decisions: list[Decision],
) -> dict[str, IntegerWeight]:
    """The integers of each product's weight, by its name.

    Where a scheme asks for a rounding that looks at data, that also may give up the ends of a weight's range for finer
    steps, as its authors do. It is kept where the layer's sums err less by it than by rounding to nearest, on samples
    that it has not seen. The inputs are those of the float model.

    Args:
        products: of the float model, whose weights become integers.
        schemes: by name.
        runs: of the float model; None where all are rounded to nearest.
        decisions: receives one for each product that asks for another rounding.
    """
    chosen = {product.name: nearest(product.weight, _form(product, schemes[product.name])) for product in products}
    methods = {name: schemes[name].rounding for name in chosen if schemes[name].rounding != "nearest"}
    if not methods:
        return chosen
    assert runs is not None
    progress("inputs of the layers")
    asking = [product for product in products if product.name in methods]
    grams = {name for name, method in methods.items() if method == "gptq"}
    for number, (product, inputs) in enumerate(gather(asking, grams, runs), 1):
        method = methods[product.name]
        progress(f"{method} {number} of {len(asking)}: {product.name}")
        usual = chosen[product.name]
        better, reason = _better(product, usual, inputs, method)
        decisions.append(Decision(STEP, product.name, better is not None, reason))
        chosen[product.name] = better or usual
    return chosen


def _form(product: Product, scheme: LayerScheme) -> WeightForm:
    return WeightForm.of(scheme, blocks_of(product.operator, product.weight.shape, scheme.weights))


def _better(product: Product, usual: IntegerWeight, inputs: Inputs, method: str) -> tuple[IntegerWeight | None, str]:
    """What the method chooses and how much better it is; None and why where rounding to nearest stays."""
    if not inputs.is_finite:
        return None, f"{method} needs finite inputs, {product.source} has NaN or infinite values: nearest"
    seen, held_out = inputs.seen.rows, inputs.held_out.rows
    if seen is None or held_out is None:
        return None, f"{method} needs 4 samples or more, one of them to judge by: nearest; give more data"
    terms = seen.shape[2]
    if inputs.gram is not None and inputs.gram_rows < terms:
        return None, f"gptq needs {terms} rows of inputs for as many terms, found {inputs.gram_rows}: nearest"
    before = _error(product, usual, held_out)
    if not before > 0:
        return None, f"{method}: rounding to nearest makes no error on the data"
    candidate = _chosen(product, usual.grid.form, inputs, seen)
    if candidate is None:
        return None, "gptq: the inputs' Gram matrix cannot be inverted: nearest"
    ratio = _error(product, candidate, held_out) / before
    reason = f"{method}: squared error of the sums {ratio:.2f} times that of nearest, on data held out"
    return (candidate, reason) if ratio < 1 else (None, f"{reason}: nearest")


def _error(product: Product, weight: IntegerWeight, rows: np.ndarray) -> float:
    """The squared error of the sums, summed."""
    difference = product.matrix(weight.grid.real(weight.integers) - product.weight)
    return float(np.square(rows @ difference.transpose(0, 2, 1), dtype=np.float64).sum())


def _chosen(product: Product, form: WeightForm, inputs: Inputs, rows: np.ndarray) -> IntegerWeight | None:
    """What AdaRound chooses, or GPTQ where there is a Gram matrix; None where that cannot be inverted."""
    weight = product.matrix(product.weight)
    of_matrix = dataclasses.replace(form, blocks=product.matrix(np.empty(form.blocks)).shape)
    importance = np.square(rows, dtype=np.float64).mean(axis=1)[:, None, :]  # [groups, 1, terms]
    if inputs.gram is None:
        grid = _finest_grid(weight, of_matrix, importance)
        scales = spread(grid.scales, weight.shape) if of_matrix.blocks[-1] > 1 else None
        whole = adaround(grid.steps(weight), form.lowest, form.highest, rows, scales)
        found = IntegerWeight(grid, whole.astype(np.int8))
    else:
        best = gptq(
            weight, of_matrix, inputs.gram, lambda part, of, terms: _finest_grid(part, of, importance[..., terms])
        )
        if best is None:
            return None
        found = best
    scales, zero_points = (
        product.from_matrix(numbers, form.blocks) for numbers in (found.grid.scales, found.grid.zero_points)
    )
    return IntegerWeight(
        WeightGrid(form, scales, zero_points), product.from_matrix(found.integers, product.weight.shape)
    )


def _finest_grid(weight: np.ndarray, form: WeightForm, importance: np.ndarray) -> WeightGrid:
    """The grid with the least squared error of the sums if terms were independent, of several that span less.

    Args:
        weight: `[groups, channels, terms]`.
        form: of such a matrix.
        importance: `[groups, 1, terms]`, the mean square of what each term is multiplied by.
    """
    errors = []
    for part in _PARTS:
        grid = widest_grid(weight, form, part)
        error = np.square(grid.real(grid.nearest(weight)) - weight, dtype=np.float64) * importance
        errors.append(split(error, form.blocks).sum(axis=run_axes(3)))
    return widest_grid(weight, form, _PARTS[np.stack(errors).argmin(axis=0)])
