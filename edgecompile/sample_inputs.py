"""Inputs for the self-test: the user's own examples, else seeded random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    import numpy as np

# What a dimension that is known at run time only is taken to be.
DYNAMIC_EXTENT = 2


def sample_inputs(model: Model) -> dict[str, np.ndarray]:
    """One array per input, in the model's order; the same for the same model.

    Real numbers are standard normal. Integers are 0 or 1, because they are most often indices, and no table is smaller.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    return {
        spec.name: model.sample_inputs[spec.name] if spec.name in model.sample_inputs else _random(spec, generator)
        for spec in model.inputs
    }


def _random(spec: TensorSpec, generator: np.random.Generator) -> np.ndarray:
    from edgecompile.artifact.dtypes import is_floating, numpy_dtype

    shape = tuple(dimension if isinstance(dimension, int) else DYNAMIC_EXTENT for dimension in spec.shape)
    values = generator.standard_normal(shape) if is_floating(spec.dtype) else generator.integers(0, 2, shape)
    return values.astype(numpy_dtype(spec.dtype))
