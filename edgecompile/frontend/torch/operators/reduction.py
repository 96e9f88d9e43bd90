"""Reductions, searches and running sums."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, normalize_dims, shape_of
from edgecompile.frontend.torch.registry import converter

Operator = Callable[..., relax.Expr]


def _reduce(context: Context, operator: Operator, value: relax.Expr, dims: object, keepdim: bool) -> relax.Expr:
    """Reduces over the dims; a scalar has none and stays as it is."""
    rank = len(shape_of(value))
    return operator(value, axis=normalize_dims(dims, rank), keepdims=keepdim) if rank else value


def _in_result_dtype(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    """A reduction that works in the dtype of its result: integers are summed as int64."""

    def convert(context: Context, args: Arguments) -> relax.Expr:
        value = context.wide(context.tensor(args.self, context.dtype))
        return context.narrow(_reduce(context, operator, value, args.get("dim"), args.get("keepdim", False)))

    return convert


converter("sum.default", "sum.dim_IntList")(_in_result_dtype(relax.op.sum))
converter("mean.default", "mean.dim")(_in_result_dtype(relax.op.mean))
converter("prod.default", "prod.dim_int")(_in_result_dtype(relax.op.prod))


def _extremum(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    def convert(context: Context, args: Arguments) -> relax.Expr:
        value = context.tensor(args.self, "int8" if context.dtype == "bool" else None)
        reduced = _reduce(context, operator, value, args.get("dim"), args.get("keepdim", False))
        return context.tensor(context.emit(reduced), context.dtype)

    return convert


converter("amax.default", "max.default")(_extremum(relax.op.max))
converter("amin.default", "min.default")(_extremum(relax.op.min))


def _quantifier(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    """`any` and `all` as maximum and minimum of 0 and 1."""

    def convert(context: Context, args: Arguments) -> relax.Expr:
        dtype = dtype_of(args.self)
        truth = args.self if dtype == "bool" else relax.op.not_equal(args.self, context.tensor(0, dtype))
        bits = context.emit(relax.op.astype(truth, "int8"))
        reduced = _reduce(context, operator, bits, args.get("dim"), args.get("keepdim", False))
        return relax.op.astype(reduced, "bool")

    return convert


converter("any.default", "any.dim", "any.dims")(_quantifier(relax.op.max))
converter("all.default", "all.dim", "all.dims")(_quantifier(relax.op.min))


@converter("var_mean.correction")
def variance_and_mean(context: Context, args: Arguments) -> tuple[relax.Expr, ...]:
    """Variance and mean of the same elements."""
    return variance(context, args), _reduce(context, relax.op.mean, args.self, args.dim, args.keepdim)


@converter("var.correction")
def variance(context: Context, args: Arguments) -> relax.Expr:
    """`sum((x - mean(x))^2) / (n - correction)`; correction is 1 unless given."""
    shape = shape_of(args.self)
    dims = normalize_dims(args.dim, len(shape))
    count = 1
    for dim in dims:
        if not isinstance(shape[dim], int):
            raise context.refuse("variance over a dynamic dimension", "freeze the dimension with shapes=")
        count *= shape[dim]
    correction = 1 if args.correction is None else args.correction
    population = relax.op.variance(args.self, dims, keepdims=args.keepdim)
    if correction == 0:
        return population
    factor = count / (count - correction) if count > correction else float("nan")
    return relax.op.multiply(context.emit(population), context.tensor(factor, context.dtype))


def _arg_extremum(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    """The index of the first extremum; over everything, the index into the flattened tensor."""

    def convert(context: Context, args: Arguments) -> relax.Expr:
        value, rank = args.self, len(shape_of(args.self))
        if rank == 0:
            return relax.op.zeros([], "int64")
        if args.dim is None:
            flat = context.emit(relax.op.reshape(value, [-1]))
            return relax.op.reshape(context.emit(operator(flat, 0, False)), [1] * rank if args.keepdim else [])
        return operator(value, args.dim % rank, args.keepdim)

    return convert


converter("argmax.default")(_arg_extremum(relax.op.argmax))
converter("argmin.default")(_arg_extremum(relax.op.argmin))


def _extremum_with_index(reduce: Operator, search: Operator) -> Callable[[Context, Arguments], tuple[relax.Expr, ...]]:
    def convert(context: Context, args: Arguments) -> tuple[relax.Expr, ...]:
        value, rank = args.self, len(shape_of(args.self))
        if rank == 0:
            return value, relax.op.zeros([], "int64")
        dim = args.dim % rank
        return reduce(value, [dim], keepdims=args.keepdim), search(value, dim, args.keepdim)

    return convert


converter("max.dim")(_extremum_with_index(relax.op.max, relax.op.argmax))
converter("min.dim")(_extremum_with_index(relax.op.min, relax.op.argmin))


@converter("cumsum.default")
def cumulative_sum(context: Context, args: Arguments) -> relax.Expr:
    """The running sum along one dimension."""
    return _cumulative(context, relax.op.cumsum, args)


@converter("cumprod.default")
def cumulative_product(context: Context, args: Arguments) -> relax.Expr:
    """The running product along one dimension."""
    return _cumulative(context, relax.op.cumprod, args)


def _cumulative(context: Context, operator: Operator, args: Arguments) -> relax.Expr:
    value, rank = context.tensor(args.self, context.dtype), len(shape_of(args.self))
    return operator(value, args.dim % rank, context.dtype) if rank else value


@converter("linalg_vector_norm.default")
def vector_norm(context: Context, args: Arguments) -> relax.Expr:
    """`sum(|x|^ord)^(1/ord)`, with the limits for 0, inf and -inf."""
    value, order, dtype = context.tensor(args.self, context.dtype), args.ord, context.dtype
    rank = len(shape_of(value))
    magnitude = context.emit(relax.op.abs(value))
    if order in (float("inf"), float("-inf")):
        return _reduce(context, relax.op.max if order > 0 else relax.op.min, magnitude, args.dim, args.keepdim)
    if order == 0:
        powers = relax.op.astype(relax.op.not_equal(value, context.tensor(0, dtype)), dtype)
    elif order == 1:
        powers = magnitude
    elif order == 2:
        powers = relax.op.multiply(value, value)
    else:
        powers = relax.op.power(magnitude, context.tensor(float(order), dtype))
    powers = context.emit(powers)
    total = relax.op.sum(powers, normalize_dims(args.dim, rank), keepdims=args.keepdim) if rank else powers
    if order in (0, 1):
        return total
    return relax.op.sqrt(total) if order == 2 else relax.op.power(total, context.tensor(1 / float(order), dtype))


@converter("topk.default")
def topk(context: Context, args: Arguments) -> tuple[relax.Expr, ...]:
    """The `k` largest or smallest along one dimension, sorted, and their indices."""
    if not shape_of(args.self):
        return args.self, relax.op.zeros([], "int64")
    found = context.emit(relax.op.topk(args.self, args.k, args.dim, "both", args.largest, "int64"))
    return found[0], found[1]


@converter("sort.default", "sort.stable")
def sort(context: Context, args: Arguments) -> tuple[relax.Expr, ...]:
    """The sorted values and their indices; the order of equal values is the stable one."""
    rank = len(shape_of(args.self))
    if rank == 0:
        return args.self, relax.op.zeros([], "int64")
    if dtype_of(args.self) == "bool":
        raise context.refuse("sorting booleans", "convert them to int32 first")
    indices = context.emit(relax.op.argsort(args.self, args.dim % rank, args.descending, "int64"))
    return relax.op.gather_elements(args.self, indices, axis=args.dim % rank), indices
