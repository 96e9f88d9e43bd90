"""The range of each tensor that becomes integers: from a table, or from data by the recipe's calibrations."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.quantize.calibrate import calibrate_each
from edgecompile.compress.quantize.chosen_observer import chosen_observer
from edgecompile.compress.quantize.scheme import INTEGER_BITS, Calibration, LayerScheme
from edgecompile.compress.quantize.table import TensorRange


def ranges_from_data(
    runs: Runs, products: Mapping[str, LayerScheme], schemes: Mapping[str, LayerScheme], integer: Collection[str] = ()
) -> Mapping[str, TensorRange]:
    """The ranges of a model's tensors by name, all from one pass.

    A tensor is calibrated as the first product that reads it says; what only sums and poolings read, as they say.

    Args:
        products: the schemes of those that shall be quantized.
        schemes: of all operators.
        integer: softmax and layer normalizations that shall compute in integers alone.
    """
    from edgecompile.compress.quantize.edges import Edges

    calibrations = {
        name: (layer.calibration, INTEGER_BITS[layer.activations.dtype])
        for name, layer in schemes.items()
        if layer.calibration is not None and layer.activations.is_integer
    }
    usual = calibrations[next(iter(products))]
    wanted: list[tuple[Calibration, int]] = []
    for calibration in (usual, *calibrations.values()):
        if calibration not in wanted:
            wanted.append(calibration)
    observers = [chosen_observer(calibration, bits) for calibration, bits in wanted]
    tables = calibrate_each(runs.model, runs.samples, observers=observers, observed=runs.observed)
    edges = Edges.of(runs.model.module["main"], tables[0].tensors.keys(), products.keys(), integer=integer)
    return {
        tensor: tables[wanted.index(calibrations.get(decider, usual))].tensors[tensor]
        for tensor, decider in edges.deciders.items()
    }


def peaks_from_data(runs: Runs) -> dict[str, np.ndarray]:
    """`[channels]`: the greatest magnitudes in each tensor that was finite, by its name."""
    (table,) = calibrate_each(runs.model, runs.samples, observers=["min_max"], channels=True, observed=runs.observed)
    peaks = {name: found.channel_absmax for name, found in table.tensors.items()}
    return {name: np.array(found) for name, found in peaks.items() if found is not None}
