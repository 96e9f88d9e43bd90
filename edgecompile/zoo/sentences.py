"""Sentences for text encoders: fifty things said in four ways each to compare, and others to calibrate with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.zoo.minilm import CONFIG, model_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WAYS = 4
"""Sentences of one group, which say the same thing."""

_GROUPS = 50


def comparable_sentences() -> list[str]:
    """200 sentences; `WAYS` in a row mean the same."""
    return _sentences()[: _GROUPS * WAYS]


def calibration(count: int = 48) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Other sentences, at most 48, as inputs of the zoo's `minilm`; see `encode`.

    Raises:
        ToolchainError: the package with the tokenizer is not installed.
    """
    return map(encode, _sentences()[_GROUPS * WAYS :][:count])


def encode(sentence: str) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers and mask, [1, 64] int64 each; what is longer is cut.

    Raises:
        ToolchainError: the package with the tokenizer is not installed.
    """
    encoding = _tokenizer().encode(sentence)
    return np.array([encoding.ids], np.int64), np.array([encoding.attention_mask], np.int64)


@cache
def _sentences() -> list[str]:
    text = resources.files("edgecompile.zoo").joinpath("sentences.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line]


@cache
def _tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(CONFIG.tokens)
    tokenizer.enable_padding(length=CONFIG.tokens)
    return tokenizer
