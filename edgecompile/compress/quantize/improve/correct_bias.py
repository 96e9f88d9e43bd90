"""Bias correction: the mean error that quantization makes of each output channel is taken off again.

Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.2 and appendix D: from data, layer by layer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.activations.product import Product
from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.graph.edit import edited
from edgecompile.compress.graph.uses import Uses
from edgecompile.decision import Decision
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    from edgecompile.compress.samples.replay import Replay

STEP = "BiasCorrection"

_MOST_SAMPLES = 64  # of each of as many passes as there are layers


def bias_corrections(
    module: tvm.IRModule,
    products: Sequence[Product],
    runs: Runs,
    progress: Callable[[str], None],
    decisions: list[Decision],
) -> dict[str, np.ndarray]:
    """What to add to the results of layers, float32 of the shape of a bias, by name.

        correction = -mean(conv(x, w) - float conv(x, w))

    The means are over the samples and all but the channels, one layer after the other: each is measured with those
    before it corrected. The network is compiled once, with the corrections as inputs.

    Args:
        module: of the float model of `runs`, quantized: products have the same names.
        products: that are quantized, in order.
        decisions: receives one for each of them.
    """
    results = {binding.var.name: binding.var for binding in module["main"].body.blocks[0].bindings}
    names = [product.name for product in products]
    axes = {product.name: product.result_axis for product in products}
    progress("means of the float layers")
    wanted = _means(itertools.islice(runs.one_pass(), _MOST_SAMPLES), axes)
    corrections = {name: np.zeros(_vector(results[name], axes[name]), np.float32) for name in names}
    correctable, inputs = _correctable(dataclasses.replace(runs.model, module=module), results, corrections)
    with Runs(correctable, runs.samples, progress, only=names) as quantized:
        for number, name in enumerate(names, 1):
            progress(f"bias correction {number} of {len(names)}: {name}")
            given = {inputs[other]: correction for other, correction in corrections.items()}
            found = _means(_passes(quantized, runs.samples, given), {name: axes[name]})[name]
            error = found - wanted[name]
            if not np.isfinite(error).all():
                decisions.append(Decision(STEP, name, False, "its result has NaN or infinite values on the data"))
                continue
            corrections[name] = (-error).astype(np.float32).reshape(corrections[name].shape)
            largest = float(np.abs(error).max(initial=0.0))
            decisions.append(Decision(STEP, name, True, f"mean errors up to {largest:.3g} taken off"))
    return corrections


def _passes(runs: Runs, samples: Replay, given: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for sample in itertools.islice(samples, _MOST_SAMPLES):
        yield dict(runs.observed.run({**sample, **given}))


def _means(tensors: Iterator[dict[str, np.ndarray]], axes: dict[str, int]) -> dict[str, np.ndarray]:
    """float64 `[channels]` of each tensor, over all samples and all other axes."""
    sums = dict.fromkeys(axes, np.float64(0.0))
    count = 0
    for sample in tensors:
        count += 1
        for name, axis in axes.items():
            others = tuple(index for index in range(sample[name].ndim) if index != axis)
            sums[name] = sums[name] + sample[name].mean(axis=others, dtype=np.float64)
    return {name: np.asarray(total / count) for name, total in sums.items()}


def _vector(variable: relax.Var, axis: int) -> tuple[int, ...]:
    """The shape of a bias of the tensor."""
    return tuple(int(extent) if index == axis else 1 for index, extent in enumerate(variable.ty.shape.values))


def _correctable(
    model: Model, results: dict[str, relax.Var], corrections: dict[str, np.ndarray]
) -> tuple[Model, dict[str, str]]:
    """The model with a further input for each correction, which is added; and the inputs' names."""
    inputs = {name: f"correction_of_{name}" for name in corrections}
    parameters = {
        name: relax.Var(inputs[name], relax.TensorType(array.shape, "float32")) for name, array in corrections.items()
    }

    def added(name: str) -> Callable[[relax.Var], relax.Expr]:
        return lambda result: relax.op.add(result, parameters[name])

    behind = {results[name]: added(name) for name in corrections}
    module = edited(model.module, behind=behind, parameters=list(parameters.values()))
    specs = tuple(TensorSpec(inputs[name], array.shape, "float32") for name, array in corrections.items())
    return dataclasses.replace(model, module=module, inputs=(*model.inputs, *specs)), inputs


def with_corrections(module: tvm.IRModule, corrections: Mapping[str, np.ndarray]) -> tvm.IRModule:
    """The module in QDQ form with other biases: conv(x, w) + b -> conv(x, w) + (b + correction).

    Where there is no bias there will be one.

    Args:
        corrections: by the name of the variable of a result, see `bias_corrections`.
    """
    if not corrections:
        return module
    results = {binding.var.name: binding.var for binding in module["main"].body.blocks[0].bindings}
    uses = Uses(module["main"])
    values: dict[relax.Var, relax.Expr] = {}
    behind: dict[relax.Var, Callable[[relax.Var], relax.Expr]] = {}
    for name, correction in corrections.items():
        if not correction.any():
            continue
        result = results[name]
        reader = uses.only_reader(result)
        together = _together(uses.call(reader), correction) if reader is not None else None
        if reader is not None and together is not None:
            values[reader] = relax.op.add(result, relax.const(together, "float32"))
        else:
            behind[result] = _adding(correction)
    return edited(module, values=values, behind=behind)


def _adding(correction: np.ndarray) -> Callable[[relax.Var], relax.Expr]:
    return lambda result: relax.op.add(result, relax.const(correction, "float32"))


def _together(call: relax.Call | None, correction: np.ndarray) -> np.ndarray | None:
    """A correction and the bias that the call adds; None where it adds none."""
    if call is None or call.op.name != "relax.add":
        return None
    for value in call.args:
        if isinstance(value, tvm.ir.GenericConst):
            together = value.value.numpy() + correction
            return np.asarray(together) if together.size == correction.size else None
    return None
