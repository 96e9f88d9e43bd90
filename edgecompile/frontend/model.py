"""`Model`: what every frontend makes and every later step takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecompile.decision import OUTCOME_STEP, Decision
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from edgecompile.layers import Layer

Reference = Callable[[Sequence["np.ndarray"]], "list[np.ndarray]"]


@dataclass(frozen=True)
class TensorSpec:
    """The name, shape and dtype of one input or output.

    Attributes:
        name: unique among the inputs, or among the outputs.
        shape: one entry per dimension; an `int`, or the name of a dimension that is not known before run time.
        dtype: a NumPy dtype name, such as "float32".
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str

    @property
    def is_static(self) -> bool:
        """True when every dimension is known."""
        return all(isinstance(dim, int) for dim in self.shape)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class CompressionStep:
    """What one step of a recipe did to a model.

    Attributes:
        kind: of the step, such as "quantize".
        recipe: the step as data; see `Recipe.to_data`.
        decisions: what was changed, what was left as it was, and why.
        figures: what was measured for a decision, by its subject: numbers by names with units, such as "SNR dB".
    """

    kind: str
    recipe: Mapping[str, Any]
    decisions: tuple[Decision, ...] = ()
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __str__(self) -> str:
        outcome = self.outcome
        if outcome is not None:
            return f"{self.kind}: {outcome.reason}"
        kept = sum(decision.kept for decision in self.decisions)
        return f"{self.kind}: {kept} of {len(self.decisions)} decisions changed a layer"

    @property
    def outcome(self) -> Decision | None:
        """What became of the whole step, where the step says so; kept where it changed the model."""
        return next((decision for decision in self.decisions if decision.step == OUTCOME_STEP), None)


@dataclass(frozen=True)
class Model:
    """A Relax module whose function `main` takes the inputs alone, its weights bound as constants.

    Attributes:
        module: `main(input, ...) -> output` or `-> (output, ...)`, in one dataflow block where the model has no control
            flow; operators are high-level Relax operators (`relax.nn.conv2d`), not yet legalised.
        inputs: in the order of `main`'s parameters.
        outputs: in the order of `main`'s results.
        name: a C identifier; it names the library and its symbols.
        source: "onnx" or "torch".
        opset: the ONNX opset of the default domain; None for other sources.
        sample_inputs: the example inputs the user gave, by input name; empty when none were.
        reference: the original framework's own answer for the same inputs, in the order of `inputs` and `outputs`;
            None when no framework at hand can run the model.
        reference_name: what `reference` runs on, such as "torch 2.13.0" or "onnxruntime 1.32.0".
        history: the compression steps that made it what it is, in order; empty for a model as it was loaded.
    """

    module: tvm.IRModule
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str
    source: str
    opset: int | None = None
    sample_inputs: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    reference: Reference | None = field(default=None, compare=False, repr=False)
    reference_name: str = ""
    history: tuple[CompressionStep, ...] = ()

    @property
    def is_static(self) -> bool:
        """True when every input dimension is known."""
        return all(spec.is_static for spec in self.inputs)

    @property
    def layers(self) -> list[Layer]:
        """The operator calls in order of execution, with their sizes and costs."""
        from edgecompile.layers import layers_of

        return layers_of(self.module)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> int:
        """Elements of all constants, each constant once."""
        from edgecompile.layers import constants_of

        return sum(constant.elements for constant in constants_of(self.module))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants, each constant once."""
        from edgecompile.layers import constants_of

        return sum(constant.bytes for constant in constants_of(self.module))

    def __str__(self) -> str:
        header = f"{self.name} ({self.source}{f', opset {self.opset}' if self.opset else ''})"
        tensors = [f"  in  {spec}" for spec in self.inputs] + [f"  out {spec}" for spec in self.outputs]
        layers = self.layers
        cost = f"  {len(layers)} operators, {self.macs:,} MACs, {self.params:,} parameters, {self.weight_bytes:,} bytes"
        return "\n".join([header, *tensors, cost, *(f"  {step}" for step in self.history)])


def check_model(found: object, what: str) -> None:
    """
    Args:
        what: the function that was called, for people.

    Raises:
        InvalidInputError: something else than a model was given, such as a path.
    """
    if not isinstance(found, Model):
        raise InvalidInputError(f"{what} needs a model, found {type(found).__name__}: give it edgecompile.load(...)")
