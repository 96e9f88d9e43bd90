"""Data-driven rewrites of a model, and their recipes.

The package is what `edgecompile.compress` names once something in it was imported, and the public function has the same
name: so the package can be called.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

from edgecompile.compress.driver import compress

__all__ = ["compress"]


class _Callable(ModuleType):
    """A module that is also the function `compress`."""

    __call__ = staticmethod(compress)
    __signature__ = inspect.signature(compress)  # what Python makes of `__call__` lacks the first argument


sys.modules[__name__].__class__ = _Callable
