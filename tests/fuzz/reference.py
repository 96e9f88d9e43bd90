"""What ONNX Runtime answers, and the comparison with it."""

from __future__ import annotations

import numpy as np
import onnx

from tests.fuzz.graphs import Case

# The bound on rounding errors holds for one implementation; two of them may be off in opposite directions.
MARGIN = 2.0
# Approximations of both sides (tanh, erf, exp) and the final rounding.
FLOOR_EPSILONS = 8.0


def run_onnxruntime(case: Case) -> dict[str, np.ndarray]:
    """One thread, no graph optimisations: the plain meaning of each operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in case.model.graph.output]
    return dict(zip(names, session.run(names, case.inputs), strict=True))


def difference(case: Case, expected: dict[str, np.ndarray], found: list[np.ndarray]) -> str | None:
    """One line about the first output that differs by more than rounding explains; None when all agree."""
    outputs: list[onnx.ValueInfoProto] = list(case.model.graph.output)
    if len(found) != len(outputs):
        return f"expected {len(outputs)} outputs, found {len(found)}"
    for output, got in zip(outputs, found, strict=True):
        want, name = expected[output.name], output.name
        if got.shape != want.shape or got.dtype != want.dtype:
            return f"{name}: expected {want.dtype}{list(want.shape)}, found {got.dtype}{list(got.shape)}"
        if want.dtype.kind != "f":
            wrong = int(np.count_nonzero(got != want))
            if wrong:
                at = np.unravel_index(int(np.argmax(got != want)), want.shape)
                return f"{name}: {wrong} of {want.size} differ; at {list(map(int, at))} {want[at]} became {got[at]}"
            continue
        if not np.array_equal(np.isnan(got), np.isnan(want)):
            return f"{name}: NaN in other places"
        finite = np.isfinite(want)
        if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
            return f"{name}: infinities in other places"
        wide = np.where(finite, want, 0).astype(np.float64)
        apart = np.abs(np.where(finite, got, 0).astype(np.float64) - wide)
        scale = float(np.max(np.abs(wide), initial=0.0))
        bound = case.tolerances[name]
        # A bound of zero means data movement, where the bits must agree.
        allowed = MARGIN * bound + FLOOR_EPSILONS * float(np.finfo(want.dtype).eps) * scale if bound else 0.0
        if not np.all(apart <= allowed):
            at = np.unravel_index(int(np.argmax(np.where(np.isnan(apart), np.inf, apart))), want.shape)
            return (
                f"{name}: off by {apart[at]:.3g} where {allowed:.3g} is allowed; "
                f"at {list(map(int, at))} {want[at]} became {got[at]}"
            )
    return None
