"""`edgecompile analyze`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgecompile.cli.arguments import check_data, data_options, load_function, load_model, model_options
from edgecompile.cli.progress import counts
from edgecompile.cli.tables import json_option, print_json, print_table

if TYPE_CHECKING:
    from edgecompile.compress.sensitivity.record import Effect, Sensitivity


@click.command("analyze", short_help="Show what each layer would lose by a recipe.")
@click.argument("model")
@click.option("-r", "--recipe", default="int8", show_default=True, metavar="R", help="With one step; see `compress`.")
@data_options
@click.option("-o", "--out", metavar="FILE.json", help="Written after each layer; a second run goes on from it.")
@model_options
@json_option
def command(
    model: str,
    recipe: str,
    calib: str | None,
    samples: int | None,
    table: str | None,
    evaluate: str | None,
    out: str | None,
    shapes: tuple[str, ...],
    freeze: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compress one layer of MODEL at a time, all others as they are, and measure what that costs.

    SNR is the signal-to-noise ratio of the outputs on the first of the inputs, in dB: 6 dB less is twice the error. The
    metric, where one is given, is computed for each layer. One simulation of the model serves all layers; what is
    measured is kept in the file of -o, from which an interrupted run goes on.

    \b
    Examples:
      edgecompile analyze model.onnx --calib images/
      edgecompile analyze model.onnx --calib images/ --eval data:accuracy -o sensitivity.json
      edgecompile analyze model.onnx --recipe int8,calibration=kl --calib images/ --json
    """
    from edgecompile.compress.recipe import Recipe

    parsed = Recipe.parse(recipe)  # a wrong recipe should cost no minute
    check_data(calib, table)
    metric = load_function("--eval", evaluate) if evaluate else None
    with counts() as progress:
        if progress:
            progress("import", 0, None)
        loaded = load_model(model, shapes, freeze)

        from edgecompile.compress.sensitivity.analyze import analyze

        found = analyze(loaded, parsed, calib, samples=samples, table=table, eval=metric, out=out, progress=progress)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [_row(layer, effect, found) for layer, effect in found.layers.items()]
    if found.compressed is not None:
        rows.append(_row("all of them", found.compressed, found))
    title = f"{found.name}: {found.kind}, one layer at a time"
    if found.uncompressed.metric is not None:
        title += f"; {found.key.metric} uncompressed: {found.uncompressed.metric:.4g}"
    print_table(("layer", "SNR dB", "metric", "drop"), rows, title)


def _row(name: str, effect: Effect, found: Sensitivity) -> tuple[object, ...]:
    before = found.uncompressed.metric
    drop = None if before is None or effect.metric is None else before - effect.metric
    return (name, effect.snr_db, effect.metric, drop)
