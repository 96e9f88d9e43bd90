"""A failing graph is reduced to the nodes that matter."""

from __future__ import annotations

from tests.fuzz.graphs import Case, random_case
from tests.fuzz.reference import run_onnxruntime
from tests.fuzz.shrink import shrink


def _operators(case: Case) -> list[str]:
    return [node.op_type for node in case.model.graph.node]


def test_one_guilty_node_is_left_and_the_model_still_runs() -> None:
    case = next(
        case
        for case in (random_case(11, index) for index in range(200))
        if len(_operators(case)) >= 8 and "Softmax" in _operators(case)
    )
    small = shrink(case, lambda smaller: "Softmax" in _operators(smaller))
    assert _operators(small) == ["Softmax"]
    assert set(run_onnxruntime(small)) == set(small.tolerances)


def test_a_case_that_cannot_shrink_stays() -> None:
    case = random_case(11, 0)
    assert shrink(case, lambda smaller: False) is case
