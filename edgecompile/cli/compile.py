"""`edgecompile compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from edgecompile.cli.arguments import load_model, model_options
from edgecompile.cli.progress import phases
from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    from edgecompile.compress.recipe import Recipe
    from edgecompile.implementation import Preference


@click.command("compile", short_help="Make a library for a device from a model.")
@click.argument("model")
@click.option(
    "-t", "--target", default="host", show_default=True, help="A name of `edgecompile targets`, with overrides."
)
@click.option("-o", "--out", required=True, metavar="DIR", help="The folder to write; an artifact there is replaced.")
@model_options
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="For one inference.")
@click.option("--embed-weights", is_flag=True, help="Put the weights into the library instead of a file beside it.")
@click.option(
    "--prefer",
    type=click.Choice(["speed", "size"]),
    default="speed",
    show_default=True,
    help="With `size`, no layer is computed in a way that makes its weights larger.",
)
@click.option(
    "--tune",
    type=click.Choice(["quick"]),
    help="Measure on this machine, within half a minute, how each layer is fastest.",
)
@click.option(
    "--records",
    metavar="FILE",
    help="Measured times to choose kernels by; --tune adds to them.  [default with --tune: in the cache]",
)
@click.option("--recipe", metavar="R", help="Compress the model first; see `edgecompile compress`.")
@click.option("--calib", metavar="DIR|MOD:FN", help="Inputs like those in use, for --recipe.")
@json_option
def command(
    model: str,
    target: str,
    out: str,
    shapes: tuple[str, ...],
    freeze: tuple[str, ...],
    threads: int,
    embed_weights: bool,
    prefer: Preference,
    tune: Literal["quick"] | None,
    records: str | None,
    recipe: str | None,
    calib: str | None,
    as_json: bool,
) -> None:
    """Compile MODEL (.onnx, .pt2, .ec or zoo:NAME) and write a library with a C header.

    \b
    Examples:
      edgecompile compile model.onnx -o build/net
      edgecompile compile model.onnx --target rpi4,num_cores=2 --threads 2 -o build/net
      edgecompile compile model.onnx --shape image=1,3,224,224 -o build/net
      edgecompile compile zoo:resnet18 --target android-arm64 --embed-weights -o build/net
      edgecompile compile zoo:resnet18 --prefer size -o build/net              # 48 MB of weights instead of 79
      edgecompile compile model.onnx --recipe int8 --calib images/ -o build/net
      edgecompile compile model.onnx --tune quick --records host.jsonl -o build/net
      edgecompile compile model.onnx --records host.jsonl -o build/net         # the same bytes, nothing measured
    """
    from edgecompile.target import find_target

    find_target(target)  # a wrong name should cost no minute
    if calib and not recipe:
        raise InvalidInputError("--calib is for a recipe: give --recipe int8, or leave it out")
    steps = _recipe(recipe) if recipe else None
    with phases() as progress:
        if progress:
            progress("import")
        loaded = load_model(model, shapes, freeze)
        if steps is not None:
            from edgecompile.compress.driver import compress

            loaded = compress(loaded, steps, calib, progress=progress)

        from edgecompile.driver import compile

        with compile(
            loaded,
            target,
            out,
            threads=threads,
            embed_weights=embed_weights,
            prefer=prefer,
            tune=tune,
            records=records,
            progress=progress,
        ) as artifact:
            manifest = artifact.manifest
    facts = {
        "path": out,
        "name": manifest.name,
        "target": manifest.target.name,
        "executor": manifest.executor,
        "executor_reason": manifest.executor_reason,
        "library_bytes": manifest.files[manifest.library].bytes,
        "weight_bytes": manifest.weight_bytes,
        "weights_embedded": manifest.weights_embedded,
        "arena_bytes": manifest.arena_bytes,
        "threads": manifest.threads,
        "prefer": manifest.prefer,
        "records_used": len(manifest.records),
    }
    if as_json:
        print_json(facts)
    else:
        print_table(("", ""), [(key.replace("_", " "), _text(value)) for key, value in facts.items() if value != ""])


def _recipe(text: str) -> Recipe:
    from edgecompile.compress.recipe import Recipe

    return Recipe.parse(text)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
