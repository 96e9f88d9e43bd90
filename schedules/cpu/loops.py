"""Loops of TIR, written down like the program that they make.

A template that must control every register cannot be spelled as a schedule of someone else's loops: remainders, border
tiles and partial sums have bodies of their own. So it builds statements, with these few words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tvm import ir, tirx

    Expr: TypeAlias = "ir.Expr"
    Index: TypeAlias = "int | ir.Expr"
    Body: TypeAlias = Callable[[ir.Expr], "Sequence[tirx.Stmt]"]

INDEX_TYPE = "int64"  # of Relax's shapes; the code generator narrows what fits


def index(value: Index) -> Expr:
    """A number as an index expression; expressions pass."""
    from tvm import tirx

    return tirx.IntImm(INDEX_TYPE, value) if isinstance(value, int) else value


def unflatten(place: Expr, extents: Sequence[int]) -> list[Expr]:
    """The indices of the element `place` of a tensor of these extents."""
    found: list[Expr] = []
    for extent in reversed(extents[1:]):
        found.insert(0, place % extent)
        place = place // extent
    return [place, *found] if extents else []


def sequence(statements: Sequence[tirx.Stmt]) -> tirx.Stmt:
    """The statements one after the other."""
    from tvm import tirx

    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))


def serial(extent: Index, body: Body, name: str = "i", start: Index = 0) -> tirx.Stmt:
    """`for name in range(start, start + extent): body(name)`."""
    from tvm import tirx

    return _loop(extent, body, tirx.ForKind.SERIAL, name, start)


def parallel(extent: Index, body: Body, name: str = "task") -> tirx.Stmt:
    """The same, on the threads of the pool."""
    from tvm import tirx

    return _loop(extent, body, tirx.ForKind.PARALLEL, name, 0)


def vector(lanes: int, body: Callable[[Expr], tirx.Stmt]) -> tirx.Stmt:
    """`body(lane)` for all lanes at once; each lane has local buffers of its own, which are of one element."""
    from tvm import tirx

    if lanes == 1:
        return body(index(0))
    wide: list[tirx.Buffer] = []

    def widened(lane: Expr) -> list[tirx.Stmt]:
        statement, buffers = _widened(body(lane), lane, lanes)
        wide.extend(buffers)
        return [statement]

    loop = _loop(lanes, widened, tirx.ForKind.VECTORIZED, "lane", 0)
    return sequence([*map(allocate, wide), loop])


def when(condition: Expr, then: Sequence[tirx.Stmt], otherwise: Sequence[tirx.Stmt] = ()) -> tirx.Stmt:
    """`if condition: then else: otherwise`."""
    from tvm import tirx

    return tirx.IfThenElse(condition, sequence(then), sequence(otherwise) if otherwise else None)


def unknown_zero() -> tuple[Expr, tirx.Stmt]:
    """A zero that LLVM's passes do not know and its code generators do, and the statement that binds it.

    Added to an extent it keeps a loop from being unrolled, for which TVM 0.27 has no annotation. LLVM takes the
    intrinsic for one that writes memory, so it should stand outside of loops.
    """
    from tvm import ir, tirx

    zero = tirx.Var("zero", ir.PrimType(INDEX_TYPE))
    return zero, tirx.Bind(zero, tirx.call_llvm_intrin(INDEX_TYPE, "llvm.get.dynamic.area.offset.i64"))


def load(buffer: tirx.Buffer, indices: Sequence[Index]) -> Expr:
    """`buffer[indices]`."""
    from tvm import tirx

    return tirx.BufferLoad(buffer, [index(i) for i in indices])


def ramp(first: Index, lanes: int) -> Expr:
    """The indices of `lanes` neighbours, for a load or store of a vector as one value."""
    from tvm import tirx

    return tirx.Ramp(index(first), index(1), lanes)


def behind(lane: Expr, places: int) -> Expr:
    """The index so many places behind a lane, or those behind all lanes of a ramp."""
    from tvm import tirx

    return tirx.Ramp(lane.base + places, lane.stride, lane.lanes) if isinstance(lane, tirx.Ramp) else lane + places


def store(buffer: tirx.Buffer, value: Expr, indices: Sequence[Index]) -> tirx.Stmt:
    """`buffer[indices] = value`."""
    from tvm import tirx

    return tirx.BufferStore(buffer, value, [index(i) for i in indices])


def local_buffer(shape: Sequence[int], dtype: str, name: str) -> tirx.Buffer:
    """A buffer for `allocate`; where all indices are constant it becomes registers."""
    from tvm import tirx

    return tirx.decl_buffer([index(extent) for extent in shape], dtype, name)


def allocate(buffer: tirx.Buffer) -> tirx.Stmt:
    """Room for a local buffer, until the end of the statements around it."""
    from tvm import tirx

    return tirx.AllocBuffer(buffer)


def _widened(statement: tirx.Stmt, lane: Expr, lanes: int) -> tuple[tirx.Stmt, list[tirx.Buffer]]:
    """With room for all lanes in the buffers that a body allocates, and these, to be allocated in front of the loop.

    `VectorizeLoop` of TVM 0.27 leaves a body's buffers as they are, and passes before it compact what is inside.
    """
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_mutate, structural_walk

    wide: dict[tirx.Buffer, tirx.Buffer] = {}

    def find(allocation: tirx.AllocBuffer) -> None:
        buffer = allocation.buffer
        wide[buffer] = local_buffer([lanes], str(buffer.dtype), str(buffer.name))

    def on_allocation(allocation: tirx.AllocBuffer, _: Any) -> tirx.Stmt:
        del allocation
        return tirx.Evaluate(0)

    def on_store(stored: tirx.BufferStore, mutator: Any) -> tirx.Stmt:
        value = mutator.mutate(stored.value)
        if stored.buffer in wide:
            return store(wide[stored.buffer], value, [lane])
        return store(stored.buffer, value, [mutator.mutate(place) for place in stored.indices])

    def on_load(read: ir.TensorLoad, mutator: Any) -> Expr:
        return load(wide[read.source], [lane]) if read.source in wide else mutator.default_mutate(read)

    structural_walk(statement, (tirx.AllocBuffer, find))
    if not wide:
        return statement, []
    handlers = ((tirx.AllocBuffer, on_allocation), (tirx.BufferStore, on_store), (ir.TensorLoad, on_load))
    return structural_mutate(statement, handlers), list(wide.values())


def _loop(extent: Index, body: Body, kind: int, name: str, start: Index) -> tirx.Stmt:
    """A loop from zero whose body is given its variable and the start together.

    A loop that begins elsewhere would be wrong: `s_tir.CanonicalizeLoop` of TVM 0.27 moves it to zero, but leaves the
    variable as it is in the extent of an inner loop that it moves too.
    """
    from tvm import ir, tirx

    variable = tirx.Var(name, ir.PrimType(INDEX_TYPE))
    value = variable if isinstance(start, int) and start == 0 else variable + start
    return tirx.For(variable, index(0), index(extent), kind, sequence(body(value)))
