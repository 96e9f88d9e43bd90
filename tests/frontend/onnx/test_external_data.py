"""External tensors are read from regular files in the model's folder, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.graphs import model, value

WEIGHTS = np.arange(3, dtype=np.float32)


def save(folder: Path, **entries: str) -> Path:
    """A model y = x + w in `folder`, whose w is described by `entries`; w.bin holds 8 zero bytes, then w."""
    folder.mkdir(exist_ok=True)
    (folder / "w.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": "w.bin", "offset": "8", "length": "12", **entries}.items():
        tensor.external_data.add(key=key, value=text)
    proto.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_weights_are_read(tmp_path: Path) -> None:
    loaded = load_onnx(save(tmp_path / "m"))
    assert loaded.reference is not None
    (result,) = loaded.reference([np.zeros((2, 3), np.float32)])
    np.testing.assert_array_equal(result, np.tile(WEIGHTS, (2, 1)))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../w.bin"}, "leaves it"),
        ({"location": "sub/../../w.bin"}, "leaves it"),
        ({"location": "/etc/passwd"}, "leaves it"),
        ({"location": "..\\w.bin"}, "location"),
        ({"location": "C:w.bin"}, "location"),
        ({"location": ""}, "location"),
        ({"location": "w.bin\0x"}, "location"),
        ({"location": "none.bin"}, "no file"),
        ({"location": "."}, "location|regular"),
        ({"offset": "-8"}, "offset"),
        ({"offset": "9"}, "too short"),
        ({"offset": "99999999999999999999999"}, "offset"),
        ({"offset": "9223372036854775807"}, "too short"),
        ({"length": "-12"}, "length"),
        ({"length": "13"}, "length"),
        ({"length": "1e3"}, "length"),
        ({"raw_data": "x"}, "keys"),
    ],
)
def test_unsafe_entries(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(64))
    with pytest.raises(InvalidModelError, match=message) as error:
        load_onnx(save(tmp_path / "m", **entries))
    assert len(str(error.value).splitlines()) == 1


def test_symbolic_link(tmp_path: Path) -> None:
    path = save(tmp_path / "m", location="link.bin")
    (tmp_path / "m" / "link.bin").symlink_to("w.bin")
    with pytest.raises(InvalidModelError, match="symbolic link"):
        load_onnx(path)


def test_symbolic_link_to_a_folder(tmp_path: Path) -> None:
    path = save(tmp_path / "m", location="sub/w.bin")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "w.bin").write_bytes(bytes(64))
    (tmp_path / "m" / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidModelError, match="symbolic link"):
        load_onnx(path)


def test_hard_link(tmp_path: Path) -> None:
    path = save(tmp_path / "m", location="link.bin")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    os.link(secret, tmp_path / "m" / "link.bin")
    with pytest.raises(InvalidModelError, match="hard links"):
        load_onnx(path)


def test_named_pipe(tmp_path: Path) -> None:
    path = save(tmp_path / "m", location="pipe")
    os.mkfifo(tmp_path / "m" / "pipe")
    with pytest.raises(InvalidModelError, match="not a regular file"):
        load_onnx(path)


def test_model_without_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="without a folder"):
        load_onnx(save(tmp_path / "m").read_bytes())


def test_external_tensor_in_an_attribute(tmp_path: Path) -> None:
    """The attribute of a Constant is checked as a weight is; ONNX's own reader would follow any path."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../w.bin")
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
    path = tmp_path / "m" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(model(nodes, [value("x")], [value("y")]).SerializeToString())
    with pytest.raises(InvalidModelError, match="leaves it"):
        load_onnx(path)


def test_the_callers_model_is_not_changed() -> None:
    proto = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], [value("x", ["N", 3])], [value("y", None)], weights={"w": WEIGHTS}
    )
    before = proto.SerializeToString(deterministic=True)
    load_onnx(proto, shapes={"x": [4, 3]})
    assert proto.SerializeToString(deterministic=True) == before
    assert isinstance(proto, onnx.ModelProto)
