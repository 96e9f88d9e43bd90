"""What a target's schedules offer to the planner of layouts: ways to compute a convolution, each with its price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from edgecompile.attention import Attention
from edgecompile.convolution import Convolution
from edgecompile.pooling import Pooling
from edgecompile.resizing import Resizing
from edgecompile.transposed_convolution import TransposedConvolution

Preference: TypeAlias = Literal["speed", "size"]  # what the ways are chosen by; "size" keeps the weights small

if TYPE_CHECKING:
    import numpy as np
    from tvm import te

    from edgecompile.storage.stored_weight import StoredWeight


@dataclass(frozen=True, eq=False)  # arrays have no hash
class PackingAtLoad:
    """A packing that computes, in the two steps `compute(move(weight))`.

    Attributes:
        move: puts the weight's elements in other places, and zeros between them; done at compile time.
        compute: what `Implementation.pack` answers first, as a formula of what `move` answers and of the tables.
        tables: that `compute` takes.
        others: of the weight itself, what `Implementation.pack` answers behind that.
    """

    move: Callable[[np.ndarray], np.ndarray]
    compute: Callable[..., te.Tensor]
    tables: Sequence[np.ndarray]
    others: Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Implementation:
    """One way to compute one convolution.

    Attributes:
        name: for people, such as "direct 14x32".
        cycles: of one core, estimated unless `is_measured`.
        pack: the weight `[K, C / groups, KH, KW]` to the constants that the kernel reads; done once, at compile time.
        compute: (x, constants...) to the result, as a formula whose blocks are annotated for the template.
        key: the template and its frozen numbers as canonical JSON, by which a tuning record names this way; "" where
            none can.
        note: what to tell beside the choice, such as other ways that are refused and why; "" where there is nothing.
        is_variant: other numbers than the template's own choice, right behind it in the list. Counting cannot tell them
            apart, so only a measured time speaks for one.
        is_measured: `cycles` is a measured time, not an estimate.
        at_load: how to pack a weight when the network is opened: one that is decoded then, or one of int8 that takes
            several times the bytes once packed. None where `pack` answers one array with the weight's elements in other
            places, and zeros between them: codes can be moved at compile time.
        pack_stored: takes the place of `pack` in ways that read a stored weight, and decode it themselves.
    """

    name: str
    cycles: float
    pack: Callable[[np.ndarray], Sequence[np.ndarray]]
    compute: Callable[..., te.Tensor]
    key: str = ""
    note: str = ""
    is_variant: bool = False
    is_measured: bool = False
    at_load: PackingAtLoad | None = None
    pack_stored: Callable[[StoredWeight], Sequence[np.ndarray]] | None = None


class Implementations(Protocol):
    """The ways that a target has."""

    def block(self, channels: int) -> int:
        """How many channels lie side by side in a tensor of `channels`: `[N, C, H, W]` -> `[N, C/b, H, W, b]`."""

    def convolutions(self, problem: Convolution, in_block: int | None) -> Sequence[Implementation]:
        """The ways to compute `problem`, none where no template fits.

        Args:
            in_block: channels side by side in x; None where x is `[N, C, H, W]`. The result is blocked by
                `block(problem.out_channels)`.
        """

    def transposed_convolutions(self, problem: TransposedConvolution, in_block: int) -> Sequence[Implementation]:
        """The ways to compute `problem` on blocked tensors; `pack` is given its weight as `[C, K, KH, KW]`.

        Args:
            in_block: channels side by side in x. The result is blocked by `block(problem.out_channels)`.
        """

    def poolings(self, pooling: Pooling, block: int) -> Sequence[Implementation]:
        """The ways to compute `pooling` on tensors of blocks; `compute` takes x alone, and nothing is packed."""

    def resizings(self, problem: Resizing, block: int) -> Sequence[Implementation]:
        """The ways to compute `problem` on tensors of blocks; nothing is packed.

        `compute` takes x, then places as `[OH, taps]` and `[1, OW, taps]` int32, and for several taps as much float32
        weights.
        """

    def products(self, rows: Sequence[int], problem: Convolution) -> Sequence[Implementation]:
        """The ways to compute `x @ w`.

        Args:
            rows: x is `[*rows, C]`, the result `[*rows, K]`; w is given to `pack` as a 1x1 kernel, `[K, C, 1, 1]`.
        """

    def stored_products(
        self, rows: Sequence[int], problem: Convolution, weight: StoredWeight
    ) -> Sequence[Implementation]:
        """The ways to compute `x @ w` that read w as it is stored, with `pack_stored`; arguments as of `products`.

        Args:
            weight: w, `[C, K]`.
        """

    def integer_block(self, channels: int) -> int:
        """How many channels lie side by side in an int8 tensor of `channels`; it divides them."""

    def integer_convolutions(
        self,
        problem: Convolution,
        zero_point: int,
        in_block: int,
        lowest_weight: int,
        weight_sum: int | None = None,
    ) -> Sequence[Implementation]:
        """The ways to compute the exact int32 sums of `(x - zero_point) * w`, padding counted as zero.

        Args:
            lowest_weight: no weight is below it, nor above its negative; some instructions are exact for small weights
                only.
            weight_sum: the largest sum of |w| of an output channel: some transforms are exact below a limit only. None
                where it may be anything.
            in_block: channels side by side in x, `[N, ceil(C / b), H, W, b]` int8; those beyond C may be anything.

        `pack` takes `[K, C / groups, KH, KW]` int8 and answers the packed weight, then what the sums begin with,
        `[..., channels]` int32, to which the bias may be added, then what else `compute` takes behind x. The result is
        blocked by `integer_block(problem.out_channels)`.
        """

    def integer_products(
        self, rows: Sequence[int], problem: Convolution, zero_point: int, lowest_weight: int
    ) -> Sequence[Implementation]:
        """The same for `(x - zero_point) @ w`; arguments as of `products`."""

    def integer_batched_products(
        self,
        rows: int,
        inner: int,
        columns: int,
        zero_points: tuple[int, int],
        axes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> Sequence[Implementation]:
        """The ways to compute the exact int32 sums of `(a - zero_points[0]) @ (w - zero_points[1])` of int8 tensors,
        both known at run time only.

        Args:
            axes: the order in which the dimensions of a make `[*batch, rows, inner]`, and those of w
                `[*batch, inner, columns]`; () leaves them as they are.
        """

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        """The ways to compute `a @ w` with both known at run time only; nothing is packed at compile time.

        Args:
            rows, inner, columns: a is `[*batch, rows, inner]`, w `[*batch, inner, columns]`.
        """

    def conversion_cycles(self, elements: int) -> float:
        """What it takes to convert a tensor of so many floats between `[N, C, H, W]` and blocks, either way."""

    def plain_cycles(self, operations: int) -> float:
        """What loops without a template take for so many multiply-adds, or the like."""

    def attentions(self, problem: Attention) -> Sequence[Implementation]:
        """The ways to compute a whole attention in one kernel; none where separate kernels are estimated as cheaper.

        `compute` takes the arguments that `problem` counts, as `[elements]`, and answers the result's memory.
        """
