"""`Recipe`: the compression of a model as an ordered list of steps."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, SerializeAsAny

from edgecompile.compress.kinds import KINDS, STAGES
from edgecompile.compress.step import Step
from edgecompile.compress.strict import Place, Strict, spell, unknown, validate
from edgecompile.compress.yaml_text import YamlText
from edgecompile.errors import InvalidRecipeError

RecipeSource: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Recipe"

_SUFFIXES = (".yaml", ".yml", ".json")  # JSON is YAML


class Recipe(Strict):
    """What shall be done to a model, in order; nothing in it depends on a model or a device.

    A file is YAML. Each step has a kind; see `QuantizeStep` and
    `LowRankStep` for the keys of that kind. A step may also be a built-in
    name with its options.

        steps:
          - kind: quantize
            default: {calibration: {method: kl}}
            layers:
              "stem_*": {skip: true}
          - w4,group_size=64

    Attributes:
        steps: done one after the other.
    """

    steps: Annotated[tuple[SerializeAsAny[Step], ...], Field(min_length=1)]

    @classmethod
    def parse(cls, source: RecipeSource) -> Recipe:
        """Read a recipe.

        Args:
            source: a recipe; a dict of what the file holds; the path of a file that ends in .yaml, .yml or .json; or
                built-in names with options, joined by "+": "int8", "int8,calibration=kl,skip=stem_*", "w4+fp16".

        Raises:
            InvalidRecipeError: what is wrong with it, in one line, with the place.
        """
        if isinstance(source, Recipe):
            return source
        if isinstance(source, Mapping):
            return _from_data(dict(source), lambda place: f"the recipe, at {spell(place)}")
        if isinstance(source, os.PathLike) or (isinstance(source, str) and _is_path(source)):
            return _from_file(Path(source))
        if not isinstance(source, str):
            raise InvalidRecipeError(f"a recipe is a path, a name, a dict or a Recipe, not a {type(source).__name__}")
        return _from_data({"steps": source.split("+")}, lambda place: f"the recipe {source!r:.80}, at {spell(place)}")

    def to_data(self) -> dict[str, Any]:
        """What a file would hold, as dicts, lists, strings and numbers; `parse` makes an equal recipe of it."""
        return {"steps": [step.to_data() for step in self.steps]}


def _is_path(text: str) -> bool:
    """True for what ends as a file's name does, unless that is an option's value: `prune,sensitivity=found.json`."""
    first = re.split(r"[,+]", text, maxsplit=1)[0].strip()
    named = any(first in kind.model.names for kind in KINDS.values()) and first != text.strip()
    return text.lower().endswith(_SUFFIXES) and not named


def _from_file(path: Path) -> Recipe:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise InvalidRecipeError(f"the recipe {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidRecipeError(f"the recipe {path} is no UTF-8 text; save it as such") from error
    document = YamlText(text, str(path))
    return _from_data(document.data, lambda place: f"{path}, line {document.line(place)}, at {spell(place)}")


def _from_data(data: object, describe_place: Callable[[Place], str]) -> Recipe:
    if not isinstance(data, dict) or not isinstance(data.get("steps"), (list, tuple)) or not data["steps"]:
        found = "no key 'steps'" if isinstance(data, dict) and "steps" not in data else "something else"
        raise InvalidRecipeError(
            f"{describe_place(())}: needed 'steps:' with at least one step under it, found {found}"
        )
    for key in data:
        if key != "steps":
            raise InvalidRecipeError(f"{describe_place((key,))}: {unknown('key', key, ['steps'])}")
    steps = tuple(_step(step, ("steps", index), describe_place) for index, step in enumerate(data["steps"]))
    _check_order(steps, describe_place)
    return Recipe(steps=steps)


def _check_order(steps: Sequence[Step], describe_place: Callable[[Place], str]) -> None:
    for index, (step, following) in enumerate(itertools.pairwise(steps), 1):
        before, after = (STAGES.index(KINDS[found.kind].stage) for found in (step, following))
        if after < before:
            raise InvalidRecipeError(
                f"{describe_place(('steps', index))}: {following.kind!r} has to come before {step.kind!r}: first "
                f"what changes shapes, then zeros, then bits"
            )


def _step(data: object, place: Place, describe_place: Callable[[Place], str]) -> Step:
    if isinstance(data, Step):
        return data
    if isinstance(data, str):
        return _named_step(data, place, describe_place)
    if not isinstance(data, dict) or "kind" not in data:
        raise InvalidRecipeError(
            f"{describe_place(place)}: a step is a built-in name, or has 'kind', one of {', '.join(KINDS)}"
        )
    if not isinstance(data["kind"], str) or data["kind"] not in KINDS:
        raise InvalidRecipeError(f"{describe_place((*place, 'kind'))}: {unknown('kind', data['kind'], list(KINDS))}")
    return validate(KINDS[data["kind"]].model, data, place, describe_place)


def _named_step(text: str, place: Place, describe_place: Callable[[Place], str]) -> Step:
    name, *rest = (part.strip() for part in text.split(","))
    options = [(key.strip(), value.strip() if sign else None) for key, sign, value in (o.partition("=") for o in rest)]
    for kind in KINDS.values():
        if name in kind.model.names:
            try:
                data = kind.model.from_name(name, options)
            except InvalidRecipeError as error:
                raise InvalidRecipeError(f"{describe_place(place)}: {error}") from error
            return validate(kind.model, data, place, describe_place)
    names = [name for kind in KINDS.values() for name in kind.model.names]
    raise InvalidRecipeError(f"{describe_place(place)}: {unknown('name', name, names)}, or the path of a .yaml file")
