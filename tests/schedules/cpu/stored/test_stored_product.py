"""Products with stored matrices, decoded in registers, against NumPy in float64."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.storage.stored_weight import HalfWeight, StoredWeight
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target
from tests.storage.weights import table, uniform

X86, ARM = "host", "host,vector_bytes=16,features=asimd"


def stored(kind: str, inner: int, columns: int) -> StoredWeight:
    if kind in ("float16", "bfloat16"):
        values = np.random.default_rng(0).standard_normal((inner, columns))
        return HalfWeight(values.astype(np.float16 if kind == "float16" else ml_dtypes.bfloat16))
    bits, blocks, *asymmetric = kind.split()
    groups = {"tensor": (1, 1), "channel": (1, columns), "groups": (inner // 4, columns)}[blocks]
    return uniform((inner, columns), groups, int(bits), shared_zero=not asymmetric)


def run(x: np.ndarray, weight: StoredWeight, target_name: str) -> np.ndarray:
    """`x @ w * 0.5` by the template."""
    target = find_target(target_name)
    rows, (inner, columns) = x.shape[:-1], weight.shape
    problem = Convolution(1, inner, columns, 1, math.prod(rows))
    (way,) = CpuImplementations(target.cpu).stored_products(rows, problem, weight)
    assert way.pack_stored is not None
    arrays = [x, *way.pack_stored(weight)]
    sources = [te.placeholder([tirx.IntImm("int64", n) for n in a.shape], a.dtype.name) for a in arrays]
    result = way.compute(*sources)
    scaled = te.compute(result.shape, lambda *i: result[i] * tirx.const(0.5))
    function = te.create_prim_func([*sources, scaled]).with_attr("global_symbol", "main")
    schedule = Template(EMITTERS).apply(function.with_attr("tirx.noalias", True), target)
    assert schedule is not None
    out = np.full((*rows, columns), np.nan, np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (*arrays, out)]
    tvm.compile(schedule.mod, target=tvm_target(target))["main"](*tensors)
    return tensors[-1].numpy()


KINDS = [
    *("float16", "bfloat16", "8 tensor", "8 channel", "8 groups asymmetric"),
    *("4 channel", "4 groups", "4 groups asymmetric", "4 channel asymmetric"),
]


SHAPES = [((1,), 36, 17), ((3,), 20, 200), ((2, 2), 12, 131)]  # of x without its last dimension, and of the matrix


@pytest.mark.parametrize(
    ("kind", "shape", "target_name"),
    [
        (kind, SHAPES[(at + turn) % 3], target)
        for at, kind in enumerate(KINDS)
        for turn, target in enumerate([X86, ARM])
        if (kind, target) != ("float16", ARM)  # x86 with the facts of AArch64 lacks an instruction for it
    ],
)
def test_odd_sizes(kind: str, shape: tuple[tuple[int, ...], int, int], target_name: str) -> None:
    rows, inner, columns = shape
    weight = stored(kind, inner, columns)
    x = np.random.default_rng(1).standard_normal((*rows, inner), np.float32)
    exact = x.astype(np.float64) @ weight.decode().astype(np.float64) * 0.5
    scale = np.abs(x).astype(np.float64) @ np.abs(weight.decode()).astype(np.float64)
    # Of each product and each addition half a unit in the last place, as in a float sum.
    assert (np.abs(run(x, weight, target_name) - exact) <= (inner + 2) * 2.0**-24 * scale).all()


def test_long_sums_are_cut() -> None:
    """One sum of all products would have four times the error."""
    weight = stored("8 channel", 16384, 16)
    x = np.random.default_rng(1).uniform(0.5, 1, (1, 16384)).astype(np.float32)
    exact = x.astype(np.float64) @ weight.decode().astype(np.float64) * 0.5
    assert np.abs(run(x, weight, X86) / exact - 1).max() < 1e-6


@pytest.mark.parametrize(
    ("rows", "weight"),
    [
        ((5,), uniform((8, 64), (1, 64), 8)),
        ((1,), uniform((8, 64), (1, 64), 3)),
        ((1,), uniform((8, 3), (1, 3), 8)),
        ((1,), table((8, 64), (1, 64), 4, has_zero=True)),
    ],
    ids=["many rows", "bits across bytes", "fewer columns than lanes", "a table"],
)
def test_what_is_left_to_decoding_at_load(rows: tuple[int, ...], weight: StoredWeight) -> None:
    problem = Convolution(1, weight.shape[0], weight.shape[1], 1, math.prod(rows))
    assert not CpuImplementations(find_target(X86).cpu).stored_products(rows, problem, weight)


def test_codes_are_cheaper_to_read_than_floats() -> None:
    implementations = CpuImplementations(find_target(X86).cpu)
    problem = Convolution(1, 1024, 4096, 1, 1)
    (floats,) = implementations.products((1,), problem)
    costs = [
        implementations.stored_products((1,), problem, stored(kind, 1024, 4096))[0].cycles
        for kind in ("bfloat16", "8 channel", "4 channel")
    ]
    assert floats.cycles > costs[0] > costs[1] > costs[2]
