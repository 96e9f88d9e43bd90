"""`Strict`: the base of everything in a recipe, and the one line that a wrong recipe gets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from edgecompile.errors import InvalidRecipeError

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value of a recipe."""

_NEEDED = "needed "

StrictModel = TypeVar("StrictModel", bound=BaseModel)


class Strict(BaseModel):
    """Unknown keys, conversions between types and changes after the fact are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(unknown("key", key, cls.model_fields))
        return data


def unknown(what: str, found: object, valid: Sequence[str] | dict[str, Any]) -> str:
    """`unknown key 'bitz', did you mean 'bits'? One of bits, dtype was needed`."""
    near = difflib.get_close_matches(str(found), list(valid), n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}? One" if near else "; one"
    return f"unknown {what} {found!r:.60}{hint} of {', '.join(valid)} was needed"


def validate(
    model: type[StrictModel], data: object, prefix: Place, describe_place: Callable[[Place], str]
) -> StrictModel:
    """Check `data` against `model`.

    Args:
        model: what it shall be.
        data: of dicts, lists, strings, numbers and models.
        prefix: where `data` stands in its recipe.
        describe_place: what to call a place of the recipe, such as "r.yaml, line 3, at steps[0].default".

    Raises:
        InvalidRecipeError: the first thing that is wrong, in one line, with its place.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        place, value = _follow(data, errors[0]["loc"])
        same = [found for found in errors if _follow(data, found["loc"])[0] == place]  # one for each type of a union
        wanted = _alternatives(same, value) if len(same) > 1 else _message(errors[0], value)
        raise InvalidRecipeError(f"{describe_place((*prefix, *place))}: {wanted}") from error


def _alternatives(errors: Sequence[Mapping[str, Any]], value: object) -> str:
    """`needed 'auto' or greater than or equal to 1, found 0`: what each type of a union says, in one sentence."""
    messages = [_message(error, value) for error in errors]
    if any(not message.startswith(_NEEDED) for message in messages):
        return messages[0]
    found = f", found {value!r:.60}"
    wanted = dict.fromkeys(message.removeprefix(_NEEDED).removesuffix(found) for message in messages)
    return f"{_NEEDED}{' or '.join(wanted)}{found}"


def _message(error: Mapping[str, Any], value: object) -> str:
    """What pydantic says, in the words of all other messages."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] == "union_tag_not_found":
        return f"needed the key {context['discriminator']}"
    if error["type"] == "union_tag_invalid":
        return f"needed one of {context['expected_tags']}, found {context['tag']!r:.60}"
    return f"{error['msg'].replace('Input should be ', _NEEDED)}, found {value!r:.60}"


def _follow(data: object, location: Place) -> tuple[Place, object]:
    """The keys of pydantic's location that exist in the data (it adds the tags of unions), and what is there."""
    place: list[str | int] = []
    for key in location:
        if isinstance(data, dict) and key in data:
            data = data[key]
            place.append(key)
    return tuple(place), data


def spell(place: Place) -> str:
    """`steps[0].default.weights`."""
    text = ""
    for key in place:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text or "the top level"
