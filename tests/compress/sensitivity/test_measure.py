"""One layer at a time, kept in a file: what is known is not measured again, and what changed is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecompile.compress.sensitivity.measure import measure_sensitivity
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Key, Sensitivity
from edgecompile.errors import InvalidInputError

LAYERS = ("first", "second", "third")
ERRORS = {"first": 0.001, "second": 0.1, "third": 0.01}
SAMPLES = [{"x": np.full(4, value, np.float32)} for value in (1.0, 2.0)]
KEY = Key(model="0" * 64, step="1" * 64, metric="mean")


class Doubles:
    """`y = x + error`, the errors of the chosen layers added; stops after some variants, as an interruption would."""

    def __init__(self, stops_after: int = 100) -> None:
        self.asked: list[frozenset[str]] = []
        self._stops_after = stops_after

    def predict(self, layers: frozenset[str]) -> Any:
        if len(self.asked) == self._stops_after:
            raise KeyboardInterrupt
        self.asked.append(layers)
        error = np.float32(sum(ERRORS[layer] for layer in layers))
        return lambda inputs: [inputs[0] + error]

    def __enter__(self) -> Doubles:
        return self

    def __exit__(self, *error: object) -> None: ...


def mean(predict: Any) -> float:
    return 1 - float(predict([np.zeros(4, np.float32)])[0].mean())


def measure(variants: Doubles, path: Path | None, key: Key = KEY, evaluate: Any = mean) -> Sensitivity:
    return measure_sensitivity(
        variants,
        LAYERS,
        name="net",
        kind="quantize",
        key=key,
        samples=SAMPLES,
        metric=Metric(evaluate) if evaluate else None,
        path=path,
        progress=lambda title, done, total: None,
    )


def test_each_layer_alone_and_all_together() -> None:
    found = measure(Doubles(), None)
    assert list(found.layers) == list(LAYERS)
    assert found.drop("second") == pytest.approx(0.1)
    signal = np.mean([1.0, 4.0])
    for layer, error in ERRORS.items():
        assert found.layers[layer].snr_db == pytest.approx(10 * np.log10(signal / error**2), abs=1e-2)
    assert found.compressed is not None
    assert found.compressed.metric == pytest.approx(1 - 0.111)
    assert measure(Doubles(), None, evaluate=None).drop("second") is None


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    whole = measure(Doubles(), None)
    with pytest.raises(KeyboardInterrupt):
        measure(Doubles(stops_after=3), path)
    assert list(json.loads(path.read_text())["layers"]) == ["first", "second"]
    rest = Doubles()
    assert measure(rest, path) == whole
    assert rest.asked == [frozenset(), frozenset({"third"}), frozenset(LAYERS)]
    nothing = Doubles()
    assert measure(nothing, path) == whole
    assert nothing.asked == [frozenset()]


def test_what_changed_is_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    measure(Doubles(), path)
    other = Doubles()
    measure(other, path, key=KEY.model_copy(update={"model": "2" * 64}))
    assert len(other.asked) == 5
    # The function has the same name and another meaning: the uncompressed model shows it.
    again = Doubles()
    measure(again, path, evaluate=lambda predict: mean(predict) - 0.5)
    assert len(again.asked) == 5


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(InvalidInputError, match="is no file of sensitivities"):
        measure(Doubles(), path)
    assert path.read_text() == '{"mine": 1}'
