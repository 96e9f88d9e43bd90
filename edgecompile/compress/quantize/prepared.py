"""`Prepared`: a quantization with everything decided but which layers take part."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from edgecompile.compress.quantize.insert import ProductScheme, TensorRange
    from edgecompile.compress.quantize.scheme import LayerScheme
    from edgecompile.compress.quantize.weights import IntegerWeight
    from edgecompile.frontend.model import Model


@dataclass(frozen=True)
class Inserted:
    """What became of a choice of layers.

    Attributes:
        module: in which they are quantized, where that is possible.
        decisions: one for each layer and each joining operator, in order of execution.
    """

    module: tvm.IRModule
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Prepared:
    """Everything that insertion needs, calibration done.

    Attributes:
        model: float, simplified, equalized and smoothed: what the names of layers and tensors speak of.
        products: the layers that compute in integers, by name.
        stored: the layers whose weights alone are in fewer bits, by name.
        rows: the softmax and layer normalizations that compute in integers alone, by name.
        integers: of their weights, where data chose them; all others are the nearest.
        ranges: of each tensor that has a scale beforehand, by name.
        corrections: what is added to the results of layers, `[channels]` along theirs; see `bias_corrections`.
        samples: the first of the calibration data; none where a table was given.
        decisions: that were taken on the way here.
        sparse: the layers whose weights were stored without their zeros; what stays float is stored so again.
    """

    model: Model
    products: Mapping[str, ProductScheme]
    stored: Mapping[str, LayerScheme]
    rows: frozenset[str]
    integers: Mapping[str, IntegerWeight]
    ranges: Mapping[str, TensorRange]
    corrections: Mapping[str, np.ndarray]
    samples: Sequence[Mapping[str, np.ndarray]]
    decisions: Sequence[Decision]
    sparse: frozenset[str] = frozenset()

    @property
    def layers(self) -> frozenset[str]:
        """All that the recipe changes."""
        return frozenset(self.products) | frozenset(self.stored)

    def insert(self, layers: Collection[str]) -> Inserted:
        """Quantize these layers, of `self.layers`, where that is possible."""
        from edgecompile.compress.quantize.improve.correct_bias import with_corrections
        from edgecompile.compress.quantize.insert import insert_quantization
        from edgecompile.compress.quantize.storage.store_weights import store_weights
        from edgecompile.storage.insert_weights import with_sparse_weights

        module = self.model.module
        found: list[Decision] = []
        if self.products:
            chosen = {name: scheme for name, scheme in self.products.items() if name in layers}
            module = insert_quantization(module, self.ranges, chosen, found, self.rows)
            found = [decision for decision in found if decision.subject not in self.stored]
        stored = {name: scheme for name, scheme in self.stored.items() if name in layers}
        if stored:
            module = store_weights(module, stored, found, integers=self.integers)
        module = with_sparse_weights(module, self.sparse)
        kept = {decision.subject for decision in found if decision.kept}
        corrections = {name: vector for name, vector in self.corrections.items() if name in kept & set(layers)}
        return Inserted(with_corrections(module, corrections), tuple(found))

    def quantized(self, inserted: Inserted) -> tuple[str, ...]:
        """The layers of the recipe that were quantized, in order of execution."""
        return tuple(found.subject for found in inserted.decisions if found.kept and found.subject in self.layers)

    def renewed(self, model: Model, module: tvm.IRModule) -> Model:
        """The user's model with another module; the self-test should ask what the ranges were chosen for."""
        sample = self.samples[0] if self.samples else model.sample_inputs
        return dataclasses.replace(model, module=module, sample_inputs=sample)
