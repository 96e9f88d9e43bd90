"""A product with a stored matrix as a formula, and the matrix as the template reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.storage.runs import spread
from edgecompile.storage.stored_weight import CodedWeight, HalfWeight, StoredWeight

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr

HALF_BYTE = 4


@dataclass(frozen=True)
class StoredConfig:
    """The numbers of the template.

    Attributes:
        rows: of x, all in one tile.
        vectors: vectors of columns of a tile; even where two codes lie in a byte.
        lanes: floats of a vector.
        run: rows of the matrix that share their scales and are added up before they are multiplied by them; it divides
            them.
        bits: of a code, 4 or 8; 16 for half floats, which have no scales.
        zero: the zero point of all codes; None where each scale has its own.
    """

    rows: int
    vectors: int
    lanes: int
    run: int
    bits: int
    zero: int | None

    @property
    def panel(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes


def pack_stored(weight: StoredWeight, config: StoredConfig) -> list[np.ndarray]:
    """What `multiply_stored` takes beside x.

    half floats  `[panels, C, panel]`
    bytes        `[panels, C, panel]`
    half bytes   `[panels, C, vectors / 2, lanes]`: a vector's columns in the lower halves, the next one's in the upper

    and with codes the scales, and the zero points unless they are all the same, `[panels, C / run, panel]`.
    """
    if isinstance(weight, HalfWeight):
        bits = weight.values.view(np.uint16)
        return [np.ascontiguousarray(_panels(bits, config)).view(weight.values.dtype)]
    assert isinstance(weight, CodedWeight) and weight.zero_point is not None, "codes of a table are decoded at load"
    codes = np.ascontiguousarray(_panels(weight.codes, config))
    if config.bits == HALF_BYTE:
        pairs = codes.reshape(*codes.shape[:2], config.vectors // 2, 2, config.lanes)
        codes = pairs[..., 0, :] | pairs[..., 1, :] << HALF_BYTE
    numbers = [weight.scale] if config.zero is not None else [weight.scale, weight.zero_point]
    runs = (weight.shape[0] // config.run, weight.shape[1])
    return [codes, *(np.ascontiguousarray(_panels(spread(array, runs), config)) for array in numbers)]


def _panels(matrix: np.ndarray, config: StoredConfig) -> np.ndarray:
    """`[rows, K]` -> `[panels, rows, panel]`, columns beyond K filled with zeros."""
    rows, columns = matrix.shape
    panels = math.ceil(columns / config.panel)
    padded = np.zeros((rows, panels * config.panel), matrix.dtype)
    padded[:, :columns] = matrix
    return padded.reshape(rows, panels, config.panel).transpose(1, 0, 2)


def multiply_stored(
    x: te.Tensor, arrays: list[te.Tensor], columns: int, config: StoredConfig, attributes: dict[str, str]
) -> te.Tensor:
    """`x @ w` as a formula: x is `[*rows, C]`, `arrays` what `pack_stored` makes.

    Args:
        attributes: annotations of the block, by which the schedule finds it again.
    """
    from tvm import te

    inner = te.reduce_axis((loops.index(0), loops.index(int(x.shape[-1]))), "c")

    def value(*indices: tirx.Var) -> Expr:
        *row, k = indices
        panel, column = k // config.panel, k % config.panel
        factor = _decoded(arrays, config, panel, inner.var, column)
        return te.sum(x(*row, inner) * factor, axis=[inner])

    return te.compute([*x.shape[:-1], loops.index(columns)], value, name="matmul", attrs=attributes)


def _decoded(arrays: list[te.Tensor], config: StoredConfig, panel: Expr, row: Expr, column: Expr) -> Expr:
    from tvm import tirx

    codes, *numbers = arrays
    if not numbers:
        return tirx.Cast("float32", codes(panel, row, column))
    if config.bits == HALF_BYTE:
        v, lane = column // config.lanes, column % config.lanes
        byte = tirx.Cast("int32", codes(panel, row, v // 2, lane))
        shift = tirx.Cast("int32", v % 2 * HALF_BYTE)
        code = tirx.bitwise_and(tirx.shift_right(byte, shift), tirx.const(15, "int32"))
    else:
        code = tirx.Cast("int32", codes(panel, row, column))
    place = (panel, row // config.run, column)
    zero = tirx.const(config.zero, "int32") if config.zero is not None else tirx.Cast("int32", numbers[1](*place))
    return numbers[0](*place) * tirx.Cast("float32", code - zero)
