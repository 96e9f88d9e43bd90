"""The calibration table: read, written, edited, damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from edgecompile.compress.quantize.fingerprint import fingerprint
from edgecompile.compress.quantize.table import CalibrationTable, TensorRange, decode, load_table
from edgecompile.errors import InvalidCalibrationError, OutputError
from edgecompile.frontend.model import Model, TensorSpec
from tests.relax_models import constant, make_model


def network(scale: float = 2, width: int = 4, operator: str = "relu") -> Model:
    """x -> y = x * weights -> z = activation(y)."""

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        y = b.emit(relax.op.multiply(x, constant(np.full((1, width), scale, np.float32))), name_hint="y")
        return b.emit(getattr(relax.op.nn, operator)(y), name_hint="z")

    return make_model([TensorSpec("x", (1, width), "float32")], body, [TensorSpec("out", (1, width), "float32")])


def table(**changes: Any) -> CalibrationTable:
    fields: dict[str, Any] = {
        "model": "net",
        "fingerprint": fingerprint(network()),
        "observer": "min_max",
        "samples": 3,
        "tensors": {
            "z": TensorRange(low=0, high=0.1),
            "x": TensorRange(low=-1, high=1 / 3, channel_absmax=(1, 0.25)),
            "y": TensorRange(low=-2, high=2),
        },
    }
    return CalibrationTable(**{**fields, **changes})


def document(**changes: Any) -> bytes:
    """The table's JSON with some keys changed."""
    return json.dumps({**json.loads(table().encode()), **changes}).encode()


def refuses(data: bytes, text: str) -> None:
    with pytest.raises(InvalidCalibrationError, match=text) as caught:
        decode(data, "t.json")
    assert "\n" not in str(caught.value)


def test_spelling() -> None:
    assert table().encode().decode() == (
        "{\n"
        '  "schema_version": 1,\n'
        '  "model": "net",\n'
        f'  "fingerprint": "{fingerprint(network())}",\n'
        '  "observer": "min_max",\n'
        '  "samples": 3,\n'
        '  "tensors": {\n'
        '    "x": {"low": -1.0, "high": 0.33333334, "channel_absmax": [1.0, 0.25]},\n'
        '    "y": {"low": -2.0, "high": 2.0},\n'
        '    "z": {"low": 0.0, "high": 0.1}\n'
        "  }\n"
        "}\n"
    )


floats = st.floats(0, 2.0**127, width=32)


@settings(max_examples=30)
@given(st.dictionaries(st.text(min_size=1), st.tuples(floats, floats, st.none() | st.lists(floats, max_size=3))))
def test_reading_what_was_written_changes_nothing(ranges: dict[str, Any]) -> None:
    tensors = {
        name: TensorRange(low=-low, high=high, channel_absmax=None if peaks is None else tuple(peaks))
        for name, (low, high, peaks) in ranges.items()
    }
    made = table(tensors=tensors)
    assert decode(made.encode()) == made
    assert decode(made.encode()).encode() == made.encode()
    for name, (low, high, _) in ranges.items():
        assert np.float32(made.tensors[name].low) == np.float32(-low)
        assert np.float32(made.tensors[name].high) == np.float32(high)


def test_files(tmp_path: Path) -> None:
    table().save(tmp_path / "t.json")
    assert load_table(tmp_path / "t.json") == table()
    with pytest.raises(InvalidCalibrationError, match=r"missing.json cannot be read: No such file"):
        load_table(tmp_path / "missing.json")
    with pytest.raises(OutputError, match=r"cannot write .*no/folder/t\.json: No such file"):
        table().save(tmp_path / "no" / "folder" / "t.json")


def test_a_removed_line_is_a_tensor_less() -> None:
    lines = table().encode().decode().splitlines()
    edited = decode("\n".join(line for line in lines if '"y"' not in line).encode())
    assert list(edited.tensors) == ["x", "z"]
    edited.check(network())


def test_the_last_line_removed_leaves_a_comma() -> None:
    lines = table().encode().decode().splitlines()
    text = "\n".join(line for line in lines if '"z"' not in line)
    refuses(text.encode(), r"t\.json is not JSON at line .*last entry before a closing brace has no comma")


def test_an_edited_range() -> None:
    edited = decode(table().encode().replace(b'"high": 2.0', b'"high": 1.23456789012345'))
    assert edited.tensors["y"].range.high == 1.2345679
    assert decode(table().encode().replace(b'"high": 2.0', b'"high": 3')).tensors["y"].high == 3


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"low": 2, "high": 1}, r"tensors\.y: low 2 is above high 1"),
        ({"low": 1, "high": 2}, r"tensors\.y: the range .* must have zero inside"),
        ({"low": -2, "high": -1}, r"tensors\.y: the range .* must have zero inside"),
        ({"low": float("nan"), "high": 1}, r"tensors\.y\.low"),
        ({"low": 0, "high": float("inf")}, r"tensors\.y\.high"),
        ({"low": 0, "high": 1e39}, r"tensors\.y\.high: 1e\+39 is beyond float32"),
        ({"low": 0, "high": "1"}, r"tensors\.y\.high"),
        ({"low": 0}, r"tensors\.y\.high: Field required"),
        ({"low": 0, "high": 1, "max": 1}, r"tensors\.y\.max: Extra inputs"),
        ({"low": 0, "high": 1, "channel_absmax": [-1]}, r"tensors\.y\.channel_absmax\.0"),
        (None, r"tensors\.y"),
    ],
)
def test_ranges_that_are_not(entry: Any, text: str) -> None:
    refuses(document(tensors={"y": entry}), f"t.json is malformed at {text}")


def test_malformed() -> None:
    refuses(b"", "t.json is not JSON at line 1, column 1")
    refuses(b"\xff\xfe", "t.json is not JSON")
    refuses(b"[" * 100_000, "t.json is not JSON")
    refuses(b"[]", "t.json is no JSON object")
    refuses(b"{}", "t.json has schema version None, this edgecompile reads version 1")
    refuses(document(schema_version=2), "t.json has schema version 2, this edgecompile reads version 1")
    refuses(document(extra=1), "t.json is malformed at extra: Extra inputs")
    refuses(document(samples=0), "t.json is malformed at samples")
    refuses(document(fingerprint="x"), "t.json is malformed at fingerprint")
    refuses(document(tensors={"": {"low": 0, "high": 1}}), "t.json is malformed at tensors")
    twice = table().encode().replace(b'"y":', b'"x":')
    refuses(twice, "t.json is not JSON: 'x' is there twice, keep one")


def test_belongs_to_its_model() -> None:
    table().check(network())
    table().check(network(scale=3))  # other weights
    for other in (network(width=5), network(operator="silu")):
        with pytest.raises(
            InvalidCalibrationError, match=r"is for another model: it was made with 'net' \(.*: calibrate"
        ):
            table().check(other)


def test_names_a_tensor_of_its_model() -> None:
    misspelt = table(tensors={"yy": TensorRange(low=0, high=1)})
    with pytest.raises(
        InvalidCalibrationError, match="names the tensor 'yy', which 'net' does not have: mend or remove"
    ):
        misspelt.check(network())


def test_the_fingerprint_is_the_same_everywhere() -> None:
    """In other processes and releases too: a change of it makes every table of the users useless."""
    assert fingerprint(network()) == "ad8e1eac99e6e36186afef2e223af2bd"
