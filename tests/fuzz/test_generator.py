"""The generator keeps its promises: models that ONNX Runtime runs, the shapes that it states, finite results."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz.graphs import random_case
from tests.fuzz.operators import ALL, Operator
from tests.fuzz.reference import difference, run_onnxruntime

PER_OPERATOR = 4


def test_no_operator_is_listed_twice() -> None:
    names = [operator.name for operator in ALL]
    assert len(names) == len(set(names)) >= 100


@pytest.mark.parametrize("operator", ALL, ids=lambda operator: operator.name)
def test_graphs_of_one_operator_run_and_stay_finite(operator: Operator) -> None:
    seed = sum(map(ord, operator.name))
    cases = [random_case(seed, index, [operator], most_nodes=2) for index in range(PER_OPERATOR)]
    if operator.name != "NonFinite":
        assert any(node.op_type in operator.name for case in cases for node in case.model.graph.node)
    for case in cases:
        outputs = run_onnxruntime(case)
        for declared in case.model.graph.output:
            array = outputs[declared.name]
            assert array.shape == tuple(dim.dim_value for dim in declared.type.tensor_type.shape.dim)
            if array.dtype.kind == "f" and operator.name != "NonFinite":
                assert np.all(np.isfinite(array))


def test_the_same_seed_gives_the_same_case() -> None:
    first, second = (random_case(3, 14) for _ in range(2))
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert all(np.array_equal(first.inputs[name], second.inputs[name]) for name in first.inputs)


def test_comparison_sees_a_wrong_element_a_wrong_type_and_a_missing_output() -> None:
    case = next(case for case in (random_case(5, index) for index in range(200)) if _has_float_output(case))
    expected = run_onnxruntime(case)
    right = [expected[output.name] for output in case.model.graph.output]
    assert difference(case, expected, right) is None
    at = next(i for i, array in enumerate(right) if array.dtype == np.float32 and array.size > 1)
    name = case.model.graph.output[at].name
    for change, message in (
        (lambda array: array + np.float32(0.05) * np.max(np.abs(array)), "off by"),
        (lambda array: np.where(np.arange(array.size).reshape(array.shape) == 0, np.float32(np.nan), array), "NaN"),
        (lambda array: np.where(np.arange(array.size).reshape(array.shape) == 0, np.float32(np.inf), array), "off by"),
        (lambda array: array.astype(np.float64), "expected float32"),
        (lambda array: array[None], "expected float32"),
    ):
        wrong = [change(array) if i == at else array for i, array in enumerate(right)]
        found = difference(case, expected, wrong)
        assert found is not None and found.startswith(name) and message in found
    assert "outputs" in str(difference(case, expected, right[:-1]))


def _has_float_output(case: object) -> bool:
    outputs = run_onnxruntime(case)  # type: ignore[arg-type]
    return any(
        array.dtype == np.float32 and array.size > 1 and float(np.max(np.abs(array))) > 0.1
        for array in outputs.values()
    )
