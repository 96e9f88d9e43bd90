"""The built-in quantization recipes, and their options in one line of text."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edgecompile.compress.step import Options, number_or_word
from edgecompile.compress.strict import unknown
from edgecompile.errors import InvalidRecipeError

_ROWS: dict[str, Any] = {
    "weights": {
        "dtype": "int8", "bits": None, "symmetric": True, "granularity": "per_channel", "group_size": None,
        "method": "uniform",
    }
}  # fmt: skip
"""Of embedding tables, whatever the options say of other weights: int8 with a scale for each row."""

NAMED: dict[str, dict[str, Any]] = {
    "int8": {"operators": {"take": _ROWS}},
    "int8-dynamic": {
        "default": {"activations": {"mode": "dynamic"}, "calibration": None},
        "operators": {"take": _ROWS},
    },
    "w4": {
        "default": {
            "weights": {"dtype": "int4"},
            "activations": {"dtype": "none"},
            "calibration": None,
        },
        "operators": {"matmul": {"weights": {"granularity": "per_group", "group_size": 32}}, "take": _ROWS},
    },
    "fp16": {
        "default": {"weights": {"dtype": "float16"}, "activations": {"dtype": "none"}, "calibration": None},
    },
    "bf16": {
        "default": {"weights": {"dtype": "bfloat16"}, "activations": {"dtype": "none"}, "calibration": None},
    },
}
"""Each name's difference from a `QuantizeStep` without settings."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    "weights": ("weights", "dtype"),
    "granularity": ("weights", "granularity"),
    "group_size": ("weights", "group_size"),
    "symmetric_weights": ("weights", "symmetric"),
    "method": ("weights", "method"),
    "bits": ("weights", "bits"),
    "activations": ("activations", "dtype"),
    "symmetric": ("activations", "symmetric"),
    "mode": ("activations", "mode"),
    "scales": ("activations", "granularity"),
    "calibration": ("calibration", "method"),
    "percent": ("calibration", "percent"),
    "rate": ("calibration", "rate"),
    "equalize": ("equalize",),
    "bias_correction": ("bias_correction",),
    "rounding": ("rounding",),
    "smooth": ("smooth",),
    "reduce_range": ("reduce_range",),
    "attention": ("attention",),
    "nonlinear": ("nonlinear",),
}


_WORDS: dict[str, bool | None] = {"true": True, "on": True, "false": False, "off": False, "null": None}


def from_name(name: str, options: Options) -> dict[str, Any]:
    """The data of a `QuantizeStep`.

    Args:
        name: a key of `NAMED`.
        options: settings of the default, and of the operators that the name itself has rules for; an option without a
            value is a switch that it turns on. `skip=PATTERN` leaves layers as they are, and may be repeated;
            `embeddings=DTYPE` is how tables of embeddings are stored, and no other option is for them.

    Raises:
        InvalidRecipeError: there is no such option.
    """
    data: dict[str, Any] = {"kind": "quantize", "default": {}, "operators": {}, "layers": {}, **deepcopy(NAMED[name])}
    for key, text in options:
        if key == "skip" and text:
            data["layers"][text] = {"skip": True}
        elif key == "embeddings" and text:
            data["operators"]["take"] = {"weights": {**_ROWS["weights"], "dtype": text}}
        elif key in _OPTIONS:
            rules = [rule for operator, rule in data["operators"].items() if operator != "take"]
            _apply(key, True if text is None else _value(text), data["default"], rules)
        else:
            raise InvalidRecipeError(unknown("option", key, [*_OPTIONS, "embeddings", "skip"]))
    return data


def _apply(key: str, value: object, default: dict[str, Any], operators: list[dict[str, Any]]) -> None:
    """Change the default, and the rules of operators that say something about the same setting."""
    path = _OPTIONS[key]
    if key == "group_size":
        grouped = [rule for rule in operators if "group_size" in rule.get("weights", {})] or [default]
        for rule in grouped:
            _set(rule, ("weights", "granularity"), "per_group")
            _set(rule, path, value)
        return
    for rule in (default, *(rule for rule in operators if path[-1] in rule.get(path[0], {}))):
        _set(rule, path, value)
        if key == "granularity" and value != "per_group":
            rule["weights"].pop("group_size", None)


def _set(rule: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *outer, last = path
    for key in outer:
        if rule.get(key) is None:
            rule[key] = {}
        rule = rule[key]
    rule[last] = value


def _value(text: str) -> object:
    """A number, a switch, or a word."""
    if text in _WORDS:
        return _WORDS[text]
    return number_or_word(text)
