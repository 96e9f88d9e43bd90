"""What llvm-mca says of loops whose answer the pipelines give."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.errors import ToolchainError
from scripts.instructions.disassembly import Instruction
from scripts.instructions.throughput import analyze, find_analyzer


def loop(*texts: str) -> tuple[Instruction, ...]:
    return tuple(Instruction(4 * at, text) for at, text in enumerate((*texts, "b.ne 0 <f>")))


@pytest.fixture
def analyzer() -> str:
    try:
        return find_analyzer()
    except ToolchainError as error:
        pytest.skip(str(error))


def test_independent_products_fill_the_pipelines(analyzer: str) -> None:
    small, large = analyze(analyzer, loop(*(f"fmla v{at}.4s, v30.4s, v31.s[1]" for at in range(24))))
    assert (small.core, round(small.cycles)) == ("Cortex-A72", 24)
    assert (large.core, round(large.cycles)) == ("Cortex-A76", 12)
    assert small.peak_share == pytest.approx(1, abs=0.02) and large.peak_share == pytest.approx(1, abs=0.02)


def test_bytes_run_on_the_cores_that_multiply_them(analyzer: str) -> None:
    words = analyze(analyzer, loop(*(f"sdot v{at}.4s, v30.16b, v31.4b[1]" for at in range(24))))
    (pairs,) = analyze(analyzer, loop(*(f"smmla v{at}.4s, v30.16b, v31.16b" for at in range(24))))
    assert [found.core for found in words] == ["Cortex-A76", "Cortex-A710"] and pairs.core == "Cortex-A710"
    assert [round(found.cycles) for found in (*words, pairs)] == [12, 12, 12]


def test_one_sum_waits_for_itself(analyzer: str) -> None:
    for found in analyze(analyzer, loop("cbz x0, 4 <f+0x4>", "fmul v1.4s, v1.4s, v2.4s")):
        assert found.cycles >= 3 and found.peak_share == 0


def test_an_unknown_instruction_is_one_line(analyzer: str) -> None:
    with pytest.raises(ToolchainError, match=r"llvm-mca cannot analyze a loop: \S"):
        analyze(analyzer, loop("frobnicate x0"))


def test_no_analyzer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match="llvm-mca 19 or newer: apt-get install"):
        find_analyzer()
