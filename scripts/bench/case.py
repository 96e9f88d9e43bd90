"""A network in the form that the rivals read, beside its inputs and PyTorch's own answers; made once and kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.settings import cache_directory

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Case:
    """One network of the zoo.

    Attributes:
        name: the zoo's name for it.
        folder: holds `model.onnx` and what was converted from it.
        macs: multiply-accumulates of one inference, convolutions counted as direct ones.
        inputs: by name, in order.
        expected: what PyTorch answers, in order.
    """

    name: str
    folder: Path
    macs: int
    inputs: dict[str, np.ndarray]
    expected: tuple[np.ndarray, ...]

    @property
    def onnx(self) -> Path:
        """Operator set 20, float32, batch normalization folded, weights inside."""
        return self.folder / "model.onnx"

    @property
    def is_text(self) -> bool:
        """Whether the network reads token numbers, like every transformer for text."""
        return all(np.issubdtype(array.dtype, np.integer) for array in self.inputs.values())

    def converted(self, distribution: str, convert: Callable[[Path], None], kind: str = "") -> Path:
        """The folder with the network in another runtime's format, made by `convert` unless it is there.

        Args:
            distribution: whose version the format depends on.
            convert: fills the empty folder that it is given, or raises.
            kind: which one of several conversions by the same distribution; it changes with their settings.
        """
        wanted = self.folder / "-".join(filter(None, (distribution, importlib.metadata.version(distribution), kind)))
        if not wanted.exists():
            _fill(wanted, convert)
        return wanted


def read_case(folder: Path) -> Case:
    """What `export` wrote."""
    facts = json.loads((folder / "case.json").read_text())
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "expected.npz") as expected:
        return Case(
            facts["name"],
            folder,
            facts["macs"],
            {name: inputs[name] for name in facts["inputs"]},
            tuple(expected[str(index)] for index in range(facts["outputs"])),
        )


def case_folder(name: str) -> Path:
    """Where the case is kept; the name changes with all that the export depends on."""
    import edgecompile.zoo

    digest = hashlib.sha256()
    here = Path(__file__)
    for path in (here, here.with_name("samples.py"), *sorted(Path(edgecompile.zoo.__file__).parent.glob("*.py"))):
        digest.update(path.read_bytes())
    for distribution in ("torch", "onnxscript"):
        digest.update(importlib.metadata.version(distribution).encode())
    return cache_directory() / "bench" / f"{name}-{digest.hexdigest()[:12]}"


def export(name: str) -> None:
    """Write the case of one network of the zoo, and remove those that older sources made.

    Raises:
        PackageNotFoundError: onnxscript is not installed.
    """
    folder = case_folder(name)
    for stale in folder.parent.glob(f"{name}-????????????"):
        if stale != folder:
            shutil.rmtree(stale)
    if not folder.exists():
        _fill(folder, lambda place: _export_into(name, place))


def _export_into(name: str, folder: Path) -> None:
    import onnx
    import torch

    import edgecompile as ec
    from edgecompile import zoo

    module, examples = zoo.build(name)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = module(*examples)
        program = torch.onnx.export(module, examples, dynamo=True, verbose=False)
    model = program.model_proto
    _drop_nan_guards(model)
    onnx.save(model, folder / "model.onnx")
    tensors = tuple(answers.values()) if isinstance(answers, dict) else (answers,)
    inputs = {entry.name: tensor.numpy() for entry, tensor in zip(model.graph.input, examples, strict=True)}
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "expected.npz", **{str(index): tensor.numpy() for index, tensor in enumerate(tensors)})
    facts = {
        "name": name,
        "macs": ec.load(module, example_inputs=examples).macs,
        "inputs": list(inputs),
        "outputs": len(tensors),
    }
    (folder / "case.json").write_text(json.dumps(facts))


def _drop_nan_guards(model: onnx.ModelProto) -> None:
    """Where(IsNaN(x), 0, x) -> x, in place.

    The exporter puts one behind each softmax, for rows in which nothing takes part. No network here has such rows; MNN
    cannot read the operator, and it would cost the others time.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    renamed: dict[str, str] = {}
    dropped: set[str] = set()
    for node in model.graph.node:
        guard = producers.get(node.input[0]) if node.op_type == "Where" else None
        if guard is not None and guard.op_type == "IsNaN" and guard.input[0] == node.input[2]:
            renamed[node.output[0]] = node.input[2]
            dropped.update((node.output[0], guard.output[0]))
    kept = [node for node in model.graph.node if node.output[0] not in dropped]
    for node in kept:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the wanted one and rename it, so that an interrupted run leaves nothing that looks done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        fill(place)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
