"""Which tensors of a float module become int8, and which products read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tvm
from tvm import relax

from edgecompile.compress.quantize.quantizable import DYNAMIC_OPERATORS, ROW_OPERATORS

if TYPE_CHECKING:
    from edgecompile.compress.quantize.insert import ProductScheme

# They take integers as they are: scale and zero point of the input are those of the result.
_MOVEMENTS = ("reshape", "permute_dims", "nn.max_pool2d", "squeeze", "expand_dims", "flatten", "strided_slice")
_JOINS = ("add", "mean", "nn.adaptive_avg_pool2d", "concat")
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
        for binding, sources in self._joins(static, quantized):
            quantized.update(sources)
            for source in sources:
                deciders.setdefault(source.name, binding.var.name)
            self._reasons.append((binding.var.name, True, "int8: all that it reads is quantized"))
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

    def _joins(
        self, static: Sequence[relax.Var], quantized: Collection[relax.Var]
    ) -> list[tuple[relax.VarBinding, list[relax.Var]]]:
        """The joining operators between integers, with what they read, in order.

        Of the others it notes why. Joins with a float result, which a normalization reads say, are no use in integers:
        in transformers such sums have outliers that one scale for a tensor cannot hold.

        Args:
            static: products that read what calibration knows.
            quantized: what those read.
        """
        carried, found = {self._end(product) for product in static}, []
        for binding in self._bindings:  # in order: a join may feed another
            operands = self._join_operands(binding)
            if operands is None:
                continue
            sources = [self._source(operand) for operand in operands]
            missing = [source.name for source in sources if source.name not in self._ranges]
            is_joined = not missing and all(source in carried or source in quantized for source in sources)
            if is_joined:
                carried.add(self._end(binding.var))
            reason = f"no range for {', '.join(missing)}" if missing else "not all that it reads is quantized"
            found.append((binding, sources, "" if is_joined else reason))
        needed, kept = set(quantized), []
        for binding, sources, reason in reversed(found):
            if self._end(binding.var) not in needed:
                reason = "nothing that reads its result is quantized"
            if reason:
                self._reasons.append((binding.var.name, False, reason))
                continue
            needed.update(sources)
            kept.append((binding, sources))
        return kept[::-1]

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
                return (
                    "a product of two activations: float, in one kernel with its softmax, unless asked for by attention"
                )
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
        if operator not in _JOINS:
            return None
        call = binding.value
        operands = (
            list(call.args[0].fields) if operator == "concat" else list(call.args[: 2 if operator == "add" else 1])
        )
        if not all(isinstance(operand, relax.Var) for operand in operands):
            return None
        if operator == "add" and len({str(operand.ty.shape) for operand in operands}) > 1:
            return None
        return operands

    def _source(self, variable: relax.Var) -> relax.Var:
        """The variable whose numbers another one only moves."""
        while self._operator(variable) in _MOVEMENTS and isinstance(self._definitions[variable].args[0], relax.Var):
            variable = self._definitions[variable].args[0]
        return variable

    def _end(self, variable: relax.Var) -> relax.Var:
        """The result of the bias and the bounds behind a product or a join: one integer kernel with it."""
        while True:
            readers = self._uses[variable]
            if len(readers) != 1 or readers[0] is None:
                return variable
            following = readers[0]
            operator = self._operator(following)
            reads_constant = operator in ("add", "minimum") and any(
                isinstance(argument, tvm.ir.GenericConst) for argument in self._definitions[following].args
            )
            if operator not in _BOUNDS and not reads_constant:
                return variable
            variable = following

    def _operator(self, variable: relax.Var) -> str:
        value = self._definitions.get(variable)
        if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.Op):
            return ""
        return str(value.op.name).removeprefix("relax.")


def _why_no_rows(x: relax.Var) -> str:
    """Why a tensor cannot get its scales at run time; "" where it can."""
    shape = getattr(x.ty.shape, "values", None)
    if shape is None or not all(isinstance(extent, tvm.tirx.IntImm) for extent in shape):
        return "scales at run time are for shapes that are known at compile time"
    return "" if len(shape) > 1 else "it reads a vector"
