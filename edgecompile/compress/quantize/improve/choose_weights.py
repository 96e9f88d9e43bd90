"""The integers of all weights: to nearest, or as the data say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgecompile.compress.quantize.improve.adaround import adaround
from edgecompile.compress.quantize.improve.gather import Inputs, gather
from edgecompile.compress.quantize.improve.gptq import gptq
from edgecompile.compress.quantize.improve.product import Product
from edgecompile.compress.quantize.improve.runs import Runs
from edgecompile.compress.quantize.scheme import LayerScheme
from edgecompile.compress.quantize.weights import IntegerWeight, WeightForm, WeightGrid, nearest, widest_grid
from edgecompile.decision import Decision

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
    forms = {product.name: WeightForm.of(schemes[product.name], product.channel_axis) for product in products}
    chosen = {product.name: nearest(product.weight, forms[product.name]) for product in products}
    methods = {name: schemes[name].rounding for name in chosen if schemes[name].rounding != "nearest"}
    if not methods:
        return chosen
    assert runs is not None
    progress("inputs of the layers")
    asking = [product for product in products if product.name in methods]
    for number, (product, inputs) in enumerate(gather(asking, methods, runs), 1):
        method = methods[product.name]
        progress(f"{method} {number} of {len(asking)}: {product.name}")
        usual = chosen[product.name]
        better, reason = _better(product, usual, inputs, method)
        decisions.append(Decision(STEP, product.name, better is not None, reason))
        chosen[product.name] = better or usual
    return chosen


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
    grid = _finest_grid(product, usual.grid.form, seen)
    steps = product.matrix(grid.steps(product.weight))
    bounds = (grid.form.lowest, grid.form.highest)
    whole = adaround(steps, *bounds, seen) if inputs.gram is None else gptq(steps, *bounds, inputs.gram)
    if whole is None:
        return None, "gptq: the inputs' Gram matrix cannot be inverted: nearest"
    candidate = IntegerWeight(grid, product.from_matrix(whole).astype(np.int8))
    ratio = _error(product, candidate, held_out) / before
    reason = f"{method}: squared error of the sums {ratio:.2f} times that of nearest, on data held out"
    return (candidate, reason) if ratio < 1 else (None, f"{reason}: nearest")


def _error(product: Product, weight: IntegerWeight, rows: np.ndarray) -> float:
    """The squared error of the sums, summed."""
    difference = product.matrix(weight.grid.real(weight.integers) - product.weight)
    return float(np.square(rows @ difference.transpose(0, 2, 1), dtype=np.float64).sum())


def _finest_grid(product: Product, form: WeightForm, rows: np.ndarray) -> WeightGrid:
    """The grid with the least squared error of the sums if terms were independent, of several that span less."""
    importance = np.square(rows, dtype=np.float64).mean(axis=1)[:, None, :]  # [groups, 1, terms]
    errors = []
    for part in _PARTS:
        grid = widest_grid(product.weight, form, part)
        difference = product.matrix(grid.real(grid.nearest(product.weight)) - product.weight)
        errors.append((np.square(difference, dtype=np.float64) * importance).sum(axis=2).reshape(-1))
    by_part = np.stack(errors)  # [parts, channels]
    if form.axis is None:
        return widest_grid(product.weight, form, float(_PARTS[by_part.sum(axis=1).argmin()]))
    return widest_grid(product.weight, form, _PARTS[by_part.argmin(axis=0)])
