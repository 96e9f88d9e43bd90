"""Softmax and layer normalization in integers, as kernels of the row template: the bits of NumPy on every target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import te

from edgecompile.integer.layer_norm import LayerNormNumbers, layer_norm, layer_norm_array
from edgecompile.integer.softmax import SoftmaxNumbers, softmax, softmax_array
from edgecompile.target import find_target
from schedules.cpu import RowTemplate
from targets.cpu.emulator import runs_natively
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.emulated_kernels import run_emulated
from tests.schedules.cpu.integer_kernels import placeholders

HOSTS = ["host", "host,vector_bytes=32", "host,vector_bytes=16"]


def _run(
    sources: Sequence[te.Tensor], result: te.Tensor, arrays: Sequence[np.ndarray], name: str, folder: Path
) -> np.ndarray:
    target = find_target(name)
    function = te.create_prim_func([*sources, result]).with_attr("global_symbol", "main")
    schedule = RowTemplate().apply(function.with_attr("tirx.noalias", True), target)
    assert schedule is not None
    out = np.full(arrays[0].shape, 99, np.int8)
    if not runs_natively(target):
        return run_emulated(schedule.mod["main"], list(arrays), out, target, folder)
    tensors = [tvm.runtime.tensor(array) for array in (*arrays, out)]
    tvm.compile(schedule.mod, target=tvm_target(target))["main"](*tensors)
    return np.asarray(tensors[-1].numpy())


def _check(name: str, columns: int, folder: Path) -> None:
    rng = np.random.default_rng(columns)
    x = rng.integers(-128, 128, (2, 3, columns)).astype(np.int8)
    x[0, 0], x[0, 1], x[0, 2, 1:] = 127, -128, -128
    (source,) = placeholders([x])
    powers = SoftmaxNumbers.of(0.06, 1 / 255, -128, columns)
    assert powers is not None
    numbers = vars(powers)
    got = _run([source], softmax(source, **numbers), [x], name, folder)
    np.testing.assert_array_equal(got, softmax_array(x, **numbers))
    found = LayerNormNumbers.of(0.1, rng.normal(0, 1, columns), rng.normal(0, 1, columns), 1e-12, 0.03, 5)
    assert found is not None
    arrays = [x, found.gamma, found.beta]
    sources = placeholders(arrays)
    result = layer_norm(*sources, found.epsilon, found.shift)
    got = _run(sources, result, arrays, name, folder)
    np.testing.assert_array_equal(got, layer_norm_array(*arrays, found.epsilon, found.shift))


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("columns", [5, 64, 197])
def test_odd_widths(name: str, columns: int, tmp_path: Path) -> None:
    _check(name, columns, tmp_path)


@pytest.mark.board
@pytest.mark.parametrize("name", ["rpi4", "armv9"])
def test_on_a_board(name: str, tmp_path: Path) -> None:
    _check(name, 37, tmp_path)
