"""`PruneStep`: which channels go, and how many."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompile.compress.step import Options, Step, number_or_word
from edgecompile.compress.strict import Strict, unknown
from edgecompile.errors import InvalidRecipeError

Ratio = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Pattern = Annotated[str, Field(min_length=1, max_length=1024)]
Criterion = Literal["l1", "l2", "geometric_median", "bn_scale", "average_rank", "apoz", "taylor", "gradient", "random"]

BUDGETS = ("macs", "params", "bytes", "latency")
"""What a recipe can say of the whole model."""

_PRODUCERS = (
    *("nn.conv1d", "nn.conv2d", "nn.conv3d", "nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose"),
    "matmul",
)


class GroupRule(Strict):
    """What a rule says of groups of channels; a key that it does not give stays as it was.

    Attributes:
        ratio: of the channels that go, from 0 to below 1; None leaves that to the selection.
        skip: the groups stay whole.
    """

    ratio: Ratio | None = None
    skip: bool = False

    def changed_by(self, rule: GroupRule) -> GroupRule:
        """This rule with what another one gives."""
        return self.model_copy(update={key: getattr(rule, key) for key in rule.model_fields_set})


class PruneStep(Step):
    """How many channels go, by their importance; of two rules for a layer, the later one wins.

        kind: prune
        macs: 0.5
        selection: global
        importance: l2
        layers:
          "stem_*": {skip: true}
          "*_conv1": {ratio: 0.25}

    Attributes:
        ratio: of the channels that go: of each group where the selection is uniform, else of all groups together.
        macs, params, bytes, latency: what stays of the model's multiply-accumulates, parameters, bytes of weights, or
            milliseconds on the target, from 0 to 1. At most one of these five, or a sensitivity.
        selection: "uniform" takes the same share of each group, "global" the least important channels of the model,
            "isomorphic" the least important among layers with the same structure, so many of each structure; "auto" is
            "uniform" for a ratio and "global" for all else.
        sensitivity: a file of `analyze`: of each group so much goes that the metric falls by no more than `drop` where
            that group alone is pruned; in place of a ratio or budget.
        drop: see there.
        importance: the criterion by which channels are compared.
        round_to: what stays of a group becomes a multiple of it; "auto" is what the target's vectors take.
        most: of a group that may go.
        reconstruct: what is fitted to the calibration data afterwards: "bias", or "least_squares" for the weights of
            the layers that read what is left; "auto" is "least_squares" where there are data.
        seed: of what is random.
        default: of all groups.
        operators: by Relax's name of the operator whose outputs are the channels.
        layers: by a pattern of layer names, where * stands for any text; each must match a layer whose outputs can go.
    """

    names: ClassVar[tuple[str, ...]] = ("prune",)

    kind: Literal["prune"] = "prune"
    ratio: Ratio | None = None
    macs: Share | None = None
    params: Share | None = None
    bytes: Share | None = None
    latency: Share | None = None
    selection: Literal["auto", "uniform", "global", "isomorphic"] = "auto"
    sensitivity: Annotated[str, Field(min_length=1)] | None = None
    drop: Annotated[float, Field(ge=0)] = 0.01
    importance: Criterion = "l2"
    round_to: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    most: Share = 0.9
    reconstruct: Literal["auto", "none", "bias", "least_squares"] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    default: GroupRule = GroupRule()
    operators: dict[str, GroupRule] = Field(default_factory=dict)
    layers: dict[Pattern, GroupRule] = Field(default_factory=dict)

    @property
    def budget(self) -> tuple[str, float] | None:
        """Of what, and how much of it stays; None where ratios say all."""
        return next(((name, value) for name in BUDGETS if (value := getattr(self, name)) is not None), None)

    @property
    def method(self) -> Literal["uniform", "global", "isomorphic"]:
        """The selection, "auto" decided."""
        if self.selection != "auto":
            return self.selection
        return "global" if self.ratio is None else "uniform"

    @classmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """See `Step`; `skip=PATTERN` leaves layers as they are, and may be repeated."""
        data: dict[str, object] = {"kind": "prune"}
        layers: dict[str, dict[str, bool]] = {}
        for key, text in options:
            if key == "skip" and text:
                layers[text] = {"skip": True}
            elif key in _OPTIONS and text is not None:
                data[key] = number_or_word(text)
            elif key in _OPTIONS:
                raise InvalidRecipeError(f"the option {key!r} needs a value, such as {key}={_OPTIONS[key]}")
            else:
                raise InvalidRecipeError(unknown("option", key, [*_OPTIONS, "skip"]))
        return data | ({"layers": layers} if layers else {})

    @model_validator(mode="after")
    def _check(self) -> PruneStep:
        amounts = ("ratio", *BUDGETS, "sensitivity")
        given = [name for name in amounts if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"needed one of {', '.join(amounts)}, found {' and '.join(given)}")
        rules = [self.default, *self.operators.values(), *self.layers.values()]
        if not given and all(rule.ratio is None for rule in rules):
            raise ValueError(f"needed one of {', '.join(amounts)}, or rules with a ratio, found none")
        for operator in self.operators:
            if operator not in _PRODUCERS:
                raise ValueError(unknown("operator", operator, _PRODUCERS))
        return self


_OPTIONS = {
    **dict.fromkeys(("ratio", *BUDGETS), "0.5"),
    "sensitivity": "FILE.json",
    "drop": "0.01",
    "selection": "global",
    "importance": "l2",
    "round_to": "8",
    "most": "0.9",
    "reconstruct": "least_squares",
    "seed": "0",
}
