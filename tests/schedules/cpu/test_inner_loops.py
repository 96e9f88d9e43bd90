"""The innermost loops of the templates in AArch64's assembly: nothing but operands and products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import Target, find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target

LEAST_SHARE = 0.78  # of the loop's instructions; the others are loads in pairs, addresses and the branch


def convolutions() -> Iterator[tuple[Convolution, str]]:
    yield Convolution(1, 96, 24, 56, 56), "conv2d"
    yield Convolution(1, 64, 384, 14, 14), "conv2d"
    yield Convolution(1, 320, 1280, 7, 7), "conv2d"
    yield Convolution(1, 64, 128, 56, 56, (3, 3), (2, 2), (1, 1, 1, 1)), "conv2d"
    yield Convolution(1, 64, 64, 56, 56, (3, 3), (1, 1), (1, 1, 1, 1)), "conv2d_winograd F(4,3)"


@pytest.mark.parametrize(("problem", "name"), list(convolutions()), ids=str)
@pytest.mark.parametrize("target_name", ["rpi4", "rpi5"])
def test_convolutions(problem: Convolution, name: str, target_name: str) -> None:
    target = find_target(target_name)
    ways = CpuImplementations(target.cpu).convolutions(problem, 4)
    way = next(way for way in ways if way.name.startswith(name))
    packed = way.pack(np.zeros((problem.out_channels, problem.in_channels, *problem.kernel), np.float32))
    shape = (1, problem.in_channels // 4, problem.height, problem.width, 4)
    check_loop(assembly(way, [shape, *(array.shape for array in packed)], target))


@pytest.mark.parametrize("kernel", [3, 7])
def test_first_layer(kernel: int) -> None:
    target = find_target("rpi5")
    pad = kernel // 2
    problem = Convolution(1, 3, 64, 224, 224, (kernel, kernel), (2, 2), (pad, pad, pad, pad))
    (way,) = CpuImplementations(target.cpu).convolutions(problem, None)
    packed = way.pack(np.zeros((64, 3, kernel, kernel), np.float32))
    check_loop(assembly(way, [(1, 3, 224, 224), *(array.shape for array in packed)], target))


def test_batched_product() -> None:
    target = find_target("rpi5")
    (way,) = CpuImplementations(target.cpu).batched_products(128, 64, 128)
    check_loop(assembly(way, [(12, 128, 64), (12, 64, 128)], target))


def assembly(
    way: Implementation, shapes: list[tuple[int, ...]], target: Target, dtypes: Sequence[str] | None = None
) -> str:
    sources = [
        te.placeholder([tirx.IntImm("int64", extent) for extent in shape], dtype)
        for shape, dtype in zip(shapes, dtypes or ["float32"] * len(shapes), strict=True)
    ]
    function = te.create_prim_func([*sources, way.compute(*sources)]).with_attr("global_symbol", "main")
    schedule = Template(EMITTERS).apply(function.with_attr("tirx.noalias", True), target)
    assert schedule is not None
    return str(tvm.compile(schedule.mod, target=tvm_target(target)).mod.inspect_source("s"))


def check_loop(text: str) -> None:
    """The loop with the most products by lane, and no other loop in it, spills nothing and does little else."""
    loop = max(innermost_loops(text), key=lambda loop: len(products(loop)))
    assert len(products(loop)) >= LEAST_SHARE * len(loop), "\n".join(loop)
    assert not any("[sp" in line for line in loop)
    others = {line.split("\t")[0] for line in loop} - {"fmla"}
    assert "ldp" in others and not others & {"ld1r", "dup", "fmul", "fadd", "mov"}


def products(loop: list[str]) -> list[str]:
    """Fused multiply-adds by one lane."""
    return [line for line in loop if re.fullmatch(r"fmla\s.*\.s\[\d\]", line)]


def innermost_loops(text: str) -> Iterator[list[str]]:
    """The instructions between a label and a jump back to it, where no other such run lies between."""
    code: list[str] = []
    labels: dict[str, int] = {}
    for line in (line.strip() for line in text.splitlines()):
        if found := re.fullmatch(r"(\.LBB\w+):.*", line):
            labels[found[1]] = len(code)
        elif line and not line.startswith((".", "//")):
            code.append(line)
    last_start = -1
    for end, line in enumerate(code):
        found = re.fullmatch(r"(?:b\.?\w*|cbn?z|tbn?z|j\w+)\s+(?:.*, )?(\.LBB\w+)", line)
        start = labels[found[1]] if found else len(code)
        if last_start < start <= end:
            last_start = start
            yield code[start : end + 1]
