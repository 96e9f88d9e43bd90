"""The `.ec` file: a compressed model that `load` reads back without the framework it came from."""

from __future__ import annotations

from edgecompile.compress.model_file.read import read_model
from edgecompile.compress.model_file.write import write_model

__all__ = ["read_model", "write_model"]
