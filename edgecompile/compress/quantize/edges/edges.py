"""`Edges`: which tensors of a float module become int8, and which operators read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.candidates import Candidates
from edgecompile.compress.quantize.edges.kernel import source_of
from edgecompile.compress.quantize.edges.needed import needed_candidates
from edgecompile.compress.quantize.edges.products import integer_products
from edgecompile.compress.quantize.edges.request import Reason, Request
from edgecompile.compress.quantize.edges.rows import integer_rows

if TYPE_CHECKING:
    from edgecompile.compress.quantize.insert import ProductScheme


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
    reasons: tuple[Reason, ...]
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
        uses, request, reasons = Uses(main), Request(ranges, products, dynamic, integer), list[Reason]()
        chosen = integer_products(uses, request, reasons)
        static = [product for product in chosen if product.name not in dynamic]
        rows = integer_rows(uses, request, reasons)
        read = _Read()
        for product in static:
            read.by_product(product, _operands(uses, product))
        for variable in rows:
            read.by(variable, [source_of(uses, uses.known_call(variable).args[0])])
            read.deciders.setdefault(variable.name, variable.name)
        candidates = Candidates.of(uses, ranges, static, read.tensors)
        for variable, sources in needed_candidates(uses, candidates, read.tensors, read.products, reasons):
            read.by(variable, sources)
        return Edges(
            products=frozenset(chosen),
            dynamic=frozenset(chosen) - frozenset(static),
            quantized=frozenset(read.tensors),
            integer=frozenset(rows),
            reasons=tuple(reasons),
            deciders=read.deciders,
            _readers=read.products,
            _seconds=frozenset(read.seconds),
            _sources={variable: source_of(uses, variable) for variable in uses.variables},
        )

    def source_of(self, variable: relax.Var) -> relax.Var:
        """The tensor whose numbers a variable only moves."""
        return self._sources.get(variable, variable)

    def is_symmetric(self, variable: relax.Var, schemes: Mapping[str, ProductScheme]) -> bool:
        """True where a product that reads the variable asks for a zero point of zero, or is cheaper with it."""
        return variable in self._seconds or any(
            schemes[reader.name].symmetric_activations for reader in self._readers[variable] if reader in self.products
        )


@dataclass(frozen=True)
class _Read:
    """The tensors that integer operators read.

    Attributes:
        tensors: all of them.
        products: by tensor, those that read it.
        seconds: the second operands of products.
        deciders: see `Edges`.
    """

    tensors: set[relax.Var] = field(default_factory=set)
    products: dict[relax.Var, list[relax.Var]] = field(default_factory=lambda: defaultdict(list))
    seconds: set[relax.Var] = field(default_factory=set)
    deciders: dict[str, str] = field(default_factory=dict)

    def by_product(self, product: relax.Var, operands: Sequence[relax.Var]) -> None:
        """A product reads these beside a weight."""
        self.seconds.update(operands[1:])
        for operand in operands:
            self.products[operand].append(product)
        self.by(product, operands)

    def by(self, reader: relax.Var, tensors: Sequence[relax.Var]) -> None:
        """An operator reads these."""
        self.tensors.update(tensors)
        for tensor in tensors:
            self.deciders.setdefault(tensor.name, reader.name)


def _operands(uses: Uses, product: relax.Var) -> list[relax.Var]:
    """The tensors that a product reads beside a weight."""
    return [source_of(uses, argument) for argument in uses.known_call(product).args if isinstance(argument, relax.Var)]
