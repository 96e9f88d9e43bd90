"""`edgecompile analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecompile.cli.arguments import check_data, data_options, load_function, load_model, model_options
from edgecompile.cli.progress import counts
from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.compress.sensitivity.grid import LevelEffect, SensitivityGrid
    from edgecompile.compress.sensitivity.record import Effect, Sensitivity

_WITH_LEVELS = ("prune", "lowrank")


@click.command("analyze", short_help="Show what each layer would lose by a recipe.")
@click.argument("model")
@click.option("-r", "--recipe", default="int8", show_default=True, metavar="R", help="With one step; see `compress`.")
@data_options
@click.option("-o", "--out", metavar="FILE.json", help="Written after each layer; a second run goes on from it.")
@click.option("--levels", metavar="0.25,0.5", help="See above [0.25,0.5,0.75].")
@click.option("--time", "timed", is_flag=True, help="Of levels: measure times too; compiles once for each number.")
@click.option("-t", "--target", default="host", show_default=True, metavar="T", help="That the model is for.")
@click.option("--plot", metavar="FILE.png", help="Of levels: a heat map.")
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
    levels: str | None,
    timed: bool,
    target: str,
    plot: str | None,
    shapes: tuple[str, ...],
    freeze: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compress one layer of MODEL at a time, all others as they are, and measure what that costs.

    SNR is the signal-to-noise ratio of the outputs on the first of the inputs, in dB: 6 dB less is twice the error. The
    metric, where one is given, is computed for each layer. One simulation of the model serves all layers; what is
    measured is kept in the file of -o, from which an interrupted run goes on.

    Of `prune` and `lowrank` each layer is measured at several levels: the shares of a group's channels that go, or the
    shares of a layer's parameters that stay. The lines of their files may be edited or removed; the steps
    `prune,sensitivity=s.json,drop=0.01` and `lowrank,sensitivity=s.json,drop=0.01` choose by them.

    \b
    Examples:
      edgecompile analyze model.onnx --calib images/
      edgecompile analyze model.onnx --calib images/ --eval data:accuracy -o sensitivity.json
      edgecompile analyze model.onnx --recipe int8,calibration=kl --calib images/ --json
      edgecompile analyze model.onnx --recipe prune,macs=0.5 --calib images/ --time -o s.json --plot s.png
      edgecompile analyze model.onnx --recipe lowrank,params=0.5 --calib images/ --eval data:accuracy -o s.json
    """
    from edgecompile.compress.recipe import Recipe

    parsed = Recipe.parse(recipe)  # a wrong recipe should cost no minute
    check_data(calib, table)
    metric = load_function("--eval", evaluate) if evaluate else None
    numbers = _numbers(levels) if levels is not None else None
    if plot is not None:
        _check_plot(plot, parsed.steps[0].kind)
    with counts() as progress:
        if progress:
            progress("import", 0, None)
        loaded = load_model(model, shapes, freeze)

        from edgecompile.compress.sensitivity.analyze import analyze

        found = analyze(
            loaded,
            parsed,
            calib,
            samples=samples,
            table=table,
            eval=metric,
            out=out,
            levels=numbers,
            target=target,
            timed=timed,
            progress=progress,
        )

    from edgecompile.compress.sensitivity.grid import SensitivityGrid

    if isinstance(found, SensitivityGrid) and plot is not None:
        from edgecompile.artifact.write import write_file
        from edgecompile.report.plot_sensitivity import plot_sensitivity

        write_file(Path(plot), plot_sensitivity(found))
    if as_json:
        print_json(found.model_dump(mode="json"))
    elif isinstance(found, SensitivityGrid):
        _print_grid(found)
    else:
        _print_layers(found)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInputError(f"--levels needs numbers with commas between them, found {text!r}") from error


def _check_plot(plot: str, kind: str) -> None:
    """Refuse a plot that cannot be made before minutes are spent on it."""
    from edgecompile.report import report_folder

    if kind not in _WITH_LEVELS:
        raise InvalidInputError("--plot is for pruning and lowrank; `compress --report` plots what other steps do")
    report_folder(Path(plot).parent)


def _title(found: Sensitivity | SensitivityGrid) -> str:
    title = f"{found.name}: {found.kind}, one layer at a time"
    if found.uncompressed.metric is not None:
        title += f"; {found.key.metric} uncompressed: {found.uncompressed.metric:.4g}"
    return title


def _print_layers(found: Sensitivity) -> None:
    rows = [_row(layer, effect, found) for layer, effect in found.layers.items()]
    if found.compressed is not None:
        rows.append(_row("all of them", found.compressed, found))
    print_table(("layer", "SNR dB", "metric", "drop"), rows, _title(found))


def _row(name: str, effect: Effect, found: Sensitivity) -> tuple[object, ...]:
    before = found.uncompressed.metric
    drop = None if before is None or effect.metric is None else before - effect.metric
    return (name, effect.snr_db, effect.metric, drop)


def _print_grid(found: SensitivityGrid) -> None:
    def row(name: str, level: float, effect: LevelEffect) -> tuple[object, ...]:
        return (name, level, effect.form, effect.snr_db, effect.metric, found.drop(effect), effect.time)

    layers = [*found.layers.items(), ("all of them", found.together)]
    rows = [row(name, level, effect) for name, levels in layers for level, effect in levels.items()]
    time = f"time on {found.target}" if found.target else "time"
    header = ["layer", found.level, "becomes", "SNR dB", "metric", "drop"]
    header.append(f"{time}, estimated" if found.is_estimated else time)
    print_table(header, rows, _title(found))
