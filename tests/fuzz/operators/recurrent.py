"""LSTM, GRU and RNN, in both directions."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.builder import GraphBuilder
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        """Exact operands and small weights: the recurrence then contracts, and errors do not build up."""
        x = graph.pick(("float32",), (3, 3), exact=True, magnitude=4, most=256)
        steps, batch, features = x.shape
        hidden = graph.integer(1, 4)
        direction = graph.choose(["forward", "reverse", "bidirectional"])
        ways = 2 if direction == "bidirectional" else 1
        rows = GATES[op_type] * hidden
        operands: list[Value | None] = [
            x,
            graph.weight((ways, rows, features), "float32", -0.5, 0.5),
            graph.weight((ways, rows, hidden), "float32", -0.2, 0.2),
            graph.weight((ways, 2 * rows), "float32", -0.5, 0.5) if graph.flag() else None,
            None,
            graph.parameter((ways, batch, hidden), "float32", -1.0, 1.0) if graph.flag() else None,
        ]
        if op_type == "LSTM" and operands[5] and graph.flag():
            operands.append(graph.weight((ways, batch, hidden), "float32", -1.0, 1.0))
        attributes: dict[str, object] = {"hidden_size": hidden, "direction": direction}
        if op_type == "GRU":
            attributes["linear_before_reset"] = graph.integer(0, 1)
        error = rounding("float32", 1.0, 64 * (features + hidden))
        outputs = [
            Value("", (steps, ways, batch, hidden), "float32", -1.0, 1.0, error),
            Value("", (ways, batch, hidden), "float32", -1.0, 1.0, error),
        ]
        if op_type == "LSTM":
            outputs.append(Value("", (ways, batch, hidden), "float32", -steps - 1.0, steps + 1.0, error * (steps + 1)))
        graph.node(op_type, operands, outputs, **attributes)

    return build


OPERATORS = tuple(Operator(name, recurrent(name)) for name in GATES)
