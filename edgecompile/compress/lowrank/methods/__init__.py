"""The ways to factorise a layer, by their names in a recipe."""

from __future__ import annotations

from edgecompile.compress.lowrank.methods.cp import Cp
from edgecompile.compress.lowrank.methods.method import Method
from edgecompile.compress.lowrank.methods.spatial import Spatial
from edgecompile.compress.lowrank.methods.svd import Channel, Svd
from edgecompile.compress.lowrank.methods.tucker import Tucker
from edgecompile.compress.lowrank.shape import LayerShape

__all__ = ["Method", "methods_for"]


def methods_for(name: str, shape: LayerShape) -> tuple[type[Method], ...]:
    """What a recipe's `method` stands for; several for "auto", see `LayerRule`."""
    if shape.is_matrix:
        return (Svd,)
    if name == "auto":
        several = (Channel, Tucker)
        return (*several, Spatial) if min(shape.kernel) > 1 else several
    by_name: dict[str, type[Method]] = {
        "svd": Channel, "channel": Channel, "spatial": Spatial, "tucker": Tucker, "cp": Cp,
    }  # fmt: skip
    return (by_name[name],)
