"""Stand-ins for a step's work: the shell around it is what is tested."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tvm
from tvm_ffi.structural import structural_map

from edgecompile.compress.driver import StepResult
from edgecompile.decision import Decision
from edgecompile.frontend.model import Model

calls: list[dict[str, Any]] = []


def round_weights(model: Model, step: Any, **options: Any) -> StepResult:
    """Weights with 11 bits of precision; what it was called with is in `calls`."""
    calls.append(options)
    options["progress"]("rounding")

    def rounded(constant: tvm.ir.GenericConst) -> tvm.ir.GenericConst:
        array = constant.value.numpy()
        if array.dtype != np.float32:
            return constant
        return tvm.ir.GenericConst(tvm.runtime.tensor(array.astype(np.float16).astype(np.float32)), constant.ty)

    main = model.module["main"]
    body = structural_map(main.body, ((tvm.ir.GenericConst, rounded),))
    function = tvm.relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    module = tvm.IRModule({model.module.get_global_var("main"): function}, attrs=model.module.attrs)
    decisions = [Decision("RoundWeights", "everything", True, "half of the bits"), Decision("Other", "x", False, "no")]
    is_judged = options["evaluate"] is not None  # by the step itself, as quantize does
    return StepResult(dataclasses.replace(model, module=module), decisions, is_judged=is_judged)


def do_nothing(model: Model, step: Any, **options: Any) -> StepResult:
    """The model as it is."""
    return StepResult(model, [Decision("Nothing", "fc", False, "it was slower")])
