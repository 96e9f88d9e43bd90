"""Where the walk keeps the value of each name."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias

import numpy as np

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.context import Value, make_constant

Scope: TypeAlias = MutableMapping[str, Value]


class _Missing(list):  # type: ignore[type-arg]
    """The value of an output whose node could not be converted; whoever needs it is passed over silently."""


MISSING = _Missing()


class ConstantScope(dict[str, Value]):
    """A scope over arrays that become Relax constants when they are first used."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._arrays = arrays

    def __missing__(self, name: str) -> Value:
        value = constant_value(self._arrays[name])
        self[name] = value
        return value

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._arrays

    def get(self, name: str, default: Any = None) -> Any:
        """As for a dict, arrays included, which `dict.get` would not see."""
        return self[name] if name in self else default  # noqa: SIM401


def constant_value(array: np.ndarray) -> Value:
    """A Relax constant, or the array itself where Relax has no such dtype."""
    return make_constant(array) if str(array.dtype) in dtypes.SUPPORTED else array


def find_value(scope: Mapping[str, Value], name: str) -> Value:
    if name not in scope:
        raise InvalidModelError(f"a value named '{name}' was needed as an output, found none; export the model again")
    return scope[name]
