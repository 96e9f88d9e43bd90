"""Matrix products and convolutions."""

from __future__ import annotations

import math

from tests.fuzz.builder import MOST_ELEMENTS, GraphBuilder
from tests.fuzz.operators.binary import broadcast
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding


def product(x: Value, w: Value, terms: int, shape: tuple[int, ...], bias: Value | None = None) -> Value:
    """What is known about sums of `terms` products of elements of x and w, plus a bias."""
    bound = terms * x.magnitude * w.magnitude + (bias.magnitude if bias else 0.0)
    error = terms * (x.magnitude * w.error + w.magnitude * x.error) + (bias.error if bias else 0.0)
    return Value("", shape, x.dtype, -bound, bound, error + rounding(x.dtype, bound, terms))


def weight_bound(terms: int) -> float:
    """Keeps the results about as large as the operands."""
    return 1.0 / math.sqrt(terms)


def matmul(graph: GraphBuilder) -> None:
    """Every pairing of ranks: vectors, matrices, batches that broadcast."""
    x = graph.pick(("float32", "float64", "float16") if graph.flag() else (), (1, 4), magnitude=50)
    terms = x.shape[-1]
    columns = graph.choices.dimension()
    rank = graph.integer(1, 3)
    batch: tuple[int, ...] = ()
    if rank == 3 and x.rank >= 3:
        batch = (1 if graph.flag() else x.shape[-3],)
    elif rank == 3:
        batch = (graph.integer(1, 3),)
    w_shape = (*batch, terms, columns) if rank > 1 else (terms,)
    w = graph.parameter(w_shape, x.dtype, -weight_bound(terms), weight_bound(terms))
    rows = x.shape[-2:-1]
    lead = broadcast(x.shape[:-2], batch)
    shape = (*(lead or ()), *rows, *((columns,) if rank > 1 else ()))
    if lead is None or math.prod(shape) > 2 * MOST_ELEMENTS:
        w = graph.weight((terms,), x.dtype, -weight_bound(terms), weight_bound(terms))
        shape = x.shape[:-1]
    graph.node("MatMul", [x, w], [product(x, w, terms, shape)])


def gemm(graph: GraphBuilder) -> None:
    x = graph.pick((), (2, 2), magnitude=50)
    trans_a, trans_b = graph.integer(0, 1), graph.integer(0, 1)
    rows, terms = reversed(x.shape) if trans_a else x.shape
    columns = graph.choices.dimension()
    w = graph.parameter(
        (columns, terms) if trans_b else (terms, columns), x.dtype, -weight_bound(terms), weight_bound(terms)
    )
    bias_shape = graph.choose([None, (columns,), (1, columns), (rows, 1), (), (rows, columns), (1,)])
    bias = graph.parameter(bias_shape, x.dtype) if bias_shape is not None else None
    alpha, beta = graph.choose([(1.0, 1.0), (0.5, 1.0), (1.0, 0.25), (-1.0, 2.0)])
    out = product(x, w, terms, (rows, columns))
    bound = out.high * abs(alpha) + (bias.magnitude * abs(beta) if bias else 0.0)
    error = out.error * abs(alpha) + (bias.error * abs(beta) if bias else 0.0) + rounding(x.dtype, bound, 2)
    attributes = {"alpha": alpha, "beta": beta, "transA": trans_a, "transB": trans_b}
    graph.node("Gemm", [x, w, bias], [Value("", out.shape, x.dtype, -bound, bound, error)], **attributes)


def einsum(graph: GraphBuilder) -> None:
    equation, ranks = graph.choose(
        [
            ("ij,jk->ik", 2),
            ("bij,bjk->bik", 3),
            ("bij,bkj->bik", 3),
            ("bhid,bhjd->bhij", 4),
            ("ij,j->i", 2),
            ("ii->i", 2),
            ("ij->ji", 2),
        ]
    )
    sides = equation.split("->")
    terms = sides[0].split(",")
    x = graph.pick(
        ("float32",),
        (ranks, ranks),
        magnitude=50,
        fits=lambda value: terms[0] != "ii" or len(set(value.shape)) == 1,
        adapt=lambda shape: shape[:1] * 2 if terms[0] == "ii" else shape,
        most=512,
    )
    sizes = dict(zip(terms[0], x.shape, strict=True))
    operands = [x]
    if len(terms) == 2:
        for letter in terms[1]:
            sizes.setdefault(letter, graph.choices.dimension())
        summed = math.prod(size for letter, size in sizes.items() if letter not in sides[1])
        operands.append(
            graph.parameter(tuple(sizes[c] for c in terms[1]), x.dtype, -weight_bound(summed), weight_bound(summed))
        )
    shape = tuple(sizes[letter] for letter in sides[1])
    if len(operands) == 2:
        out = product(x, operands[1], summed, shape)
    else:
        out = Value("", shape, x.dtype, x.low, x.high, x.error)
    graph.node("Einsum", operands, [out], equation=equation)


def _spatial(graph: GraphBuilder, sizes: tuple[int, ...]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, strides, dilations and pads with which every axis has at least one output."""
    kernel, strides, dilations, begins, ends = [], [], [], [], []
    for size in sizes:
        kernel.append(graph.choose([3, 1, 2, 4, 5]))
        strides.append(graph.choose([1, 2, 3]))
        dilations.append(graph.choose([1, 1, 2]))
        begins.append(graph.integer(0, 2))
        ends.append(graph.integer(0, 2))
        lacking = dilations[-1] * (kernel[-1] - 1) + 1 - size - begins[-1] - ends[-1]
        ends[-1] += max(lacking, 0)
    return kernel, strides, dilations, begins + ends


def convolve(graph: GraphBuilder) -> None:
    """One to three spatial axes; groups up to depthwise, with multipliers; every kind of padding."""
    dtypes = ("float32",) if graph.float_dtype == "float64" else ()
    x = graph.pick(dtypes, (3, 5), magnitude=50, most=1024)
    batch, channels, *sizes = x.shape
    groups = graph.choose([g for g in range(1, channels + 1) if channels % g == 0])
    outputs = groups * graph.integer(1, 4)
    kernel, strides, dilations, pads = _spatial(graph, tuple(sizes))
    spatial = len(sizes)
    attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides, "group": groups}
    auto_pad = graph.choose(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if auto_pad == "VALID" and any(k > s for k, s in zip(kernel, sizes, strict=True)):
        auto_pad = "NOTSET"
    if auto_pad == "NOTSET":
        attributes |= {"pads": pads, "dilations": dilations}
        extents = [
            (sizes[i] + pads[i] + pads[i + spatial] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i in range(spatial)
        ]
    else:
        attributes["auto_pad"] = auto_pad
        reach = [k - 1 if auto_pad == "VALID" else 0 for k in kernel]
        extents = [-(-(sizes[i] - reach[i]) // strides[i]) for i in range(spatial)]
    if graph.flag():
        del attributes["kernel_shape"]
    terms = channels // groups * math.prod(kernel)
    w = graph.parameter((outputs, channels // groups, *kernel), x.dtype, -weight_bound(terms), weight_bound(terms))
    bias = graph.parameter((outputs,), x.dtype) if graph.flag() else None
    shape = (batch, outputs, *extents)
    graph.node("Conv", [x, w, bias], [product(x, w, terms, shape, bias)], **attributes)


def convolve_transposed(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (3, 4), magnitude=50, most=512)
    batch, channels, *sizes = x.shape
    groups = graph.choose([g for g in range(1, channels + 1) if channels % g == 0])
    per_group = graph.integer(1, 3)
    kernel, strides, dilations, pads = _spatial(graph, tuple(sizes))
    spatial = len(sizes)
    extra = [graph.integer(0, stride - 1) for stride in strides]
    extents = []
    for i in range(spatial):
        full = strides[i] * (sizes[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        pads[i] = min(pads[i], max(full - 1, 0))
        pads[i + spatial] = min(pads[i + spatial], max(full - 1 - pads[i], 0))
        extents.append(full - pads[i] - pads[i + spatial])
    terms = channels // groups * math.prod(kernel)
    w = graph.parameter((channels, per_group, *kernel), x.dtype, -weight_bound(terms), weight_bound(terms))
    bias = graph.parameter((groups * per_group,), x.dtype) if graph.flag() else None
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads, "group": groups}
    if any(extra):
        attributes["output_padding"] = extra
    out = product(x, w, terms, (batch, groups * per_group, *extents), bias)
    graph.node("ConvTranspose", [x, w, bias], [out], **attributes)


OPERATORS = (
    Operator("MatMul", matmul),
    Operator("Gemm", gemm),
    Operator("Einsum", einsum),
    Operator("Conv", convolve),
    Operator("ConvTranspose", convolve_transposed),
)
