"""`prepare`: a model, a step and data to what each layer could become."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.compress.lowrank.choices import Choice, CostName, choices_of
from edgecompile.compress.lowrank.layers import WeightedLayer, weighted_layers
from edgecompile.compress.lowrank.resolve import ResolvedLayer, resolve
from edgecompile.compress.lowrank.sensitivity.shares import choice_within
from edgecompile.compress.lowrank.sensitivity.tolerated import tolerated_shares
from edgecompile.compress.lowrank.solve import Costs
from edgecompile.errors import InvalidRecipeError
from edgecompile.passes.simplify_model import simplify_model

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.lowrank.recipe import LowRankStep
    from edgecompile.compress.samples.replay import Replay
    from edgecompile.frontend.model import Model

MOST_TERMS = 8192
"""Of a layer whose Gram matrix is gathered: 512 MB of float64."""

_OF_FEWER_BITS = ("quantize", "dequantize", "edgecompile.decode")

LayerInputs: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"
"""Of a layer: its damped Gram matrix, and rows that are not in it."""


@dataclass(frozen=True)
class Prepared:
    """Everything but the choice.

    Attributes:
        model: simplified: what the names of layers speak of.
        layers: all convolutions and matrix products, with their rules.
        choices: by the name of each that can be factorised.
        notes: by layer, what its errors are measured by, in words.
        sample: the first of the data, by input name; empty without data.
        tolerated: by layer whose rule says nothing of its rank, the share of its parameters that a file of
            sensitivities lets it have; it has one choice, or none.
    """

    model: Model
    layers: Sequence[ResolvedLayer]
    choices: Mapping[str, Sequence[Choice]]
    notes: Mapping[str, str]
    sample: Mapping[str, np.ndarray] = field(default_factory=dict)
    tolerated: Mapping[str, float] = field(default_factory=dict)

    def decides(self, found: ResolvedLayer) -> bool:
        """True where the layer's rule, or the file of sensitivities, says how far: no budget does."""
        return found.rule.has_rank or found.layer.name in self.tolerated

    def costs(self, what: CostName) -> Costs:
        """What the model takes."""
        whole = self.model.params if what == "params" else self.model.macs
        shapes = {found.layer.name: found.layer.shape for found in self.layers if found.layer.name in self.choices}
        layers = {name: shape.params if what == "params" else shape.macs for name, shape in shapes.items()}
        return Costs(what, whole, layers, lambda name, choice: choice.cost(what))


def prepare(
    model: Model,
    step: LowRankStep,
    *,
    samples: Replay | None,
    lanes: int,
    folder: Path,
    progress: Callable[[str], None],
) -> Prepared:
    """Simplify, resolve the recipe, see what the layers read, and price what each could become.

    Args:
        samples: what the layers read is found on; without any, errors are those of weights.
        lanes: float32 numbers of the target's vector registers.
        folder: for Gram matrices, which stay there as long as choices are used.

    Raises:
        InvalidRecipeError: the recipe does not fit the model, or the model is quantized already.
        InvalidCalibrationError: see `read_samples`.
        InvalidInputError: see `tolerated_shares`.
    """
    from edgecompile.compress.lowrank.problem import Problem

    quantized = next((layer for layer in model.layers if layer.operator in _OF_FEWER_BITS), None)
    if quantized is not None:
        raise InvalidRecipeError(
            f"lowrank needs a model of float32, found {quantized.operator} {quantized.name!r}: put it before the step "
            "that quantizes or stores weights"
        )
    simplified = simplify_model(model)
    layers = weighted_layers(simplified)
    resolved = resolve(step, layers)
    ruled = {found.layer.name for found in resolved if found.rule.has_rank}
    shares = tolerated_shares(model, step, layers)
    tolerated = {name: share for name, share in shares.items() if name not in ruled}
    asked = [
        found
        for found in resolved
        if not found.why_not and (found.layer.name in ruled | tolerated.keys() or step.budget is not None)
    ]
    inputs: dict[str, LayerInputs] = {}
    notes = dict.fromkeys((found.layer.name for found in asked), "of the weight alone")
    sample: Mapping[str, np.ndarray] = {}
    if samples is not None:
        weighed = [found.layer for found in asked if found.rule.activations]
        sample = _gather(simplified, weighed, samples, folder, inputs, notes, progress)
    choices: dict[str, Sequence[Choice]] = {}
    for number, found in enumerate(asked, 1):
        name, share = found.layer.name, tolerated.get(found.layer.name)
        if share is not None and share >= 1:
            choices[name] = []
            continue
        progress(f"decompose {number} of {len(asked)}: {name}")
        problem = Problem(found.layer.shape, found.layer.weight, *inputs.get(name, (None, None)))
        some = choices_of(found.layer, found.rule, problem, lanes)
        within = choice_within(some, found.layer.shape, share) if share is not None else None
        choices[name] = some if share is None else [within] if within is not None else []
    return Prepared(simplified, resolved, choices, notes, sample, tolerated)


def _gather(
    model: Model,
    layers: Sequence[WeightedLayer],
    samples: Replay,
    folder: Path,
    found: dict[str, LayerInputs],
    notes: dict[str, str],
    progress: Callable[[str], None],
) -> Mapping[str, np.ndarray]:
    """What each layer reads, in files; and the first sample."""
    from edgecompile.compress.activations.gather import gather
    from edgecompile.compress.activations.runs import Runs
    from edgecompile.compress.lowrank.problem import damped

    small = [layer for layer in layers if layer.shape.terms <= MOST_TERMS]
    notes |= {
        layer.name: f"of the weight alone: {layer.shape.terms:,} terms are above the {MOST_TERMS:,} of a Gram matrix"
        for layer in layers
        if layer not in small
    }
    products = [layer.product for layer in small if layer.product is not None]
    with Runs(model, samples, progress, only={product.source for product in products}) as runs:
        progress("inputs of the layers")
        for number, (product, inputs) in enumerate(gather(products, {each.name for each in products}, runs)):
            if inputs.gram is None or not inputs.is_finite or not inputs.gram_rows:
                notes[product.name] = "of the weight alone: its inputs are NaN or infinite"
                continue
            gram, held_out = damped(inputs.gram[0]), inputs.held_out.rows
            if gram is None:
                notes[product.name] = "of the weight alone: its inputs are all zero"
                continue
            rows = None if held_out is None else _in_file(held_out[0], folder / f"{number}-rows.npy")
            found[product.name] = (_in_file(gram, folder / f"{number}-gram.npy"), rows)
            notes[product.name] = "of its results on data" if rows is None else "of its results on data held out"
    if not samples.first:  # nothing asked for data
        next(iter(samples))
    return samples.first


def _in_file(array: np.ndarray, path: Path) -> np.ndarray:
    """The array as a file in memory, of which the system keeps what there is room for."""
    import numpy as np

    np.save(path, array)
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def with_module(model: Model, module: object, sample: Mapping[str, np.ndarray]) -> Model:
    """The user's model with another module; its self-test asks what the data are like."""
    changed: dict[str, object] = {"module": module}
    if sample:
        changed["sample_inputs"] = sample
    return dataclasses.replace(model, **changed)  # type: ignore[arg-type]
