"""What each layer loses by quantization."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.mixed.step import compressed_of, key_of
from edgecompile.compress.quantize.prepare import prepare
from edgecompile.compress.sensitivity.measure import Progress, measure_sensitivity
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.record import Sensitivity
from edgecompile.compress.sensitivity.variants import variants_of
from edgecompile.errors import InvalidRecipeError

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate
    from edgecompile.compress.quantize.recipe import QuantizeStep
    from edgecompile.frontend.model import Model


def analyze_quantization(
    model: Model,
    step: QuantizeStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    path: Path | None,
    progress: Progress,
) -> Sensitivity:
    """See `AnalysisFunction`.

    Raises:
        InvalidRecipeError: no layer can be quantized.
    """

    def tell(phase: str) -> None:
        progress(phase, 0, None)

    ready = prepare(model, step, data=data, samples=samples, table=table, progress=tell, keep=True)
    layers = ready.quantized(ready.insert(ready.layers))
    if not layers:
        raise InvalidRecipeError(f"no layer of {model.name!r} can be quantized by this recipe: nothing to analyze")
    metric = Metric(evaluate) if evaluate is not None else None
    compressed = compressed_of(ready)
    with variants_of(ready.model, layers, compressed, tell) as variants:
        return measure_sensitivity(
            variants,
            layers,
            name=model.name,
            kind="quantize",
            key=key_of(ready, step, metric),
            samples=ready.samples,
            metric=metric,
            path=path,
            progress=progress,
        )
