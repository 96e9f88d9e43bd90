"""The residual blocks that a step chooses from, in the words of a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from edgecompile.compress.depth.blocks import without_blocks
from edgecompile.compress.depth.recipe import DepthStep
from edgecompile.compress.depth.step import free_blocks

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model


class BlockRow(NamedTuple):
    """One block that may go.

    Attributes:
        block: the name of what it answers.
        source: of what it reads, which stays in its place.
        operators: how many would go.
        macs, params: how many the model would have less.
    """

    block: str
    source: str
    operators: int
    macs: int
    params: int


def preview(model: Model, step: DepthStep) -> list[BlockRow]:
    """The blocks of the model that the step may remove; which of them go, the data say.

    Raises:
        InvalidRecipeError: there are none.
    """
    rows = []
    for block in free_blocks(model, step):
        smaller = dataclasses.replace(model, module=without_blocks(model.module, [block]))
        macs, params = model.macs - smaller.macs, model.params - smaller.params
        rows.append(BlockRow(block.name, block.source, len(block.layers), macs, params))
    return rows
