"""`Step`: one entry of a recipe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from edgecompile.compress.strict import Strict

Options = Sequence[tuple[str, str | None]]
"""What follows a built-in name: `calibration=kl` is ("calibration", "kl"), and `equalize` is ("equalize", None)."""


def number_or_word(text: str) -> object:
    """The value of an option: a whole number, a number, or the text as it is."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


class Step(Strict):
    """What a compression step shall do, as data.

    A kind of step is a subclass with a field `kind: Literal["name"] = "name"`, and a line in `kinds.py`.

    Attributes:
        kind: which one it is.
    """

    names: ClassVar[tuple[str, ...]] = ()
    """The built-in names of the kind, such as "int8-dynamic"."""

    kind: str

    def model_post_init(self, context: Any) -> None:
        """The kind counts as given, so that it is never left out where only what was given is written."""
        self.__pydantic_fields_set__.add("kind")

    def to_data(self) -> dict[str, Any]:
        """The step as dicts, lists, strings and numbers, with the keys that were given."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    @abstractmethod
    def from_name(cls, name: str, options: Options) -> dict[str, object]:
        """The data of the step that a built-in name and its options stand for.

        Raises:
            InvalidRecipeError: an option does not exist.
        """
