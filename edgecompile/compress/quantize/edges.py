"""Which tensors of a float module become int8, and which products read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import tvm
from tvm import relax

from edgecompile.compress.quantize.quantizable import DYNAMIC_OPERATORS, ROW_OPERATORS
from edgecompile.integer.elementwise import ELEMENTWISE, argument_of
from edgecompile.integer.movements import is_movement
from edgecompile.passes.channel_affine import read_channel_affine

if TYPE_CHECKING:
    from edgecompile.compress.quantize.insert import ProductScheme

_PAIRS = ("add", "subtract", "multiply")  # of two tensors, of which one may broadcast
_AVERAGES = ("mean", "nn.adaptive_avg_pool2d", "nn.avg_pool2d", "image.resize2d")
_BOUNDS = ("nn.relu", "nn.relu6", "clip")
_PRODUCTS = ("nn.conv2d", "matmul")


@dataclass(frozen=True)
class Edges:
    """The decision for a whole `main`.

    Attributes:
        products: the variables of the products that read int8.
        dynamic: those of them whose int8 gets its scales at run time; what they read and write need no ranges.
        quantized: the variables whose values go through int8.
        reasons: name, kept, and why, for each product and each joining operator.
        integer: the variables of the softmax and layer normalizations that compute in integers alone.
        deciders: by the name of a quantized tensor, the product that reads it first; the joining operator where none
            does.
    """

    products: frozenset[relax.Var]
    dynamic: frozenset[relax.Var]
    quantized: frozenset[relax.Var]
    integer: frozenset[relax.Var]
    reasons: tuple[tuple[str, bool, str], ...]
    deciders: Mapping[str, str]
    _readers: Mapping[relax.Var, Sequence[relax.Var]]
    _seconds: frozenset[relax.Var]
    _sources: Mapping[relax.Var, relax.Var]

    @staticmethod
    def of(
        main: relax.Function,
        ranges: Collection[str],
        products: Collection[str],
        dynamic: Collection[str] = (),
        integer: Collection[str] = (),
    ) -> Edges:
        """The edges of `main`, given which tensors have ranges, and which products shall be quantized, and how.

        Args:
            integer: softmax and layer normalizations that shall compute in integers alone.
        """
        return _Search(main, ranges, products, dynamic, integer).result()

    def source_of(self, variable: relax.Var) -> relax.Var:
        """The tensor whose numbers a variable only moves."""
        return self._sources.get(variable, variable)

    def is_symmetric(self, variable: relax.Var, schemes: Mapping[str, ProductScheme]) -> bool:
        """True where a product that reads the variable asks for a zero point of zero, or is cheaper with it."""
        return variable in self._seconds or any(
            schemes[reader.name].symmetric_activations for reader in self._readers[variable] if reader in self.products
        )


class _Candidates(NamedTuple):
    """What could be computed between integers.

    Attributes:
        functions: of one number, with their arguments.
        joins: operators between tensors, with those.
        refused: joining operators, with the reason.
    """

    functions: Mapping[relax.Var, relax.Var]
    joins: Mapping[relax.Var, Sequence[relax.Var]]
    refused: Mapping[relax.Var, str]


class _Search:
    def __init__(
        self,
        main: relax.Function,
        ranges: Collection[str],
        products: Collection[str],
        dynamic: Collection[str],
        integer: Collection[str],
    ) -> None:
        self._ranges, self._wanted, self._dynamic, self._integer = ranges, products, dynamic, integer
        self._bindings = list(main.body.blocks[0].bindings)
        self._definitions = {binding.var: binding.value for binding in self._bindings}
        self._uses: dict[relax.Var, list[relax.Var | None]] = defaultdict(list)
        for binding in self._bindings:
            for variable in relax.analysis.free_vars(binding.value):
                self._uses[variable].append(binding.var)
        for variable in relax.analysis.free_vars(main.body.body):
            self._uses[variable].append(None)
        self._reasons: list[tuple[str, bool, str]] = []
        self._readers: dict[relax.Var, list[relax.Var]] = defaultdict(list)

    def result(self) -> Edges:
        products = [binding.var for binding in self._bindings if self._takes_product(binding)]
        dynamic = frozenset(product for product in products if product.name in self._dynamic)
        quantized: set[relax.Var] = set()
        deciders: dict[str, str] = {}
        static = [product for product in products if product not in dynamic]
        integer = frozenset(binding.var for binding in self._bindings if self._takes_row_operator(binding))
        seconds: set[relax.Var] = set()
        for product in static:
            sources = self._operands(product)
            seconds.update(sources[1:])
            for source in sources:
                quantized.add(source)
                deciders.setdefault(source.name, product.name)
                self._readers[source].append(product)
        for variable in integer:
            source = self._source(self._definitions[variable].args[0])
            quantized.add(source)
            for tensor in (source, variable):
                deciders.setdefault(tensor.name, variable.name)
        for reader, read in self._needed(self._candidates(static, quantized), quantized):
            for source in read:
                deciders.setdefault(source.name, reader.name)
        return Edges(
            frozenset(products),
            dynamic,
            frozenset(quantized),
            integer,
            tuple(self._reasons),
            deciders,
            self._readers,
            frozenset(seconds),
            {binding.var: self._source(binding.var) for binding in self._bindings},
        )

    def _operands(self, product: relax.Var) -> list[relax.Var]:
        """The tensors that a product reads beside a weight."""
        arguments = self._definitions[product].args
        return [self._source(argument) for argument in arguments if isinstance(argument, relax.Var)]

    def _takes_row_operator(self, binding: relax.VarBinding) -> bool:
        """True for what shall be computed in integers alone, and can be."""
        call, name = binding.value, binding.var.name
        if name not in self._integer or self._operator(binding.var) not in ROW_OPERATORS:
            return False
        reason = self._why_not_integer(call, name)
        self._reasons.append((name, not reason, reason or "int8, integer arithmetic alone"))
        return not reason

    def _why_not_integer(self, call: relax.Call, name: str) -> str:
        x, *tables = call.args
        rank = len(call.ty.shape.values)
        axes = [call.attrs.axis] if self._operator_of(call) == "nn.softmax" else list(call.attrs.axes)
        if [int(axis) % rank for axis in axes] != [rank - 1]:
            return "integer arithmetic is for the last axis"
        if not isinstance(x, relax.Var) or not all(isinstance(table, tvm.ir.GenericConst) for table in tables):
            return "it reads other than one tensor and constants"
        if not all(isinstance(extent, tvm.tirx.IntImm) for extent in call.ty.shape.values):
            return "integer arithmetic is for shapes that are known at compile time"
        missing = [found for found in (self._source(x).name, name) if found not in self._ranges]
        return f"the table has no range for {missing[0]}" if missing else ""

    @staticmethod
    def _operator_of(call: relax.Call) -> str:
        return str(call.op.name).removeprefix("relax.")

    def _candidates(self, static: Sequence[relax.Var], quantized: Collection[relax.Var]) -> _Candidates:
        """What could be computed between integers, whoever reads it.

        Args:
            static: products that read what calibration knows.
            quantized: what those read.
        """
        carried = {self._end(product, is_product=True) for product in static}
        known = set(quantized)
        functions: dict[relax.Var, relax.Var] = {}
        joins: dict[relax.Var, list[relax.Var]] = {}
        refused: dict[relax.Var, str] = {}
        for binding in self._bindings:  # in order: a join may feed another
            argument = self._argument(binding.var, carried, known)
            if argument is not None:
                if argument.name in self._ranges:
                    functions[binding.var] = argument
                continue
            operands = self._join_operands(binding)
            if operands is None:
                continue
            sources = [self._source(operand) for operand in operands]
            missing = [source.name for source in sources if source.name not in self._ranges]
            if missing or not all(any(source in found for found in (carried, known, functions)) for source in sources):
                reason = f"no range for {', '.join(missing)}" if missing else "not all that it reads is quantized"
                refused[binding.var] = reason
                continue
            joins[binding.var] = sources
            known.update(sources)
            carried.add(self._end(binding.var, is_product=False))
        return _Candidates(functions, joins, refused)

    def _needed(
        self, candidates: _Candidates, quantized: set[relax.Var]
    ) -> list[tuple[relax.Var, Sequence[relax.Var]]]:
        """The candidates whose result something quantized reads, with what they read, in order; that joins `quantized`.

        A float result, which a normalization reads say, is no use in integers: in transformers such sums have outliers
        that one scale for a tensor cannot hold. Nor are functions between two matrix products: the kernel of the first
        computes the function of exact sums, and GELU of rounded ones has cost transformers accuracy.
        """
        functions, joins, refused = candidates
        kept: list[tuple[relax.Var, Sequence[relax.Var]]] = []
        for variable in reversed([binding.var for binding in self._bindings]):
            sources: Sequence[relax.Var]
            if variable in joins or variable in refused:
                is_read = self._end(variable, is_product=False) in quantized
                if not is_read or variable in refused:
                    reason = refused[variable] if is_read else "nothing that reads its result is quantized"
                    self._reasons.append((variable.name, False, reason))
                    continue
                sources, how = joins[variable], "int8: all that it reads is quantized"
            elif variable in functions and variable in quantized:
                argument = functions[variable]
                if self._readers.get(variable) and self._is_end_of_matrix_product(argument):
                    continue
                sources, how = [argument], "int8: computed from what it reads, number by number"
            else:
                continue
            self._reasons.append((variable.name, True, how))
            quantized.update(sources)
            kept.append((variable, sources))
        return kept[::-1]

    def _argument(
        self, variable: relax.Var, carried: Collection[relax.Var], quantized: Collection[relax.Var]
    ) -> relax.Var | None:
        """The integer tensor of which another is a function, number by number: a table has its values."""
        if variable in carried:
            return None

        def call_of(value: relax.Expr) -> relax.Call | None:
            if self._operator(value) not in ELEMENTWISE:
                return None
            is_integer = value in carried or value in quantized
            return None if is_integer and not value.same_as(variable) else self._definitions[value]

        found = argument_of(variable, call_of)
        if found is None:
            found = self._argument_of_channels(variable)
        if found is None or found.same_as(variable):
            return None
        source = self._source(found)
        return source if source in carried or source in quantized else None

    def _argument_of_channels(self, variable: relax.Var) -> relax.Var | None:
        """What is multiplied, and moved, by a number for each channel; bounds may stand behind."""
        while self._operator(variable) in _BOUNDS and isinstance(self._definitions[variable].args[0], relax.Var):
            variable = self._definitions[variable].args[0]
            if not self._is_used_once(variable):
                return None

        def call_of(value: relax.Expr) -> relax.Call | None:
            return self._definitions[value] if self._operator(value) else None

        found = read_channel_affine(variable, call_of, self._is_used_once)
        return None if found is None else found.base

    def _is_used_once(self, variable: relax.Expr) -> bool:
        return len(self._uses[variable]) == 1

    def _is_end_of_matrix_product(self, variable: relax.Var) -> bool:
        while self._operator(variable) in (*_BOUNDS, "add", "minimum"):
            found = [argument for argument in self._definitions[variable].args if isinstance(argument, relax.Var)]
            if len(found) != 1:
                return False
            variable = found[0]
        return self._operator(variable) == "matmul"

    def _takes_product(self, binding: relax.VarBinding) -> bool:
        call, name = binding.value, binding.var.name
        if self._operator(binding.var) not in _PRODUCTS:
            return False
        reason = self._why_float(call, name)
        how = "int8, scales at run time" if name in self._dynamic else "int8"
        self._reasons.append((name, not reason, reason or how))
        return not reason

    def _why_float(self, call: relax.Call, name: str) -> str:
        """Why a product stays float; "" where it does not."""
        x, weight = call.args
        if name not in self._wanted:
            if isinstance(weight, relax.Var):
                return "a product of two activations: float, with softmax in its kernel, unless attention asks for int8"
            return "the recipe leaves it float"
        if name in self._dynamic and str(call.op.name).removeprefix("relax.") not in DYNAMIC_OPERATORS:
            return "scales at run time are for matrix products; static activations would make it int8"
        if isinstance(weight, relax.Var):
            return self._why_no_batch(call, name)
        if not isinstance(weight, tvm.ir.GenericConst):
            return "its weight is no constant"
        if call.op.name == "relax.matmul" and len(weight.value.shape) != 2:
            return "its weight is no matrix"
        if str(call.ty.dtype) != "float32" or not isinstance(x, relax.Var):
            return "it is not float32, or reads a constant"
        if name in self._dynamic:
            return _why_no_rows(x)
        source = self._source(x)
        return "" if source.name in self._ranges else f"the table has no range for {source.name}"

    def _why_no_batch(self, call: relax.Call, name: str) -> str:
        """Why a product of two activations stays float; "" where it does not."""
        shapes = [list(getattr(argument.ty.shape, "values", ())) for argument in call.args]
        batches = [[str(extent) for extent in shape[:-2]] for shape in shapes]
        if call.op.name != "relax.matmul" or batches[0] != batches[1] or not batches[0]:
            return "its weight is computed at run time"
        if str(call.ty.dtype) != "float32" or not isinstance(call.args[0], relax.Var) or name in self._dynamic:
            return "products of two activations are int8 with static scales of float32 tensors only"
        missing = [source.name for source in map(self._source, call.args) if source.name not in self._ranges]
        return f"the table has no range for {missing[0]}" if missing else ""

    def _join_operands(self, binding: relax.VarBinding) -> list[relax.Var] | None:
        operator = self._operator(binding.var)
        call = binding.value
        if operator == "concat":
            operands = list(call.args[0].fields) if isinstance(call.args[0], relax.Tuple) else [call.args[0]]
        elif operator in _PAIRS:
            operands = list(call.args)
        elif operator in _AVERAGES and _is_average(call):
            operands = [call.args[0]]
        else:
            return None
        return operands if all(_is_tensor(operand) for operand in operands) else None

    def _source(self, variable: relax.Var) -> relax.Var:
        """The variable whose numbers another one only moves."""
        while True:
            value = self._definitions.get(variable)
            if isinstance(value, relax.TupleGetItem) and self._operator(value.tuple_value) == "split":
                value = self._definitions[value.tuple_value]
            if not _is_operator(value) or not is_movement(value) or not isinstance(value.args[0], relax.Var):
                return variable
            variable = value.args[0]

    def _end(self, variable: relax.Var, *, is_product: bool) -> relax.Var:
        """The result of the bias and the bounds behind a product or a join: one integer kernel with it.

        Only products have a bias, right behind them; bounds of channels are the last.
        """
        takes_bias = is_product
        while self._operator(variable) != "minimum":
            readers = self._uses[variable]
            if len(readers) != 1 or readers[0] is None:
                return variable
            following = readers[0]
            operator = self._operator(following)
            if operator in ("add", "minimum"):
                constants = [isinstance(a, tvm.ir.GenericConst) for a in self._definitions[following].args]
                if not any(constants) or (operator == "add" and not takes_bias):
                    return variable
            elif operator not in _BOUNDS:
                return variable
            takes_bias = False
            variable = following
        return variable

    def _operator(self, variable: relax.Expr) -> str:
        value = self._definitions.get(variable) if isinstance(variable, relax.Var) else None
        return str(value.op.name).removeprefix("relax.") if _is_operator(value) else ""


def _is_operator(value: relax.Expr | None) -> TypeGuard[relax.Call]:
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op)


def _is_tensor(value: relax.Expr) -> bool:
    return isinstance(value, relax.Var) and isinstance(value.ty, relax.TensorType) and str(value.ty.dtype) == "float32"


def _is_average(call: relax.Call) -> bool:
    """False for what integers cannot compute; what moves pixels is none either."""
    return call.op.name != "relax.image.resize2d" or (
        str(call.attrs.method) == "linear" and str(call.attrs.layout) == "NCHW"
    )


def _why_no_rows(x: relax.Var) -> str:
    """Why a tensor cannot get its scales at run time; "" where it can."""
    shape = getattr(x.ty.shape, "values", None)
    if shape is None or not all(isinstance(extent, tvm.tirx.IntImm) for extent in shape):
        return "scales at run time are for shapes that are known at compile time"
    return "" if len(shape) > 1 else "it reads a vector"
