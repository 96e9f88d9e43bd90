"""`DepthStep`: which residual blocks go, and how many."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompile.compress.step import Options, Step, number_or_word
from edgecompile.compress.strict import unknown
from edgecompile.errors import InvalidRecipeError

Share = Annotated[float, Field(gt=0, lt=1)]
Pattern = Annotated[str, Field(min_length=1, max_length=1024)]

_BUDGETS = ("blocks", "macs", "params")


class DepthStep(Step):
    """How many residual blocks go, those first that change least what passes through them.

        kind: depth
        blocks: 2
        keep: ["blocks_0_*"]

    Attributes:
        blocks: how many go.
        macs, params: what stays of the model's multiply-accumulates, or parameters, from 0 to 1. One of these three.
        keep: patterns of the names of blocks that stay, as `inspect --groups` shows them.
        reconstruct: what is fitted to the calibration data afterwards; see `PruneStep`.
    """

    names: ClassVar[tuple[str, ...]] = ("depth",)

    kind: Literal["depth"] = "depth"
    blocks: Annotated[int, Field(ge=1)] | None = None
    macs: Share | None = None
    params: Share | None = None
    keep: tuple[Pattern, ...] = ()
    reconstruct: Literal["none", "bias", "least_squares"] = "least_squares"

    @classmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """See `Step`; `keep=PATTERN` may be repeated."""
        data: dict[str, object] = {"kind": "depth"}
        keep = [text for key, text in options if key == "keep" and text]
        for key, text in options:
            if key == "keep":
                continue
            if key not in (*_BUDGETS, "reconstruct"):
                raise InvalidRecipeError(unknown("option", key, [*_BUDGETS, "reconstruct", "keep"]))
            data[key] = number_or_word(text or "") if key in _BUDGETS else text
        return data | ({"keep": tuple(keep)} if keep else {})

    @model_validator(mode="after")
    def _check(self) -> DepthStep:
        given = [name for name in _BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needed one of {', '.join(_BUDGETS)}, found {' and '.join(given) or 'none'}")
        return self
