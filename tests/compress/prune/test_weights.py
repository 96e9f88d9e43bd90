"""Constants as their layers read them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.prune.channels.find import find_groups
from edgecompile.compress.prune.weights import Weights
from edgecompile.frontend.model import TensorSpec
from tests.relax_models import constant, make_model

WEIGHT = np.random.default_rng(0).standard_normal((5, 3)).astype(ml_dtypes.bfloat16)


def network(*, scaled: bool, dtype: Any = ml_dtypes.bfloat16) -> Any:
    """x [2, 3] @ (W or 2 W)^T, where W is stored in 16 bits, and as one long vector; then @ ones [5, 2]."""

    def body(builder: relax.BlockBuilder, x: relax.Var) -> Any:
        wide = builder.emit(relax.op.astype(constant(WEIGHT.reshape(1, 15).astype(dtype)), "float32"))
        matrix = builder.emit(relax.op.reshape(wide, (5, 3)))
        if scaled:
            matrix = builder.emit(relax.op.multiply(matrix, relax.const(2.0, "float32")))
        turned = builder.emit(relax.op.permute_dims(matrix))
        first = builder.emit(relax.op.matmul(x, turned), name_hint="first")
        return builder.emit(relax.op.matmul(first, constant(np.ones((5, 2), np.float32))), name_hint="second")

    module = make_model([TensorSpec("x", (2, 3), "float32")], body, [TensorSpec("y", (2, 2), "float32")]).module
    return find_groups(module)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_what_moves_numbers_is_looked_through(dtype: Any) -> None:
    groups = network(scaled=False, dtype=dtype)
    [group] = groups
    makes, reads = group.members
    weights = Weights(groups.program)
    found = weights.of(makes.axis)
    assert found is not None
    np.testing.assert_array_equal(found, WEIGHT.astype(dtype).T)
    np.testing.assert_array_equal(weights.slices(makes), WEIGHT.astype(dtype))
    np.testing.assert_array_equal(weights.slices(reads), np.ones((5, 2)))


def test_other_numbers_take_the_same_way() -> None:
    groups = network(scaled=False)
    [group] = groups
    [tensor] = [tensor for tensor in groups.program.constants.values() if tensor.shape == (1, 15)]
    numbers = np.arange(15.0).reshape(1, 15)
    found = Weights(groups.program, {tensor: numbers}).slices(group.members[0])
    np.testing.assert_array_equal(found, numbers.reshape(5, 3))


def test_what_is_computed_is_not_known() -> None:
    groups = network(scaled=True)
    assert any(Weights(groups.program).of(axis) is None for axis in groups.program.linker.layer_axes)
