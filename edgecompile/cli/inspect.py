"""`edgecompile inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecompile.cli.arguments import load_model, model_options
from edgecompile.cli.groups import show_groups
from edgecompile.cli.progress import phases
from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.artifact.manifest import Manifest
    from edgecompile.frontend.model import Model
    from edgecompile.layers import Layer


@click.command("inspect", short_help="Show what is in a model or an artifact.")
@click.argument("model")
@model_options
@click.option("--groups", "of_groups", is_flag=True, help="Show which channels pruning takes out together, and why.")
@json_option
def command(model: str, shapes: tuple[str, ...], freeze: tuple[str, ...], of_groups: bool, as_json: bool) -> None:
    """Show MODEL: a model (.onnx, .pt2, .ec or zoo:NAME), layer by layer, or an artifact's folder.

    \b
    Examples:
      edgecompile inspect model.onnx
      edgecompile inspect zoo:resnet18 --json
      edgecompile inspect model.ec
      edgecompile inspect zoo:digits_resnet --groups
      edgecompile inspect build/net
    """
    if Path(model).is_dir():
        if shapes or freeze:
            raise InvalidInputError(f"--shape and --freeze are for models, {model} is a folder")
        if of_groups:
            raise InvalidInputError(f"--groups is for models, {model} is a folder")
        _show_artifact(model, as_json)
    elif of_groups:
        show_groups(_load(model, shapes, freeze), as_json=as_json)
    else:
        _show_model(_load(model, shapes, freeze), as_json)


def _show_artifact(directory: str, as_json: bool) -> None:
    from edgecompile.artifact.open import read_manifest

    manifest = read_manifest(directory)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    print_table(("", ""), _facts(manifest), directory)
    rows = [(name, entry.bytes, entry.sha256) for name, entry in sorted(manifest.files.items())]
    print_table(("file", "bytes", "SHA-256"), rows)


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    where = "embedded" if manifest.weights_embedded else "in a file"
    target = manifest.target
    reason = f" ({manifest.executor_reason})" if manifest.executor_reason else ""
    return [
        ("name", manifest.name),
        ("target", f"{target.name} ({target.architecture}, {target.os}, {target.llvm_cpu})"),
        ("CPU features", " ".join(target.cpu.features) or "none beyond the architecture's"),
        ("executor", manifest.executor + reason),
        *(("input", str(entry)) for entry in manifest.inputs),
        *(("output", str(entry)) for entry in manifest.outputs),
        ("weights", f"{manifest.weight_bytes:,} bytes, {where}"),
        ("arena", f"{manifest.arena_bytes:,} bytes"),
        ("threads", str(manifest.threads)),
        ("source", manifest.source + (f", opset {manifest.opset}" if manifest.opset else "")),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))),
    ]


def _load(path: str, shapes: tuple[str, ...], freeze: tuple[str, ...]) -> Model:
    with phases() as progress:
        if progress:
            progress("import")
        return load_model(path, shapes, freeze)


def _show_model(model: Model, as_json: bool) -> None:
    layers = model.layers
    if as_json:
        print_json(_document(model, layers))
        return
    rows: list[tuple[object, ...]] = [
        (layer.name, layer.operator, _shape(layer.output_shape), layer.macs, layer.params, layer.weight_bytes)
        for layer in layers
    ]
    rows.append(("total", f"{len(layers)} operators", "", *_totals(layers).values()))
    print_table(("layer", "operator", "output", "MACs", "parameters", "weight bytes"), rows, f"{model.name}")
    for kind, specs in (("input", model.inputs), ("output", model.outputs)):
        for spec in specs:
            click.echo(f"{kind} {spec}")
    for step in model.history:
        click.echo(f"compressed by {step}")


def _document(model: Model, layers: list[Layer]) -> dict[str, object]:
    return {
        "name": model.name,
        "source": model.source,
        "opset": model.opset,
        "inputs": [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in model.inputs],
        "outputs": [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in model.outputs],
        "layers": [
            {
                "name": layer.name,
                "operator": layer.operator,
                "output_shape": list(layer.output_shape),
                "macs": layer.macs,
                "params": layer.params,
                "weight_bytes": layer.weight_bytes,
            }
            for layer in layers
        ],
        **_totals(layers),
        "history": [
            {
                "kind": step.kind,
                "recipe": step.recipe,
                "decisions": [vars(decision) for decision in step.decisions],
                "figures": step.figures,
            }
            for step in model.history
        ],
    }


def _totals(layers: list[Layer]) -> dict[str, int]:
    return {
        "macs": sum(layer.macs for layer in layers),
        "params": sum(layer.params for layer in layers),
        "weight_bytes": sum(layer.weight_bytes for layer in layers),
    }


def _shape(shape: tuple[int | str, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
