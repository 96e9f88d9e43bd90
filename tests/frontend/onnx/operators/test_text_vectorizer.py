"""TfIdfVectorizer against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

POOL = {
    "ngram_counts": [0, 4],
    "ngram_indexes": [0, 2, 1, 3, 6, 5, 4],
    "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
    "weights": [0.5, 1.5, 2.0, 1.0, 3.0, 0.25, 0.75],
}


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize(
    ("shape", "skips", "lengths"), [((12,), 0, (1, 2)), ((3, 12), 5, (2, 2)), ((2, 12), 1, (1, 1))]
)
def test_counts_of_ngrams(mode: str, shape: tuple[int, ...], skips: int, lengths: tuple[int, int]) -> None:
    tokens = np.random.default_rng(0).integers(2, 9, shape)
    proto = make_model(
        "TfIdfVectorizer",
        {"tokens": tokens},
        mode=mode,
        min_gram_length=lengths[0],
        max_gram_length=lengths[1],
        max_skip_count=skips,
        **POOL,
    )
    check_model(proto, {"tokens": tokens})


def test_text_is_refused() -> None:
    attributes = {"ngram_counts": [0], "ngram_indexes": [0], "pool_strings": ["a"]}
    lengths = {"min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0}
    proto = make_model("TfIdfVectorizer", {"tokens": np.array([1, 2])}, mode="TF", **attributes, **lengths)
    with pytest.raises(UnsupportedModelError, match="map text to integers in the app"):
        load_onnx(proto)
