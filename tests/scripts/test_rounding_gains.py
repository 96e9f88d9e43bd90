"""The table of gains: what it refuses, and how it reads."""

from __future__ import annotations

import numpy as np
import pytest

from scripts import rounding_gains
from scripts.rounding_gains import METHODS, Case, Row, main, read_case


@pytest.mark.parametrize("option", ["networks", "forms", "methods"])
def test_unknown_names(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--{option}", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 'nonsense' is not among") and error.count("\n") == 1


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(case: Case, network: str, form: str, method: str, outputs: np.ndarray) -> Row:
        return Row(network, form, method, 98.61, 7.0 + list(METHODS).index(method), 1.0)

    monkeypatch.setattr(rounding_gains, "measure", measured)
    monkeypatch.setattr(rounding_gains, "answers", lambda model, inputs: np.zeros((len(inputs), 10)))
    assert main(["--networks", "digits_resnet", "--forms", "int4 per channel", "--methods", "nearest,gptq"]) == 0
    printed = capsys.readouterr().out
    assert "98.61 %   7.00 dB" in printed and "98.61 %  11.00 dB" in printed


def test_data_of_a_case() -> None:
    """Training images to calibrate with, the whole test split to judge by."""
    case = read_case("digits_resnet", 3)
    assert len(case.calibration) == 3 and len(case.test) == 360
    assert case.labels is not None and len(case.labels) == 360
