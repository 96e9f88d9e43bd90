"""`.pt2` files: honest ones are read, and none can make the reader run code."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.load import load
from tests.frontend.torch_execution import assert_matches


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.fc(x).relu() + torch.tensor([1.0, 2.0, 3.0])}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("archive") / "small-net.pt2"
    dims = {"x": {0: torch.export.Dim("batch", min=2, max=32)}}
    torch.export.save(torch.export.export(Net().eval(), (torch.randn(4, 4),), dynamic_shapes=dims), path)
    return path


def test_a_saved_program_is_read(archive: Path) -> None:
    model = load(archive, shapes={"x": (4, 4)})
    assert (model.name, model.inputs[0].name, model.outputs[0].name) == ("small_net", "x", "scores")
    assert model.sample_inputs["x"].shape == (4, 4)
    assert_matches(model)


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of the archive with records changed, laid out as PyTorch writes them."""
    writer = torch._C.PyTorchFileWriter(str(target))
    with zipfile.ZipFile(source) as old:
        for entry in old.namelist():
            name = entry.split("/", 1)[1]
            if not name.startswith(".data/"):
                data = change(name, old.read(entry))
                writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return target


class Payload:
    """Unpickling it makes the file named in the environment."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["EDGECOMPILE_TEST_MARKER"],)


def _pickle() -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(), buffer)
    return buffer.getvalue()


def _json(record: str, edit: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def change(name: str, data: bytes) -> bytes:
        if name != record:
            return data
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return change


def _pickled_weight(name: str, data: bytes) -> bytes:
    if name == "data/weights/model_weights_config.json":
        document = json.loads(data)
        document["config"]["fc.weight"]["use_pickle"] = True
        return json.dumps(document).encode()
    return _pickle() if name == "data/weights/weight_0" else data


def _first_expression(document: Any) -> dict[str, Any]:
    values = document["graph_module"]["graph"]["tensor_values"]["x"]
    return values["sizes"][0]["as_expr"]


MODEL = "models/model.json"
EVIL = "__import__('os').mkdir(__import__('os').environ['EDGECOMPILE_TEST_MARKER'])"
ATTACKS: dict[str, Callable[[str, bytes], bytes]] = {
    "pickled weight": _pickled_weight,
    "pickled sample": lambda name, data: _pickle() if name == "data/sample_inputs/model.pt" else data,
    "expression": _json(MODEL, lambda d: _first_expression(d).update(expr_str=EVIL)),
    "expression of attributes": _json(MODEL, lambda d: _first_expression(d).update(expr_str="Symbol.__class__.mro()")),
    "expression that never ends": _json(MODEL, lambda d: _first_expression(d).update(expr_str="9**9**9**9")),
    "operator": _json(MODEL, lambda d: d["graph_module"]["graph"]["nodes"][0].update(target="torch.hub.load")),
    "name": _json(MODEL, lambda d: d["graph_module"]["graph"]["nodes"][0].update(name=f"x={EVIL}")),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_an_archive_never_runs(
    attack: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    monkeypatch.setenv("EDGECOMPILE_TEST_MARKER", str(marker))
    path = rewrite(archive, tmp_path / "evil.pt2", ATTACKS[attack])
    with pytest.raises(InvalidModelError) as caught:
        load(path)
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def test_guards_in_an_archive_never_run(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "ran"
    monkeypatch.setenv("EDGECOMPILE_TEST_MARKER", str(marker))
    path = rewrite(archive, tmp_path / "evil.pt2", _json(MODEL, lambda d: d.update(guards_code=[EVIL])))
    model = load(path, shapes={"x": (4, 4)})
    assert model.reference is not None
    model.reference([model.sample_inputs["x"]])
    assert not marker.exists()


def test_unchanged_records_are_read_after_rewriting(archive: Path, tmp_path: Path) -> None:
    """Shows that the attacks above fail for what they change, not for how they were written."""
    assert_matches(load(rewrite(archive, tmp_path / "same.pt2", lambda name, data: data), shapes={"x": (4, 4)}))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_archives(archive: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    with pytest.raises(InvalidModelError, match="truncated"):
        load(path)


def test_other_files_named_pt2(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pt2")
    with pytest.raises(InvalidModelError, match=r"torch\.export\.save"):
        load(tmp_path / "weights.pt2")
    with zipfile.ZipFile(tmp_path / "zip.pt2", "w") as file:
        file.writestr("hello", "world")
    with pytest.raises(InvalidModelError, match=r"torch\.export\.save"):
        load(tmp_path / "zip.pt2")
