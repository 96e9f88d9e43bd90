"""`SparsifyStep`: which weights become zero, and how many."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from edgecompile.compress.quantize.quantizable import WEIGHTED_OPERATORS
from edgecompile.compress.step import Options, Step, number_or_word
from edgecompile.compress.strict import Strict, unknown
from edgecompile.errors import InvalidRecipeError

_MOST = 1024  # of M in N:M


def _check_n_of_m(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", text)
    if found is None or not 1 <= int(found[1]) < int(found[2]) <= _MOST:
        raise ValueError(f"needed N:M such as 2:4, N weights of M that stay, 1 <= N < M <= {_MOST}, found {text!r:.40}")
    return text


Sparsity = Annotated[float, Field(gt=0, lt=1)]
NofM = Annotated[str, AfterValidator(_check_n_of_m)]
Pattern = Annotated[str, Field(min_length=1, max_length=1024)]


class LayerRule(Strict):
    """What a rule says of layers; a key that it does not give stays as it was, but one of the first two ends the other.

    Attributes:
        sparsity: of the layer's weights that become zero.
        pattern: "N:M", N of every M weights along the input channels stay.
        skip: the layers stay as they are.
    """

    sparsity: Sparsity | None = None
    pattern: NofM | None = None
    skip: bool = False

    @model_validator(mode="after")
    def _check(self) -> LayerRule:
        if self.sparsity is not None and self.pattern is not None:
            raise ValueError("needed sparsity or pattern, found both")
        return self

    def changed_by(self, rule: LayerRule) -> LayerRule:
        """This rule with what another one gives."""
        update = {key: getattr(rule, key) for key in rule.model_fields_set}
        for key, other in (("sparsity", "pattern"), ("pattern", "sparsity")):
            if update.get(key) is not None:
                update[other] = None
        return self.model_copy(update=update)

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        """The numbers of the pattern."""
        if self.pattern is None:
            return None
        n, m = self.pattern.split(":")
        return int(n), int(m)


class SparsifyStep(Step):
    """How many weights become zero, the least important ones; of two rules for a layer, the later one wins.

        kind: sparsify
        sparsity: 0.8
        scope: uniform
        layers:
          "stem_*": {skip: true}
          "head": {pattern: "2:4"}

    Zeros take no bytes, and as much time as other weights: kernels multiply by them too.

    Attributes:
        sparsity: of the weights that become zero, of each layer or of all together; see `scope`.
        pattern: "N:M", N of every M consecutive weights along the input channels stay. One of these two, or rules that
            give them.
        scope: "global" takes the least important weights of the model, but of layers with rules of their own;
            "uniform" the same share of each layer, which costs more: small layers can spare fewer.
        importance: "magnitude", or "wanda", which weighs it by what the layer reads and needs calibration data.
        default: of all layers.
        operators: by Relax's name of the layer's operator.
        layers: by a pattern of layer names, where * stands for any text; each must match a layer with weights.
    """

    names: ClassVar[tuple[str, ...]] = ("sparse",)

    kind: Literal["sparsify"] = "sparsify"
    sparsity: Sparsity | None = None
    pattern: NofM | None = None
    scope: Literal["uniform", "global"] = "global"
    importance: Literal["magnitude", "wanda"] = "magnitude"
    default: LayerRule = LayerRule()
    operators: dict[str, LayerRule] = Field(default_factory=dict)
    layers: dict[Pattern, LayerRule] = Field(default_factory=dict)

    @classmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """See `Step`; `skip=PATTERN` leaves layers as they are, and may be repeated."""
        data: dict[str, object] = {"kind": "sparsify"}
        layers: dict[str, dict[str, bool]] = {}
        for key, text in options:
            if key == "skip" and text:
                layers[text] = {"skip": True}
            elif key not in _OPTIONS:
                raise InvalidRecipeError(unknown("option", key, [*_OPTIONS, "skip"]))
            elif not text:
                raise InvalidRecipeError(f"the option {key!r} needs a value, such as {key}={_OPTIONS[key]}")
            else:
                data[key] = number_or_word(text) if key == "sparsity" else text
        return data | ({"layers": layers} if layers else {})

    @model_validator(mode="after")
    def _check(self) -> SparsifyStep:
        if self.sparsity is not None and self.pattern is not None:
            raise ValueError("needed sparsity or pattern, found both")
        rules = [self.base, *self.operators.values(), *self.layers.values()]
        if all(rule.sparsity is None and rule.pattern is None for rule in rules):
            raise ValueError("needed sparsity, pattern, or rules with one of them, found neither; give sparsity=0.8")
        if "scope" in self.model_fields_set and self.base.sparsity is None:
            raise ValueError("scope is for a sparsity of all layers, found none; leave it out, or give sparsity=0.8")
        for operator in self.operators:
            if operator not in WEIGHTED_OPERATORS:
                raise ValueError(unknown("operator", operator, WEIGHTED_OPERATORS))
        return self

    @property
    def base(self) -> LayerRule:
        """What holds for all layers."""
        return LayerRule(sparsity=self.sparsity, pattern=self.pattern).changed_by(self.default)


_OPTIONS = {"sparsity": "0.8", "pattern": "2:4", "scope": "uniform", "importance": "wanda"}
