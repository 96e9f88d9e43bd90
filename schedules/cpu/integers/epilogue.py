"""The end of an integer kernel where the CPU has instructions for it: whole vectors of sums to bytes, four at a time.

    y = clip(zero_point + round((sum + bias) * multiplier / 2^shift))   then sums with other bytes, or none
                                                                        then a table of 256 bytes, or none

Fusion leaves these stages as expressions of one element. Their notes say which formula each is, so that vectors of
neighbouring pixels or channels can be scaled, clipped and packed together, and stored at once. Stages behind those are
applied to the bytes, element by element.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue, Stage
from schedules.x86.tables import has_tables, looked_up
from schedules.x86.words import PACKED, Words, has_fused_products, has_words

if TYPE_CHECKING:
    from tvm import ir, tirx

    from schedules.cpu.loops import Expr
    from schedules.x86.words import Scale

    Place = Callable[[int, int], list[Expr]]  # of a row and a vector: the indices of its first lane in the target
    PerValue = Callable[[Expr, int, int, Expr], tirx.Stmt]
    Scales = dict[int, "ChannelNumbers"]  # by vector

_LEAST, _MOST = -128, 127


class ChannelNumbers(NamedTuple):
    """What a vector of channels has in registers: its scale, and what is added to its sums."""

    scale: Scale
    bias: Expr | None


def store_integers(
    epilogue: Epilogue,
    sums: Accumulators,
    place: Place,
    counts: Sequence[int],
    one: PerValue,
    joined: int,
    facts: CpuFacts,
    scales: Scales | None = None,
) -> list[tirx.Stmt]:
    """Store what the epilogue makes of a tile's sums: by vectors of bytes where it can be.

    Args:
        counts: lanes of each vector that hold channels.
        one: stores what becomes of one sum.
        joined: vectors that are stored together where the CPU has no such instructions.
        scales: of `read_scales`, where several tiles share them.
    """
    known = IntegerEpilogue.of(epilogue, facts)
    if known is None or not any(has_words(facts, count) for count in counts):
        return sums.each_joined(one, joined, counts)
    made: list[tirx.Stmt] = []
    if scales is None:
        scales, made = known.read_scales(place, counts, facts)
    return [*made, *known.store(sums, place, counts, one, scales)]


def read_scales(
    epilogue: Epilogue, place: Place, counts: Sequence[int], facts: CpuFacts
) -> tuple[Scales, list[tirx.Stmt]]:
    """The numbers of a tile's channels in registers, by vector; those of its first row are those of all."""
    known = IntegerEpilogue.of(epilogue, facts)
    return ({}, []) if known is None else known.read_scales(place, counts, facts)


@dataclass(frozen=True)
class IntegerEpilogue:
    """An epilogue that begins with a requantization, perhaps behind a bias.

    Attributes:
        bias: what the first stage adds to the sums, one number for each channel.
        bias_stage: that stage.
        scaling: the requantization.
        multiplier, places: what that reads beside the sums.
        additions: the stages behind it that are sums with other bytes, residuals or biases, and what each reads.
        table: of the stage behind those, where that is a table and the CPU has instructions for it.
        rest: the stages behind.
        as_floats: sums are small enough to be scaled as floats, and the CPU can.
    """

    bias: ir.TensorLoad | None
    bias_stage: Stage | None
    scaling: Stage
    multiplier: ir.TensorLoad
    places: ir.TensorLoad
    additions: tuple[tuple[Stage, ir.TensorLoad], ...]
    table: tirx.Buffer | None
    rest: Epilogue
    as_floats: bool

    @staticmethod
    def of(epilogue: Epilogue, facts: CpuFacts) -> IntegerEpilogue | None:
        """None where the epilogue begins otherwise, or reads its first stages again."""
        others = list(epilogue.stages)
        bias = _bias(others[0], epilogue.anchor) if others else None
        bias_stage = others.pop(0) if bias is not None else None
        sums = epilogue.anchor if bias_stage is None else bias_stage.target
        if not others or _formula(others[0]) != "requantize":
            return None
        scaling = others.pop(0)
        if _reads(others, [epilogue.anchor, sums]):
            return None
        tables = {str(load.source.dtype): load for load in scaling.loads if not load.source.same_as(sums)}
        if set(tables) != {"int32", "uint8"}:
            return None
        made = [scaling.target]
        additions: list[tuple[Stage, ir.TensorLoad]] = []
        done, table = scaling.target, None
        # What a later stage reads again must stay: a table's argument, say, of which the answer is a factor.
        while others and _formula(others[0]) == "add" and not _reads(others[1:], made):
            read = [load for load in others[0].loads if not load.source.same_as(done)]
            if len(read) != 1 or str(read[0].source.dtype) != "int8" or any(read[0].source.same_as(b) for b in made):
                break
            additions.append((others[0], read[0]))
            done = others.pop(0).target
            made.append(done)
        if others and _formula(others[0]) == "lookup" and has_tables(facts) and not _reads(others[1:], made):
            (table,) = (load.source for load in others[0].loads if not load.source.same_as(done))
            done = others.pop(0).target
        rest = Epilogue(done, tuple(others))
        as_floats = json.loads(scaling.note)["is_narrow"] and has_fused_products(facts)
        return IntegerEpilogue(
            bias=bias,
            bias_stage=bias_stage,
            scaling=scaling,
            multiplier=tables["int32"],
            places=tables["uint8"],
            additions=tuple(additions),
            table=table,
            rest=rest,
            as_floats=as_floats,
        )

    def read_scales(self, place: Place, counts: Sequence[int], facts: CpuFacts) -> tuple[Scales, list[tirx.Stmt]]:
        """See `read_scales`."""
        scales: Scales = {}
        statements: list[tirx.Stmt] = []
        for v, count in enumerate(counts):
            if count and has_words(facts, count):
                scales[v], made = self._channels(Words(count), place(0, v))
                statements += made
        return scales, statements

    def store(
        self, sums: Accumulators, place: Place, counts: Sequence[int], one: PerValue, scales: Scales
    ) -> list[tirx.Stmt]:
        """See `store_integers`; `one` is for vectors that the instructions do not fit."""
        statements: list[tirx.Stmt] = []
        block = int(self.rest.target.shape[-1])
        for run, is_dense in _runs(sums, block, counts):
            (_, v), *_ = run
            if v not in scales:
                statements += [loops.vector(counts[v], _lane(one, sums, row, vector)) for row, vector in run]
                continue
            for first in range(0, len(run), PACKED):
                part = run[first : first + PACKED]
                statements += _Pack(self, Words(counts[v]), sums, part, is_dense, place, scales).emit()
        return statements

    def _channels(self, words: Words, indices: Sequence[Expr]) -> tuple[ChannelNumbers, list[tirx.Stmt]]:
        """A vector of channels' numbers, in registers."""
        from tvm import tirx

        def read(load: ir.TensorLoad) -> Expr:
            if not load.indices:
                return tirx.Broadcast(tirx.Cast("int32", loops.load(load.source, [])), words.lanes)
            values = _channels(load, self.scaling, indices, words.lanes)
            return values if str(load.source.dtype) == "int32" else tirx.Cast(f"int32x{words.lanes}", values)

        keep = _Registers()
        make = words.float_scale if self.as_floats else words.scale
        scale = make(read(self.multiplier), read(self.places))
        bias = None
        if self.bias is not None and self.bias_stage is not None:
            bias = keep(_channels(self.bias, self.bias_stage, indices, words.lanes))
        return ChannelNumbers(tuple(keep(value) for value in scale), bias), keep.statements


class _Registers:
    """Values that are computed once, by statements, and read as often as one likes."""

    def __init__(self) -> None:
        self.statements: list[tirx.Stmt] = []

    def __call__(self, value: Expr) -> Expr:
        kind = value.ty.dtype
        lanes = int(kind.lanes)
        buffer = loops.local_buffer([lanes], str(kind).split("x")[0], "kept")
        place = [loops.ramp(0, lanes)]
        self.statements += [loops.allocate(buffer), loops.store(buffer, value, place)]
        return loops.load(buffer, place)


@dataclass(frozen=True)
class _Pack:
    """Up to four vectors of sums that become bytes together.

    Attributes:
        part: their rows and vectors.
        is_dense: their bytes are neighbours.
        scales: by vector.
    """

    end: IntegerEpilogue
    words: Words
    sums: Accumulators
    part: Sequence[tuple[int, int]]
    is_dense: bool
    place: Place
    scales: Scales

    def emit(self) -> list[tirx.Stmt]:
        keep = _Registers()
        filled = [*self.part, *[self.part[-1]] * (PACKED - len(self.part))]
        sums = {at: keep(self._scaled(*at)) for at in self.part}
        zero_point = 0 if self.end.as_floats else self._numbers["zero_point"]
        result = keep(self._packed([sums[at] for at in filled], self._numbers, zero_point))
        for stage, other in self.end.additions:
            result = keep(self._added(result, stage, other, keep))
        if self.end.table is not None:
            result = keep(looked_up(result, self.end.table))
        ordered = keep(self.words.in_order(result))
        return [*keep.statements, *self._stores(ordered)]

    def _sum(self, row: int, v: int) -> Expr:
        first = (row * self.sums.vectors + v) * self.sums.lanes
        sums = loops.load(self.sums.buffer, [loops.ramp(first, self.words.lanes)])
        bias = self.scales[v].bias
        return sums if bias is None else sums + bias

    @property
    def _numbers(self) -> dict[str, Any]:
        numbers: dict[str, Any] = json.loads(self.end.scaling.note)
        return numbers

    def _scaled(self, row: int, v: int) -> Expr:
        """As floats with the zero point, otherwise without."""
        sums, scale = self._sum(row, v), self.scales[v].scale
        if self.end.as_floats:
            return self.words.scaled_as_floats(sums, scale, self._numbers["zero_point"])
        return self.words.scaled(sums, scale)

    def _packed(self, vectors: Sequence[Expr], numbers: dict[str, Any], zero_point: int) -> Expr:
        """With a zero point, and a stage's bounds."""
        from tvm import tirx

        packed = self.words.packed(vectors, zero_point)
        for bound, limit, choose in ((numbers["low"], _LEAST, tirx.max), (numbers["high"], _MOST, tirx.min)):
            if bound != limit:
                packed = choose(packed, tirx.Broadcast(tirx.const(bound, "int8"), 4 * self.words.lanes))
        return packed

    def _added(self, packed: Expr, stage: Stage, residual: ir.TensorLoad, keep: _Registers) -> Expr:
        """The sum of packed bytes and others: pairs of bytes without a sign become words, and one product adds them."""
        from tvm import tirx

        words, numbers, size = self.words, json.loads(stage.note), 4 * self.words.lanes
        multipliers, constant = _linear(stage, residual)
        signs = tirx.Broadcast(tirx.const(_LEAST, "int8"), size)
        ours = keep(packed ^ signs)
        others = keep(words.as_packed(self._read(residual, stage)) ^ signs)
        nothing = tirx.Broadcast(tirx.const(0, "int8"), size)
        half = 1 << numbers["shift"] >> 1
        start = constant + half + _LEAST * sum(multipliers)

        def rounded(pairs: Expr, upper: bool) -> Expr:
            """Halves away from zero: one less in front of the shift where the sum is below zero."""
            spread = words.interleaved(pairs, nothing, upper=upper)
            lanes = words.lanes
            total = keep(words.pair_sums(spread, *multipliers) + tirx.Broadcast(tirx.const(start, "int32"), lanes))
            is_more = total > tirx.Broadcast(tirx.const(0, "int32"), lanes)
            nudged = tirx.Select(is_more, total, total - tirx.Broadcast(tirx.const(1, "int32"), lanes))
            return keep(tirx.shift_right(nudged, tirx.Broadcast(tirx.const(numbers["shift"], "int32"), lanes)))

        halves = [keep(words.interleaved(ours, others, upper=upper)) for upper in (False, True)]
        vectors = [rounded(pairs, upper) for pairs in halves for upper in (False, True)]
        return self._packed(vectors, numbers, numbers["zero_point"])

    def _pieces(self) -> list[tuple[int, int]]:
        """What is neighbours in memory, a power of two of vectors each, as (first, count)."""
        count = len(self.part)
        if not self.is_dense:
            return [(at, 1) for at in range(count)]
        return [(0, 2), (2, 1)] if count == 3 else [(0, count)]

    def _read(self, load: ir.TensorLoad, stage: Stage) -> Expr:
        """The bytes of another tensor; what is missing to a whole vector may be anything."""
        from tvm import tirx

        lanes, count = self.words.lanes, len(self.part)

        def piece(at: int, vectors: int) -> Expr:
            *outer, last = [stage.at(index, self.place(*self.part[at])) for index in load.indices]
            return loops.load(load.source, [*outer, loops.ramp(last, vectors * lanes)])

        is_whole = len(load.indices) == len(stage.axes) and all(map(_is_same, load.indices, stage.axes))
        is_one_row = len({row for row, _ in self.part}) == 1
        if self.is_dense and count == PACKED and (is_whole or is_one_row):
            return piece(0, PACKED)
        parts = [piece(min(at, count - 1), 1) for at in range(PACKED)]
        return tirx.Shuffle(parts, [tirx.const(at, "int32") for at in range(4 * lanes)])

    def _stores(self, ordered: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        rest, lanes = self.end.rest, self.words.lanes

        def piece(at: int, vectors: int) -> tirx.Stmt:
            *outer, last = self.place(*self.part[at])
            order = [tirx.const(at * lanes + byte, "int32") for byte in range(vectors * lanes)]
            value = ordered if vectors == PACKED else tirx.Shuffle([ordered], order)
            return loops.store(rest.target, value, [*outer, loops.ramp(last, vectors * lanes)])

        if not rest.stages:
            return [piece(at, vectors) for at, vectors in self._pieces()]
        bytes_ = loops.local_buffer([4 * lanes], "int8", "bytes")
        statements = [loops.allocate(bytes_), loops.store(bytes_, ordered, [loops.ramp(0, 4 * lanes)])]
        for at, (row, v) in enumerate(self.part):

            def finish(lane: Expr, at: int = at, row: int = row, v: int = v) -> tirx.Stmt:
                *before, first = self.place(row, v)
                indices = [*before, first + lane]
                return rest.store(loops.load(bytes_, [lane + at * lanes]), indices)

            statements.append(loops.vector(lanes, finish))
        return statements


def _bias(stage: Stage, anchor: tirx.Buffer) -> ir.TensorLoad | None:
    """What a stage adds to the sums where that is one int32 for each index of their last axis; None otherwise."""
    from tvm import ir, tirx

    if not isinstance(stage.value, tirx.Add) or str(stage.target.dtype) != "int32":
        return None
    terms = (stage.value.a, stage.value.b)
    if not all(isinstance(term, ir.TensorLoad) and str(term.source.dtype) == "int32" for term in terms):
        return None
    added = [term for term in terms if not term.source.same_as(anchor)]
    if len(added) != 1 or len(added[0].indices) != 1 or not added[0].indices[0].same_as(stage.axes[-1]):
        return None
    return added[0]


def _channels(load: ir.TensorLoad, stage: Stage, indices: Sequence[Expr], lanes: int) -> Expr:
    """The numbers of a vector of channels."""
    *outer, last = (stage.at(index, indices) for index in load.indices)
    return loops.load(load.source, [*outer, loops.ramp(last, lanes)])


def _reads(stages: Sequence[Stage], buffers: Sequence[tirx.Buffer]) -> bool:
    """True where one of the stages reads one of the buffers."""
    return any(load.source.same_as(buffer) for stage in stages for load in stage.loads for buffer in buffers)


def _is_same(index: Expr, axis: tirx.Var) -> bool:
    return bool(index.same_as(axis))


def _formula(stage: Stage) -> Any:
    return json.loads(stage.note)["formula"] if stage.note else None


def _linear(stage: Stage, residual: ir.TensorLoad) -> tuple[tuple[int, int], int]:
    """The factors of the bytes and of the residual in a residual sum, and what is added: TVM turns its terms around."""
    from tvm import ir, tirx
    from tvm.sym import Analyzer
    from tvm_ffi.structural import structural_mutate, structural_walk

    bound: list[Expr] = []
    structural_walk(stage.value, (tirx.Let, lambda let: bound.append(let.value)))

    def total(ours: int, others: int) -> int:
        def on_load(load: ir.TensorLoad, _: object) -> Expr:
            return tirx.const(others if load.source.same_as(residual.source) else ours, "int8")

        found = [Analyzer().simplify(structural_mutate(value, ((ir.TensorLoad, on_load),))) for value in bound]
        (number,) = [int(value) for value in found if isinstance(value, tirx.IntImm)]
        return number

    constant = total(0, 0)
    return (total(1, 0) - constant, total(0, 1) - constant), constant


def _lane(one: PerValue, sums: Accumulators, row: int, v: int) -> Callable[[Expr], tirx.Stmt]:
    return lambda lane: one(sums.get(row, v, lane), row, v, lane)


def _runs(sums: Accumulators, block: int, counts: Sequence[int]) -> list[tuple[list[tuple[int, int]], bool]]:
    """The vectors of a tile that may be packed together, and whether their bytes are neighbours in memory.

    Args:
        block: channels side by side in the result; a tile of larger blocks, or of rows of a matrix, lies within one.
    """
    full = [v for v, count in enumerate(counts) if count == sums.lanes]
    others = [v for v, count in enumerate(counts) if 0 < count < sums.lanes]
    rows = range(sums.rows)
    size = block // sums.lanes  # vectors of a block
    runs: list[tuple[list[tuple[int, int]], bool]] = []
    if block % sums.lanes == 0 and size <= sums.vectors and sums.vectors % size == 0:
        groups = [full[at : at + size] for at in range(0, len(full), size)]
        runs += [([(row, v) for row in rows for v in group], True) for group in groups]
    elif len(full) >= PACKED:
        runs += [([(row, v) for v in full], True) for row in rows]
    else:
        others = [*full, *others]
    return [*runs, *[([(row, v) for row in rows], False) for v in others]]
