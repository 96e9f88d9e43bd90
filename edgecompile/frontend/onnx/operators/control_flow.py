"""If, Loop and Scan, unrolled at import.

The compiled program is a straight list of kernel calls, so what decides the control flow must be known at import: the
trip count and the condition of a Loop, the sequence length of a Scan. An If on a run-time condition computes both
branches and selects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, Value, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import normalized_axis, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator
from edgecompile.frontend.onnx.scope import MISSING
from edgecompile.settings import LIMITS


@operator("If", host_arrays=True)
def if_(context: Context, node: Node, inputs: Inputs) -> Result:
    """The outputs of the branch that a known condition picks; else both branches and a selection between them."""
    then_graph, else_graph = node.graph("then_branch"), node.graph("else_branch")
    condition = inputs[0]
    known = context.constant(condition)
    if known is not None:
        if known.size != 1:
            raise node.invalid(f"a condition of one element was needed, found shape {list(known.shape)}")
        return tuple(context.convert_graph(then_graph if bool(known.reshape(-1)[0]) else else_graph, ()))
    chosen, other = context.convert_graph(then_graph, ()), context.convert_graph(else_graph, ())
    condition = reshape(context, condition, ())
    return tuple(
        _select(context, node, condition, left, right, index)
        for index, (left, right) in enumerate(zip(chosen, other, strict=True))
    )


def _select(context: Context, node: Node, condition: relax.Expr, left: Value, right: Value, index: int) -> Value:
    """`left` where the scalar `condition` holds, else `right`; both of one shape and dtype."""
    if left is right or left is MISSING or right is MISSING:
        return (
            MISSING if left is MISSING else right
        )  # of a branch that could not be converted the reason is already noted
    if not isinstance(left, relax.Expr) or not isinstance(right, relax.Expr):
        if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            return [_select(context, node, condition, a, b, index) for a, b in zip(left, right, strict=True)]
        raise node.unsupported(
            f"output {index} is a sequence, an optional value or of an unsupported dtype in one branch, and the "
            "condition is only known at run time; freeze the model input that decides it"
        )
    if shape_of(left) != shape_of(right) or dtype_of(left) != dtype_of(right):
        found = " and ".join(f"{dtype_of(v)}[{', '.join(map(str, shape_of(v)))}]" for v in (left, right))
        raise node.unsupported(
            f"the condition is only known at run time, so both branches must give output {index} one shape and dtype, "
            f"found {found}; freeze the model input that decides it"
        )
    return context.emit(op.where(condition, left, right))


@operator("Loop", host_arrays=True)
def loop(context: Context, node: Node, inputs: Inputs) -> Result:
    """The body once per iteration; condition and, unless it ends the loop, trip count are known at import."""
    body = node.graph("body")
    carried: list[Value] = list(inputs[2:])
    trips = None if inputs[0] is None else int(context.require_constant(node, 0).reshape(-1)[0])
    alive = True if inputs[1] is None else bool(context.require_constant(node, 1).reshape(-1)[0])
    scans: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    iteration = 0
    while alive and (trips is None or iteration < trips):
        _require_unrollable(node, body, iteration + 1, trips)
        condition, *results = context.convert_graph(
            body, [make_constant(np.int64(iteration)), make_constant(np.bool_(True)), *carried]
        )
        if any(value is MISSING for value in (condition, *results)):
            return (MISSING,) * len(node.outputs)  # the reason is already noted, once and not for each iteration
        known = context.constant(condition)
        if known is None:
            raise node.unsupported(
                f"its condition after iteration {iteration} is computed from the model's inputs, but must be known at "
                "import to unroll the loop; export it with a fixed trip count, or freeze the inputs that decide it"
            )
        alive = bool(known.reshape(-1)[0])
        for scan, value in zip(scans, results[len(carried) :], strict=True):
            scan.append(value)
        carried = results[: len(carried)]
        iteration += 1
    if iteration == 0 and scans:
        return (*carried, *_empty_scans(context, node, body, carried))
    return (*carried, *(_stack(context, node, scan, 0) for scan in scans))


def _require_unrollable(node: Node, body: onnx.GraphProto, iterations: int, trips: int | None) -> None:
    """Refuses a loop that will run, or already ran, more iterations than may be unrolled."""
    if _condition_is_fixed(body):  # then the trip count alone ends the loop: refuse before the work, not after it
        iterations = 2**63 if trips is None else trips
    most = min(LIMITS.unrolled_iterations, LIMITS.nodes // max(1, len(body.node)))
    if iterations > most:
        found = "no end" if iterations == 2**63 else f"{iterations} or more"
        raise node.unsupported(
            f"at most {most} iterations of this body of {len(body.node)} nodes can be unrolled, found {found}; "
            "shorten the loop or express it by operators over whole tensors"
        )


def _condition_is_fixed(body: onnx.GraphProto) -> bool:
    """True when the condition that the body returns is the one it was given, or a constant."""
    producers = {output: node for node in body.node for output in node.output}
    name = body.output[0].name
    while name in producers and producers[name].op_type == "Identity":
        name = producers[name].input[0]
    if name == body.input[1].name:
        return True
    producer = producers.get(name)
    if producer is not None and producer.op_type == "Constant":
        values = [onnx.numpy_helper.to_array(entry.t) for entry in producer.attribute if entry.name == "value"]
        return bool(values) and bool(values[0].reshape(-1)[0])
    return False


def _empty_scans(context: Context, node: Node, body: onnx.GraphProto, carried: Sequence[Value]) -> list[Value]:
    """The scan outputs of no iterations: no rows, each of the shape and dtype that one iteration would give."""
    sample = context.convert_graph(body, [make_constant(np.int64(0)), make_constant(np.bool_(True)), *carried])
    rows = sample[1 + len(carried) :]  # dead code, which the walk removes at its end
    return [make_constant(np.zeros((0, *context.require_static(node, row)), dtype_of(row))) for row in rows]


def _stack(context: Context, node: Node, values: Sequence[Value], axis: int) -> Value:
    """One tensor whose new `axis` runs over `values`."""
    arrays = [context.constant(value) for value in values]
    if all(array is not None for array in arrays):
        return make_constant(np.stack(arrays, axis=axis))  # type: ignore[arg-type]
    if any(not isinstance(value, relax.Expr) for value in values):
        raise node.unsupported("its scan outputs must be tensors, found a sequence or an optional value")
    if len({(shape_of(value), dtype_of(value)) for value in values}) != 1:
        raise node.invalid("a scan output must have one shape and dtype in all iterations")
    return context.emit(op.stack(list(values), axis=axis))


@operator("Scan", since=9, host_arrays=True)
def scan(context: Context, node: Node, inputs: Inputs) -> Result:
    """The body once per entry of the scan inputs, whose lengths must be known at import."""
    body = node.graph("body")
    count = node.integer("num_scan_inputs")
    states, sources = list(inputs[: len(inputs) - count]), list(inputs[len(inputs) - count :])
    in_axes = node.integers("scan_input_axes") or [0] * count
    in_directions = node.integers("scan_input_directions") or [0] * count
    outputs = len(body.output) - len(states)
    out_axes = node.integers("scan_output_axes") or [0] * outputs
    out_directions = node.integers("scan_output_directions") or [0] * outputs
    rows = [
        _rows(context, node, source, axis, bool(direction))
        for source, axis, direction in zip(sources, in_axes, in_directions, strict=True)
    ]
    states, scans = _scan_rows(context, node, body, states, rows)
    stacked = []
    for values, axis, direction in zip(scans, out_axes, out_directions, strict=True):
        rank = rank_of(values[0]) + 1
        ordered = values[::-1] if direction else values
        stacked.append(_stack(context, node, ordered, normalized_axis(context, axis, rank)))
    return (*states, *stacked)


@operator("Scan", since=8)
def scan_batched(context: Context, node: Node, inputs: Inputs) -> Result:
    """Opset 8: all inputs have a batch axis before the scan axis, and each batch entry is scanned by itself."""
    body = node.graph("body")
    count = node.integer("num_scan_inputs")
    if inputs[0] is not None:
        raise node.unsupported("sequence_lens cannot be imported; convert the model to opset 9 or newer")
    given = list(inputs[1:])
    directions = node.integers("directions") or [0] * count
    batches = [_rows(context, node, value, 0, False) for value in given]
    state_count = len(given) - count
    per_batch = []
    for entry in zip(*batches, strict=True):
        sources = zip(entry[state_count:], directions, strict=True)
        rows = [_rows(context, node, source, 0, bool(direction)) for source, direction in sources]
        states, scans = _scan_rows(context, node, body, list(entry[:state_count]), rows)
        per_batch.append([*states, *(_stack(context, node, values, 0) for values in scans)])
    return tuple(_stack(context, node, values, 0) for values in zip(*per_batch, strict=True))


def _scan_rows(
    context: Context, node: Node, body: onnx.GraphProto, states: list[Value], rows: Sequence[Sequence[Value]]
) -> tuple[list[Value], list[list[Value]]]:
    """Runs the body over rows that belong together. -> (last states, scan outputs row by row)."""
    lengths = {len(source) for source in rows}
    if len(lengths) != 1 or 0 in lengths:
        raise node.unsupported(f"scan inputs of one length other than 0 were needed, found lengths {sorted(lengths)}")
    most = min(LIMITS.unrolled_iterations, LIMITS.nodes // max(1, len(body.node)))
    if max(lengths) > most:
        raise node.unsupported(
            f"at most {most} iterations of this body can be unrolled, found {max(lengths)}; shorten it"
        )
    scans: list[list[Value]] = [[] for _ in range(len(body.output) - len(states))]
    for row in zip(*rows, strict=True):
        results = context.convert_graph(body, [*states, *row])
        if any(value is MISSING for value in results):
            raise node.unsupported("its body has nodes that cannot be imported")
        states = results[: len(states)]
        for values, value in zip(scans, results[len(states) :], strict=True):
            values.append(value)
    return states, scans


def _rows(context: Context, node: Node, value: relax.Expr, axis: int, reverse: bool) -> list[Value]:
    """The slices of `value` along `axis`, without that axis; constants stay constants."""
    shape = context.require_static(node, value)
    axis = normalized_axis(context, axis, len(shape))
    count, rest = shape[axis], (*shape[:axis], *shape[axis + 1 :])
    if count > LIMITS.unrolled_iterations:
        raise node.unsupported(
            f"at most {LIMITS.unrolled_iterations} iterations can be unrolled, found {count}; shorten it"
        )
    array = context.constant(value)
    rows: list[Value]
    if array is not None:
        rows = [make_constant(np.take(array, index, axis=axis)) for index in range(count)]
    elif count == 1:
        rows = [reshape(context, value, rest)]
    else:
        parts = context.unpack(context.emit(op.split(value, count, axis=axis))) if count else ()
        rows = [reshape(context, part, rest) for part in parts]
    return rows[::-1] if reverse else rows
