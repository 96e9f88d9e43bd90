"""edgecompile: PyTorch and ONNX models to small libraries for a named device.

    import edgecompile as ec

    model = ec.load("model.onnx")
    artifact = ec.compile(model, target="host", out="build/net")
    outputs = artifact.run(x)

Names are imported when they are first used: TVM and PyTorch take seconds to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecompile import errors
    from edgecompile.artifact.artifact import Artifact
    from edgecompile.artifact.open import open
    from edgecompile.compress.driver import compress
    from edgecompile.compress.prune.groups import groups
    from edgecompile.compress.recipe import Recipe
    from edgecompile.compress.sensitivity.analyze import analyze
    from edgecompile.driver import compile
    from edgecompile.frontend.load import load
    from edgecompile.frontend.model import Model
    from edgecompile.target import list_targets as targets

__all__ = [
    "Artifact",
    "Model",
    "Recipe",
    "analyze",
    "compile",
    "compress",
    "errors",
    "groups",
    "load",
    "open",
    "targets",
]

_HOMES = {
    "Artifact": ("edgecompile.artifact.artifact", "Artifact"),
    "Model": ("edgecompile.frontend.model", "Model"),
    "Recipe": ("edgecompile.compress.recipe", "Recipe"),
    "analyze": ("edgecompile.compress.sensitivity.analyze", "analyze"),
    "compile": ("edgecompile.driver", "compile"),
    "compress": ("edgecompile.compress.driver", "compress"),
    "groups": ("edgecompile.compress.prune.groups", "groups"),
    "load": ("edgecompile.frontend.load", "load"),
    "open": ("edgecompile.artifact.open", "open"),
    "targets": ("edgecompile.target", "list_targets"),
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("edgecompile.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'edgecompile' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
