"""`LowRankStep`: which layers are factorised, how, and to which ranks."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompile.compress.step import Options, Step, number_or_word
from edgecompile.compress.strict import Strict, unknown
from edgecompile.errors import InvalidRecipeError

OPERATORS = ("matmul", "nn.conv2d")

MethodName = Literal["auto", "svd", "spatial", "channel", "tucker", "cp"]
Pattern = Annotated[str, Field(min_length=1, max_length=1024)]
Share = Annotated[float, Field(gt=0, le=1)]
Rank = Annotated[int, Field(ge=1)]

Reconstruction = Literal["auto", "none", "bias", "least_squares"]

CRITERIA = ("energy", "rank", "ratio")
BUDGETS = ("params", "macs", "latency")
_FROM_FILE = ("sensitivity", "drop")
_OTHER_OPTIONS = ("method", "activations", "skip", "reconstruct")


class Budget(Strict):
    """What the whole model may take, of what it took before; one of the three.

    Attributes:
        params: elements of all constants.
        macs: multiply-accumulates of one inference.
        latency: time of one inference, measured on the target.
    """

    params: Share | None = None
    macs: Share | None = None
    latency: Share | None = None

    @model_validator(mode="after")
    def _check(self) -> Budget:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"a budget is one of {', '.join(BUDGETS)}, found {found}")
        return self

    @property
    def what(self) -> str:
        """The key that is given."""
        return next(name for name in BUDGETS if getattr(self, name) is not None)

    @property
    def share(self) -> float:
        """Its value."""
        share: float = getattr(self, self.what)
        return share


class LayerRule(Strict):
    """How one layer is factorised; at most one of energy, rank and ratio says how far.

    In a rule of a recipe, a key that is not given is taken from the rules before it.

    Attributes:
        method: "svd" of a matrix; of a convolution larger than 1x1 "spatial" (kx1, 1xk), "channel" (kxk, 1x1),
            "tucker" (1x1, kxk, 1x1) or "cp" (1x1, depthwise kxk, 1x1). "auto" is the cheapest of all but cp. A
            matrix product and a 1x1 convolution have one form, svd, whatever is given, and "svd" of a larger
            convolution is "channel", the singular value decomposition of its weight as a matrix.
        energy: the share of the squared singular values to keep, of each mode of the weight.
        rank: of the smaller layers; two for tucker, of its inputs and outputs. "vbmf" estimates it from the weight.
        ratio: the rank by the highest one.
        activations: minimise the error of the layer's results on the data, where there are any; else of the weight.
        skip: the layer stays as it is; nothing else counts then.
    """

    method: MethodName = "auto"
    energy: Share | None = None
    rank: Literal["vbmf"] | Rank | Annotated[list[Rank], Field(min_length=2, max_length=2)] | None = None
    ratio: Share | None = None
    activations: bool = True
    skip: bool = False

    @model_validator(mode="after")
    def _check(self) -> LayerRule:
        given = [name for name in CRITERIA if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a layer has one of {', '.join(CRITERIA)}, found {' and '.join(given)}")
        return self

    @property
    def criterion(self) -> str | None:
        """Which of energy, rank and ratio says how far."""
        return next((name for name in CRITERIA if getattr(self, name) is not None), None)

    @property
    def has_rank(self) -> bool:
        """True where the rule alone decides how far."""
        return self.criterion is not None

    def without_rank(self) -> LayerRule:
        """This rule, saying nothing of how far."""
        return self.model_copy(update=dict.fromkeys(CRITERIA))

    def changed_by(self, rule: LayerRule) -> LayerRule:
        """This rule with the keys that the other was given; its energy, rank or ratio replaces the former one."""
        given: dict[str, Any] = {name: getattr(rule, name) for name in rule.model_fields_set}
        if rule.has_rank:
            given = {**dict.fromkeys(CRITERIA), **given}
        return self.model_copy(update=given)


class LowRankStep(Step):
    """Settings of the layers: the default, changed by operator, changed by layer name; of two, the later one wins.

        kind: lowrank
        budget: {params: 0.33}
        default: {method: tucker}
        operators:
          matmul: {energy: 0.99}
        layers:
          "stem_*": {skip: true}
          "*_conv2_0": {method: spatial, rank: 32}
        reconstruct: least_squares

    Attributes:
        budget: of the whole model; the ranks of layers without energy, rank or ratio are chosen to meet it. Without a
            budget these layers stay as they are.
        sensitivity: a file of `analyze`: each layer without energy, rank or ratio has the least share of its parameters
            with which, the layer alone, the metric was measured to fall by no more than `drop`; in place of a budget.
        drop: see there.
        default: of all layers.
        operators: by Relax's name of an operator, "nn.conv2d" or "matmul".
        layers: by a pattern of layer names, where * stands for any text, ? for one character and [ab] for one of them;
            each must match a layer of the model.
        reconstruct: what is fitted to the calibration data afterwards, layer by layer, so that each answers what it did
            before: "bias", or "least_squares" for its weights too, of a factorised layer those of the last factor;
            "auto" is "least_squares" where there are data. A layer that has no bias gets one, which no budget counts.
    """

    names: ClassVar[tuple[str, ...]] = ("lowrank",)

    kind: Literal["lowrank"] = "lowrank"
    budget: Budget | None = None
    sensitivity: Annotated[str, Field(min_length=1)] | None = None
    drop: Annotated[float, Field(ge=0)] = 0.01
    default: LayerRule = LayerRule()
    operators: dict[str, LayerRule] = Field(default_factory=dict)
    layers: dict[Pattern, LayerRule] = Field(default_factory=dict)
    reconstruct: Reconstruction = "auto"

    @classmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """See `Step`. `rank=8x16` gives two ranks; `skip=PATTERN` leaves layers as they are, and may be repeated."""
        data: dict[str, Any] = {"kind": "lowrank", "default": {}, "layers": {}}
        for key, text in options:
            if key in BUDGETS and text is not None:
                data.setdefault("budget", {})[key] = number_or_word(text)
            elif key in _FROM_FILE and text is not None:
                data[key] = text if key == "sensitivity" else number_or_word(text)
            elif key == "skip" and text:
                data["layers"][text] = {"skip": True}
            elif key == "reconstruct" and text:
                data[key] = text
            elif key == "activations":
                data["default"][key] = {None: True, "on": True, "off": False}.get(text, text)
            elif key == "rank" and text is not None and re.fullmatch(r"\d+(x\d+)+", text):
                data["default"][key] = [number_or_word(part) for part in text.split("x")]
            elif key in ("method", *CRITERIA) and text is not None:
                data["default"][key] = text if key == "method" else number_or_word(text)
            else:
                raise InvalidRecipeError(unknown("option", key, [*BUDGETS, *CRITERIA, *_FROM_FILE, *_OTHER_OPTIONS]))
        return data

    @model_validator(mode="after")
    def _check(self) -> LowRankStep:
        for operator in self.operators:
            if operator not in OPERATORS:
                raise ValueError(unknown("operator", operator, OPERATORS))
        rules = [self.default, *self.operators.values(), *self.layers.values()]
        ways = (*BUDGETS, *CRITERIA, "sensitivity")
        if self.budget is None and self.sensitivity is None and not any(rule.has_rank for rule in rules):
            raise ValueError(f"nothing says how far: needed one of {', '.join(ways)}")
        if self.sensitivity is not None and (self.budget is not None or self.default.has_rank):
            given = self.budget.what if self.budget is not None else self.default.criterion
            raise ValueError(f"how far is one of {', '.join(ways)}, found {given} and sensitivity")
        if self.budget is not None and self.default.has_rank:
            raise ValueError(
                f"{self.default.criterion} of all layers leaves nothing to choose for the budget of "
                f"{self.budget.what}; give one of them"
            )
        return self

    def without_ranks(self) -> LowRankStep:
        """The step with a budget that all layers meet as they are, and nothing else that says how far."""

        def free(rules: dict[str, LayerRule]) -> dict[str, LayerRule]:
            return {name: rule.without_rank() for name, rule in rules.items()}

        return self.model_copy(
            update={
                "budget": Budget(params=1.0),
                "sensitivity": None,
                "default": self.default.without_rank(),
                "operators": free(self.operators),
                "layers": free(self.layers),
            }
        )
