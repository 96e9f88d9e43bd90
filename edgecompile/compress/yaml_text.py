"""Reads YAML so that an error can name the line."""

from __future__ import annotations

from typing import Any

from edgecompile.compress.strict import Place
from edgecompile.errors import InvalidRecipeError

LIMIT_CHARACTERS = 1 << 20  # a rule for each layer of the largest network needs a tenth of it
LIMIT_DEPTH = 32  # a recipe has 6 levels; PyYAML recurses once or twice for each


class YamlText:
    """A YAML document: its data, and the line of each value.

    Args:
        text: at most `LIMIT_CHARACTERS`; one document without anchors and without two equal keys in a mapping.
        name: of the file, for errors.

    Raises:
        InvalidRecipeError: it is no such document.
    """

    def __init__(self, text: str, name: str) -> None:
        import yaml

        self.name = name
        if len(text) > LIMIT_CHARACTERS:
            raise InvalidRecipeError(f"{name} has {len(text)} characters, at most {LIMIT_CHARACTERS} are read")
        try:
            self._check_events(yaml.parse(text, Loader=yaml.SafeLoader))
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise InvalidRecipeError(f"{name}{line} is no YAML: {problem}") from error
        except ValueError as error:  # a date such as 2024-99-99
            raise InvalidRecipeError(f"{name} holds a value that YAML cannot read: {error}") from error
        self._check_keys(self._root)

    def line(self, place: Place) -> int:
        """The line, from 1, where the value at `place`, or as much of the way to it as exists, begins."""
        node, line = self._root, 1
        for key in place:
            if hasattr(node, "value") and isinstance(node.value, list):
                if isinstance(key, int) and key < len(node.value) and not isinstance(node.value[key], tuple):
                    node = node.value[key]
                    line = node.start_mark.line + 1
                    continue
                found = [pair for pair in node.value if isinstance(pair, tuple) and pair[0].value == key]
                if found:
                    line = found[0][0].start_mark.line + 1
                    node = found[0][1]
        return line

    def _check_events(self, events: Any) -> None:
        """Before anything is built: neither deep nor repeated."""
        import yaml

        depth = 0
        for event in events:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1
            if depth > LIMIT_DEPTH:
                raise InvalidRecipeError(f"{self.name}, line {line}: at most {LIMIT_DEPTH} levels are read")
            # A few aliases of aliases make gigabytes.
            if isinstance(event, yaml.AliasEvent):
                raise InvalidRecipeError(f"{self.name}, line {line}: aliases are not read; write the value again")

    def _check_keys(self, node: Any) -> None:
        """YAML's readers take the last of equal keys and say nothing."""
        if not isinstance(getattr(node, "value", None), list):
            return
        seen: dict[object, int] = {}
        for child in node.value:
            if not isinstance(child, tuple):
                self._check_keys(child)
                continue
            key, value = child
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                raise InvalidRecipeError(f"{self.name}, line {line}: a key must be a word")
            if key.value in seen:
                raise InvalidRecipeError(
                    f"{self.name}, line {line}: the key {key.value!r} is there since line {seen[key.value]}; keep one"
                )
            seen[key.value] = line
            self._check_keys(value)
