"""`ExecutionPlan`: a static program of kernel calls over one arena and one blob of constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgecompile.frontend.model import TensorSpec
from edgecompile.operator_kind import OTHER

ALIGNMENT_BYTES = 64  # one cache line on every CPU at hand, and the widest vector register (AVX-512)

Space = Literal["input", "output", "constant", "decoded", "arena", "scratch"]


def align(size_bytes: int) -> int:
    """The next multiple of `ALIGNMENT_BYTES` at or above `size_bytes`."""
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


@dataclass(frozen=True)
class Operand:
    """Where one argument of a kernel lives.

    Attributes:
        space: the caller's input or output, the constant blob, what was decoded of it at load, the arena, or what is
            there at load only.
        position: the index of the input or output; the byte offset in the others.
        size_bytes: the extent that the kernel may touch.
    """

    space: Space
    position: int
    size_bytes: int


@dataclass(frozen=True)
class KernelCall:
    """One step: `kernel(operands..., scratch)`.

    Attributes:
        kernel: the global symbol of the kernel.
        operands: inputs first, then outputs, as the kernel's parameters are.
        output_count: how many of the last operands the kernel writes.
        scratch: the kernel's private working memory for the length of this call; None when it needs none.
        operators: the operators that were fused into this call, in order.
        layers: the names of the model's layers behind them, where they had one.
        kind: of its costliest operator, as `operator_kind` names it.
    """

    kernel: str
    operands: tuple[Operand, ...]
    output_count: int
    scratch: Operand | None
    operators: tuple[str, ...]
    layers: tuple[str, ...]
    kind: str = OTHER


@dataclass(frozen=True)
class Origin:
    """What a kernel call was made of.

    Attributes:
        operators: the operators fused into it.
        layers: the names that the model gave to their results.
        kind: of the costliest of them.
    """

    operators: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    kind: str = OTHER


@dataclass(frozen=True)
class ConstantBlob:
    """All constants, each at a multiple of `ALIGNMENT_BYTES`, equal ones stored once."""

    data: bytes


@dataclass(frozen=True)
class MemoryUse:
    """How good the arena is.

    Attributes:
        arena_bytes: what the plan needs.
        sum_bytes: what it would need if no two tensors shared memory.
        lower_bound_bytes: the most that is alive at any one step; no plan of the same calls can need less.
    """

    arena_bytes: int
    sum_bytes: int
    lower_bound_bytes: int


@dataclass(frozen=True)
class ExecutionPlan:
    """A model as a straight list of kernel calls.

    Attributes:
        name: a C identifier.
        inputs, outputs: as in `Model`, all static.
        calls: in order of execution.
        constants: the blob that operands of the space "constant" point into.
        memory: the arena's size and its bounds.
        loads: what decodes constants, to be called once before the first inference.
        decoded_bytes: of the memory that `loads` write and operands of the space "decoded" point into.
        load_scratch_bytes: of the memory that is there for `loads` only.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    calls: tuple[KernelCall, ...]
    constants: ConstantBlob
    memory: MemoryUse
    loads: tuple[KernelCall, ...] = ()
    decoded_bytes: int = 0
    load_scratch_bytes: int = 0
