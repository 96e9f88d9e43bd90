"""`QuantizeStep`: which layers are quantized, and how."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompile.compress.quantize.combinations import why_impossible
from edgecompile.compress.quantize.named import NAMED, from_name
from edgecompile.compress.quantize.quantizable import EMBEDDING_OPERATORS, OTHER_OPERATORS, WEIGHTED_OPERATORS
from edgecompile.compress.quantize.scheme import LayerScheme
from edgecompile.compress.step import Options, Step
from edgecompile.compress.strict import unknown

Pattern = Annotated[str, Field(min_length=1, max_length=1024)]


class QuantizeStep(Step):
    """Settings of the layers: the default, changed by operator, changed by layer name; of two, the later one wins.

        kind: quantize
        default:
          weights: {dtype: int8, granularity: per_channel}
          activations: {dtype: int8, symmetric: false, mode: static}
          calibration: {method: percentile, percent: 99.99}
        operators:
          matmul: {activations: {mode: dynamic}}
        layers:
          "stem_*": {skip: true}
          "*_conv2_0": {rounding: adaround}

    Attributes:
        default: of all layers.
        operators: by Relax's name of an operator, such as "nn.conv2d"; a key that a rule does not give stays as it was.
        layers: by a pattern of layer names, where * stands for any text, ? for one character and [ab] for one of them;
            each must match a layer of the model.
    """

    names: ClassVar[tuple[str, ...]] = tuple(NAMED)

    kind: Literal["quantize"] = "quantize"
    default: LayerScheme = LayerScheme()
    operators: dict[str, LayerScheme] = Field(default_factory=dict)
    layers: dict[Pattern, LayerScheme] = Field(default_factory=dict)

    @classmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """See `Step`."""
        return from_name(name, options)

    @model_validator(mode="after")
    def _check(self) -> QuantizeStep:
        known = (*WEIGHTED_OPERATORS, *EMBEDDING_OPERATORS, *OTHER_OPERATORS)
        for operator in self.operators:
            if operator not in known:
                raise ValueError(unknown("operator", operator, known))
        reason = why_impossible(self.default)
        if reason:
            raise ValueError(f"default: {reason}")
        return self
