"""`edgecompile compress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecompile.cli.arguments import check_data, data_options, load_function, load_model, model_options
from edgecompile.cli.compression import show_compression
from edgecompile.cli.progress import phases
from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.compress.recipe import Recipe
    from edgecompile.frontend.model import Model


@click.command("compress", short_help="Make a model smaller or faster by a recipe.")
@click.argument("model")
@click.option("-r", "--recipe", required=True, metavar="R", help="A .yaml file, or built-in names with options.")
@data_options
@click.option(
    "--max-drop", type=click.FloatRange(0), metavar="F", help="How far the metric may fall, by all steps; needs --eval."
)
@click.option("-t", "--target", default="host", show_default=True, help="What --eval and --report measure for.")
@click.option("--report", metavar="DIR", help="A folder for tables and plots of what was measured, and why.")
@click.option("--dry-run", is_flag=True, help="Print what each layer would become, without data.")
@click.option("-o", "--out", metavar="FILE.ec", help="The file to write.")
@model_options
@json_option
def command(
    model: str,
    recipe: str,
    calib: str | None,
    samples: int | None,
    table: str | None,
    evaluate: str | None,
    max_drop: float | None,
    target: str,
    report: str | None,
    dry_run: bool,
    out: str | None,
    shapes: tuple[str, ...],
    freeze: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compress MODEL (.onnx, .pt2, .ec or zoo:NAME) and write a file that all other commands take as a model.

    Built-in names: prune (channels and heads go), depth (residual blocks go), lowrank (layers in several smaller ones),
    sparse (zeros for the weights that count least: fewer bytes, but not faster), int8, int8-dynamic, w4 (weights of 4
    bits), fp16 and bf16 (weights in storage). For the first three params=, macs= or, but for depth, latency= is what is
    left of the model's. Options follow a comma, further steps a plus sign.
    Layers are named as `edgecompile inspect MODEL` shows them, channels that go together by `inspect MODEL --groups`.

    With --eval or --report what each step made is timed beside what was there before, and the step, or a layer of
    int8 and lowrank, stays undone where it is neither faster nor smaller, or where the metric would fall by more than
    what the steps before it left of --max-drop. Where nothing pays, the model is written as it was, and a line says
    so. For a target that cannot run here, cycles are estimated.

    \b
    Examples:
      edgecompile compress model.onnx --recipe int8 --calib images/ -o model.ec
      edgecompile compress model.onnx --recipe "int8,calibration=kl,skip=stem_*" --dry-run
      edgecompile compress model.onnx --recipe mine.yaml --calib data:batches --samples 200 -o model.ec
      edgecompile compress model.onnx --recipe int8 --calib images/ --eval data:accuracy --max-drop 0.01 -o model.ec
      edgecompile compress zoo:bert_tiny --recipe int8-dynamic -o model.ec
      edgecompile compress model.onnx --recipe int8 --calib images/ --eval data:accuracy --report why/ -o model.ec
      edgecompile compress zoo:bert_tiny --recipe w4,group_size=16 -o model.ec
      edgecompile compress model.onnx --recipe prune,macs=0.5 --calib images/ -o model.ec
      edgecompile compress model.onnx --recipe prune,latency=0.6+int8 --calib images/ --eval data:accuracy -o model.ec
      edgecompile compress model.onnx --recipe lowrank,params=0.33 --calib images/ --eval data:accuracy -o model.ec
      edgecompile compress model.onnx --recipe lowrank,energy=0.99,method=tucker+int8 --calib images/ -o model.ec
      edgecompile compress zoo:digits_resnet --recipe sparse,sparsity=0.5 -o model.ec
    """
    from edgecompile.compress.recipe import Recipe
    from edgecompile.target import find_target

    parsed = Recipe.parse(recipe)  # a wrong recipe should cost no minute
    _check(calib, table, evaluate, max_drop, dry_run, out)
    find_target(target)
    metric = load_function("--eval", evaluate) if evaluate else None
    with phases() as progress:
        if progress:
            progress("import")
        loaded = load_model(model, shapes, freeze)
        if dry_run:
            previews = _previews(loaded, parsed)
        else:
            from edgecompile.compress.driver import compress
            from edgecompile.compress.model_file import write_model

            small = compress(
                loaded,
                parsed,
                calib,
                samples=samples,
                table=table,
                eval=metric,
                max_drop=max_drop,
                target=target,
                report=report,
                progress=progress,
            )
            assert out is not None, "checked above"
            write_model(small, out)
    if dry_run:
        _show_previews(previews, parsed, as_json)
    else:
        _show_result(loaded, small, str(out), as_json)


def _check(
    calib: str | None, table: str | None, evaluate: str | None, max_drop: float | None, dry_run: bool, out: str | None
) -> None:
    """Refuse what does not go together before a model is loaded."""
    if out is None and not dry_run:
        raise InvalidInputError("compress needs the file to write: give -o model.ec, or --dry-run")
    if out is not None:
        from edgecompile.compress.model_file.write import check_suffix

        check_suffix(Path(out))
    check_data(calib, table)
    if max_drop is not None and not evaluate:
        raise InvalidInputError("--max-drop needs a metric: give --eval module:function")


def _previews(model: Model, recipe: Recipe) -> list[list[dict[str, Any]]]:
    """For each step what it would make of each layer of the model as it is now."""
    from edgecompile.compress.kinds import KINDS, imported

    return [[row._asdict() for row in imported(KINDS[step.kind].preview)(model, step)] for step in recipe.steps]


def _show_previews(previews: list[list[dict[str, Any]]], recipe: Recipe, as_json: bool) -> None:
    steps = [{"kind": step.kind, "layers": rows} for step, rows in zip(recipe.steps, previews, strict=True)]
    if as_json:
        print_json({"recipe": recipe.to_data(), "steps": steps})
        return
    for index, (step, rows) in enumerate(zip(recipe.steps, previews, strict=True), start=1):
        title = f"step {index}: {step.kind}" if len(previews) > 1 else step.kind
        print_table(list(rows[0]), [list(row.values()) for row in rows], title)


def _show_result(before: Model, after: Model, out: str, as_json: bool) -> None:
    steps = after.history[len(before.history) :]
    facts: dict[str, Any] = {
        "path": out,
        "file_bytes": Path(out).stat().st_size,
        "weight_bytes_before": before.weight_bytes,
        "weight_bytes": after.weight_bytes,
        "operators": len(after.layers),
    }
    if as_json:
        documents = [
            {"kind": step.kind, "decisions": [vars(choice) for choice in step.decisions], "figures": step.figures}
            for step in steps
        ]
        print_json({**facts, "steps": documents})
        return
    for step in steps:
        show_compression(step.kind, step.decisions, step.figures)
    print_table(
        ("", ""),
        [(key.replace("_", " "), f"{value:,}" if isinstance(value, int) else value) for key, value in facts.items()],
    )
