"""Measured times in place of estimates: they change the choice, and only where they are known."""

from __future__ import annotations

import pytest

from edgecompile.tune.measured import MeasuredImplementations
from edgecompile.tune.workload import Workload
from tests.tune.samples import PROBLEM, Offered, record, way

DIRECT = (way("direct 14", 100), way("direct 6", 100, is_variant=True), way("direct 7", 90, is_variant=True))
WINOGRAD = (way("winograd 14", 60), way("winograd 6", 60, is_variant=True))


def prices(measured: MeasuredImplementations) -> dict[str, float]:
    return {found.key: found.cycles for found in measured.convolutions(PROBLEM, 16)}


def test_without_records_estimates_and_own_choices_stay() -> None:
    assert prices(MeasuredImplementations(Offered(*DIRECT, *WINOGRAD), [])) == {"direct 14": 100, "winograd 14": 60}


def test_measured_times_swap_the_choice() -> None:
    records = [record("direct 14", 80), record("direct 6", 70), record("winograd 14", 95)]
    found = prices(MeasuredImplementations(Offered(*DIRECT, *WINOGRAD), records))
    assert found == pytest.approx({"direct 14": 80, "direct 6": 70, "winograd 14": 95})
    assert min(found, key=found.__getitem__) == "direct 6"


def test_a_variant_must_be_clearly_faster_than_its_own_template() -> None:
    records = [record("direct 14", 100), record("direct 6", 99), record("direct 7", 97), record("winograd 14", 120)]
    records.append(record("winograd 6", 119))
    found = prices(MeasuredImplementations(Offered(*DIRECT, *WINOGRAD), records))
    assert set(found) == {"direct 14", "direct 7", "winograd 14"}


def test_estimates_beside_measured_times_are_scaled() -> None:
    measured = MeasuredImplementations(Offered(*DIRECT, *WINOGRAD), [record("direct 14", 80, estimated_cycles=20)])
    assert prices(measured) == pytest.approx({"direct 14": 80, "winograd 14": 240})
    # Another layer, without a record of its own, by all records.
    product = {found.key: found.cycles for found in measured.products((4,), PROBLEM)}
    assert product == pytest.approx({"direct 14": 400, "winograd 14": 240})
    assert (measured.plain_cycles(7), measured.conversion_cycles(5)) == (28, 20)


def test_threads_count_for_all_their_cores() -> None:
    both = record("direct 14", 80)
    both = both.model_copy(update={"conditions": both.conditions.model_copy(update={"threads": 2})})
    assert prices(MeasuredImplementations(Offered(*DIRECT), [both])) == pytest.approx({"direct 14": 160})


def test_the_later_record_counts() -> None:
    measured = MeasuredImplementations(Offered(*DIRECT), [record("direct 14", 80), record("direct 14", 50)])
    assert prices(measured) == pytest.approx({"direct 14": 50})


def test_what_is_computed_by_a_record_is_known() -> None:
    records = [record("direct 14", 80), record("winograd 14", 50)]
    measured = MeasuredImplementations(Offered(*DIRECT, *WINOGRAD), records)
    direct, winograd = measured.convolutions(PROBLEM, 16)
    assert measured.used == []
    assert winograd.compute("x") == "x"
    winograd.compute("x")
    assert [used.way for used in measured.used] == ["winograd 14"]
    assert direct.name == "direct 14 in 0.000 ms"


def test_workloads_differ_by_all_their_numbers() -> None:
    workloads = [
        Workload.convolution(PROBLEM, 16),
        Workload.convolution(PROBLEM, None),
        Workload.product((9, 9), PROBLEM),
        Workload.product((81,), PROBLEM),
        Workload.batched_product(9, 16, 32),
        Workload.batched_product(9, 32, 16),
    ]
    assert len({workload.key for workload in workloads}) == len(workloads)
    assert workloads[0].operands == ((1, 1, 9, 9, 16),)
    assert workloads[1].operands == ((1, 16, 9, 9),)
    assert workloads[2].operands == ((9, 9, 16),)
    assert workloads[4].operands == ((1, 9, 16), (1, 16, 32))
    assert [workload.label for workload in workloads[:5:2]] == [
        "conv 3x3 16->32 9x9",
        "matmul 9x9 16->32",
        "batch_matmul 9 16->32",
    ]
