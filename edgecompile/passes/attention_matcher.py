"""Finding attention in Relax: what frontends make of it, and where its operands really lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import tvm
from tvm import relax

from edgecompile.attention import Attention, Placed, ScoreStep
from edgecompile.passes.layouts.products import is_batched_product
from edgecompile.passes.layouts.tensor_shapes import static_shape
from edgecompile.passes.strided_view import StridedView

_RESHAPES = frozenset(f"relax.{name}" for name in ("reshape", "expand_dims", "squeeze", "flatten"))


@dataclass(frozen=True)
class Match:
    """An attention of `main`.

    Attributes:
        problem: its numbers.
        arguments: the tensors that `problem` counts, in the order of their first use.
        product: the variable of the second product, whose name the kernel's result takes.
        result: the variable whose value the kernel computes: `product`, or a permutation or reshape of it.
    """

    problem: Attention
    arguments: tuple[relax.Expr, ...]
    product: relax.Var
    result: relax.Var


@dataclass
class _Operands:
    """The distinct tensors of one attention."""

    arguments: list[relax.Expr] = field(default_factory=list)

    def place(self, base: relax.Expr, view: StridedView) -> Placed:
        for at, known in enumerate(self.arguments):
            if known.same_as(base):
                return Placed(at, view.offset, view.strides)
        self.arguments.append(base)
        return Placed(len(self.arguments) - 1, view.offset, view.strides)


class AttentionMatcher:
    """Reads one `main`, a straight list of bindings."""

    def __init__(self, main: relax.Function) -> None:
        block = main.body.blocks[0]
        self.values: dict[relax.Var, relax.Expr] = {binding.var: binding.value for binding in block.bindings}
        self.readers: dict[relax.Var, list[relax.Var]] = {}
        for binding in block.bindings:
            for variable in set(_variables(binding.value)):
                self.readers.setdefault(variable, []).append(binding.var)
        self.outputs = set(_variables(main.body.body))

    def matches(self) -> list[Match]:
        """Every attention, in order."""
        found = [self._match(variable, value) for variable, value in self.values.items()]
        return [match for match in found if match is not None]

    def _match(self, product: relax.Var, value: relax.Expr) -> Match | None:
        """`softmax(steps(q @ k)) @ v`, where nothing else reads the scores and the weights."""
        if not _is(value, "matmul") or not is_batched_product(value):
            return None
        softmax, rank = self._only(value.args[0]), len(value.ty.shape)
        if softmax is None or not _is(softmax, "nn.softmax") or int(softmax.attrs.axis) not in (-1, rank - 1):
            return None
        shape = static_shape(softmax) or ()
        steps: list[tuple[ScoreStep, relax.Expr | None]] = []
        scores = softmax.args[0]
        while (call := self._only(scores)) is not None and not _is(call, "matmul"):
            step = _read_step(call, shape)
            if step is None:
                return None
            steps.insert(0, step[:2])
            scores = step[2]
        if call is None or not is_batched_product(call):
            return None
        return self._assembled(product, call, steps, value.args[1])

    def _assembled(
        self,
        product: relax.Var,
        scores: relax.Call,
        steps: Sequence[tuple[ScoreStep, relax.Expr | None]],
        value: relax.Expr,
    ) -> Match:
        operands = _Operands()
        query_scale, query = self._placed(scores.args[0], operands)
        key_scale, key = self._placed(scores.args[1], operands)
        *batch, rows, keys = static_shape(scores) or ()
        placed: list[ScoreStep] = []
        if query_scale * key_scale != 1:
            placed.append(ScoreStep("scale", query_scale * key_scale))
        for step, operand in steps:
            if operand is not None:
                view = StridedView.contiguous(static_shape(operand) or ()).broadcast((*batch, rows, keys))
                step = ScoreStep(step.kind, step.number, operands.place(operand, view))
            placed.append(step)
        base, view = self._view(value)
        result, strides = self._result(product)
        problem = Attention(
            batch=tuple(batch),
            rows=rows,
            keys=keys,
            width=(static_shape(scores.args[0]) or ())[-1],
            value_width=view.shape[-1],
            query=query,
            key=key,
            value=operands.place(base, view),
            steps=tuple(placed),
            result=strides,
        )
        return Match(problem, tuple(operands.arguments), product, result)

    def _placed(self, operand: relax.Expr, operands: _Operands) -> tuple[float, Placed]:
        """An operand of the first product: what it is multiplied by, and where it lies."""
        scale, base, view = 1.0, *self._view(operand)
        while (scaled := _scaled(self.values.get(base))) is not None:
            factor, inner = scaled
            deeper, inner_view = self._view(inner)
            combined = _through(view, inner_view)
            if combined is None:
                break
            scale, base, view = scale * factor, deeper, combined
        return scale, operands.place(base, view)

    def _view(self, value: relax.Expr) -> tuple[relax.Expr, StridedView]:
        """The tensor whose elements `value` shows, and where they lie in it."""
        shape = static_shape(value) or ()
        whole = StridedView.contiguous(shape)
        made = self.values.get(value) if isinstance(value, relax.Var) else None
        if isinstance(made, relax.TupleGetItem):
            parts = self.values.get(made.tuple_value) if isinstance(made.tuple_value, relax.Var) else None
            start = _start_of_part(parts, made.index) if parts is not None else None
            if parts is None or start is None:
                return value, whole
            base, view = self._view(parts.args[0])
            axis = int(parts.attrs.axis) % len(shape)
            return base, view.sliced(axis, start, shape[axis])
        if not isinstance(made, relax.Call) or not shape or 0 in shape:
            return value, whole
        if _is(made, "permute_dims"):
            base, view = self._view(made.args[0])
            axes = made.attrs.axes
            rank = len(shape)
            return base, view.permuted([int(a) % rank for a in axes] if axes else list(reversed(range(rank))))
        if str(getattr(made.op, "name", "")) in _RESHAPES and static_shape(made.args[0]) is not None:
            base, view = self._view(made.args[0])
            reshaped = view.reshaped(shape)
            return (base, reshaped) if reshaped is not None else (value, whole)
        return value, whole

    def _result(self, product: relax.Var) -> tuple[relax.Var, tuple[int, ...]]:
        """The last of the permutations and reshapes that alone read the product, and its strides as the product."""
        chain = [product]
        while len(self.readers.get(chain[-1], ())) == 1 and chain[-1] not in self.outputs:
            (reader,) = self.readers[chain[-1]]
            made = self.values[reader]
            moves = (
                _is(made, "permute_dims") or str(getattr(made.op, "name", "")) in _RESHAPES
                if (isinstance(made, relax.Call))
                else False
            )
            if not moves or static_shape(reader) is None:
                break
            chain.append(reader)
        for last in range(len(chain) - 1, 0, -1):
            view = self._backwards(chain[: last + 1])
            if view is not None:
                return chain[last], view.strides
        return product, StridedView.contiguous(static_shape(product) or ()).strides

    def _backwards(self, chain: Sequence[relax.Var]) -> StridedView | None:
        """The memory of the last tensor of `chain`, seen with the shape of the first one."""
        view: StridedView | None = StridedView.contiguous(static_shape(chain[-1]) or ())
        for before, after in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
            made = self.values[after]
            if view is None:
                return None
            if _is(made, "permute_dims"):
                rank = len(view.shape)
                axes = [int(a) % rank for a in made.attrs.axes] if made.attrs.axes else list(reversed(range(rank)))
                view = view.permuted([axes.index(at) for at in range(rank)])
            else:
                view = view.reshaped(static_shape(before) or ())
        return view if view is None or view.strides[-1] == 1 else None

    def _only(self, value: relax.Expr) -> relax.Call | None:
        """The call that made `value`, where one binding alone reads it."""
        if not isinstance(value, relax.Var) or value in self.outputs or len(self.readers.get(value, ())) != 1:
            return None
        made = self.values.get(value)
        return made if isinstance(made, relax.Call) else None


def _read_step(call: relax.Call, shape: tuple[int, ...]) -> tuple[ScoreStep, relax.Expr | None, relax.Expr] | None:
    """A step, its operand, and the scores before it; None where the call is no step on scores of `shape`."""
    scaled = _scaled(call)
    if scaled is not None:
        return ScoreStep("scale", scaled[0]), None, scaled[1]
    if static_shape(call) != shape or str(call.ty.dtype) != "float32":
        return None
    if _is(call, "add"):
        for scores, operand in (call.args, reversed(call.args)):
            if static_shape(scores) == shape and static_shape(operand) is not None and isinstance(scores, relax.Var):
                return ScoreStep("add"), operand, scores
    if _is(call, "where"):
        condition, kept, other = call.args
        if static_shape(condition) is None:
            return None
        if static_shape(kept) == shape and (number := _number(other)) is not None:
            return ScoreStep("where", number), condition, kept
        if static_shape(other) == shape and (number := _number(kept)) is not None:
            return ScoreStep("unless", number), condition, other
    return None


def _scaled(value: relax.Expr | None) -> tuple[float, relax.Expr] | None:
    """The constant and the tensor of `x * c`, `c * x` or `x / c`."""
    if not isinstance(value, relax.Call) or str(value.ty.dtype) != "float32":
        return None
    if _is(value, "multiply"):
        for tensor, factor in (value.args, reversed(value.args)):
            number = _number(factor)
            if number is not None and static_shape(tensor) == static_shape(value):
                return number, tensor
    if _is(value, "divide"):
        number = _number(value.args[1])
        if number and static_shape(value.args[0]) == static_shape(value):
            return 1 / number, value.args[0]
    return None


def _number(value: relax.Expr) -> float | None:
    """The one element of a constant."""
    if not isinstance(value, tvm.ir.GenericConst) or math.prod(value.value.shape) != 1:
        return None
    return float(value.value.numpy().reshape(()))


def _through(outer: StridedView, inner: StridedView) -> StridedView | None:
    """`outer` looks at the elements of a whole tensor, which `inner` shows: both in one."""
    if inner == StridedView.contiguous(inner.shape):
        return outer
    by_stride = {
        stride: place
        for stride, place, extent in zip(
            StridedView.contiguous(inner.shape).strides, inner.strides, inner.shape, strict=True
        )
        if extent != 1
    }
    if outer.offset or any(s not in by_stride for s, e in zip(outer.strides, outer.shape, strict=True) if e != 1):
        return None
    strides = tuple(by_stride.get(s, 0) if e != 1 else 0 for s, e in zip(outer.strides, outer.shape, strict=True))
    return StridedView(outer.shape, strides, inner.offset)


def _start_of_part(split: relax.Expr, index: int) -> int | None:
    """Where the part `index` of a split begins along its axis."""
    if not _is(split, "split") or static_shape(split.args[0]) is None:
        return None
    sections = split.attrs.indices_or_sections
    if isinstance(sections, int | tvm.tirx.IntImm):
        extent = (static_shape(split.args[0]) or ())[int(split.attrs.axis)]
        return index * math.ceil(extent / int(sections))
    return int(sections[index - 1]) if index else 0


def _is(value: relax.Expr, name: str) -> bool:
    return isinstance(value, relax.Call) and str(getattr(value.op, "name", "")) == f"relax.{name}"


def _variables(value: relax.Expr) -> list[relax.Var]:
    from tvm_ffi.structural import structural_walk

    found: list[relax.Var] = []
    structural_walk(value, (relax.Var, found.append))
    return found
