"""The boards' facts hang together."""

from __future__ import annotations

import pytest

from edgecompile.target import find_target
from targets.arm_cpu import TARGETS
from tests.runtime import dense
from tests.targets.boards import ARMV7

# Extensions that LLVM's options switch on, and what Linux calls them.
LINUX_NAMES = {
    "dotprod": "asimddp",
    "fullfp16": "asimdhp",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "neon": "neon",
    "vfp4": "vfpv4",
}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_llvm_may_use_is_demanded(name: str) -> None:
    target = TARGETS[name]()
    assert target.name == name
    used = {LINUX_NAMES[feature[1:]] for feature in target.llvm_features if feature[1:] in LINUX_NAMES}
    assert used <= set(target.cpu.features)
    assert target.emulator[0] == ("qemu-arm" if target.architecture == "armv7l" else "qemu-aarch64")


@pytest.mark.parametrize(
    "name", [ARMV7, *(pytest.param(name, marks=pytest.mark.board) for name in ("rpi4", "rpi5", "armv9"))]
)
def test_the_emulator_has_what_the_board_demands(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`ec_open` inside the emulator accepts the library of the board, and the outputs are right."""
    import numpy as np

    from targets.cpu.runner import run_library

    target = find_target(name)
    built = dense.build(dense.describe("dense", target), tmp_path_factory.mktemp("board"))
    x = np.random.default_rng(2).standard_normal((3, 1, dense.K)).astype("float32")
    result = run_library(
        target, built.library, "dense", x.tobytes(), weights=built.weights, threads=2, repeat=2, warmup=1
    )
    y = np.frombuffer(result.outputs, "float32").reshape(3, 1, dense.N)
    np.testing.assert_allclose(y, dense.expected(x, 0), rtol=1e-5, atol=1e-4)
    assert result.runs == 6
    assert 0 < result.min_ns <= result.median_ns <= result.p99_ns
