"""A model as compression sees it: batch norms folded, constants folded, nothing unused."""

from __future__ import annotations

import dataclasses

from edgecompile.frontend.model import Model
from edgecompile.passes.pipeline import lower, standard_phases


def simplify_model(model: Model) -> Model:
    """The model after the phase "simplify", whose operators are still those of the frontend."""
    import tvm

    phases = [phase for phase in standard_phases() if phase.name == "simplify"]
    return dataclasses.replace(model, module=lower(model.module, phases, tvm.target.Target("llvm")).module)
