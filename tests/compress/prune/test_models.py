"""Models of the zoo and of the onnx package: every group shrinks, and what is left compiles and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest
from tvm import relax

import edgecompile as ec
from edgecompile.compress.prune.rewrite import kept_without, remove
from edgecompile.frontend.model import Model

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
RATIOS = (0.25, 0.5)
QUICK = ("zoo:digits_mobilenet", "zoo:keyword_spotting", "zoo:bert_tiny")
NETS = ("squeezenet", "shufflenet")
BIG = (
    "zoo:digits_resnet",
    "zoo:digits_vgg",
    "zoo:bert",
    "zoo:minilm",
    "zoo:mobilenetv2",
    "zoo:resnet18",
    "zoo:vgg16",
    "zoo:vit_tiny",
)


def name_of(source: str) -> str:
    return Path(source).stem.removeprefix("zoo:").removeprefix("light_")


def pruned(model: Model, ratio: float) -> Model:
    """Without a part of each group, at least one channel of each."""
    groups = ec.groups(model)
    assert len(groups)
    generator = np.random.default_rng(0)
    counts = {group.name: min(max(round(group.channels * ratio), 1), group.channels - 1) for group in groups}
    removed = {group.name: generator.permutation(group.channels)[: counts[group.name]] for group in groups}
    kept = kept_without(groups, removed)
    module = remove(model.module, groups, removed)
    relax.analysis.well_formed(module)  # raises where it is not
    for group in groups:
        for member in group.members:
            extent = member.axis.tensor.shape[member.axis.axis]
            assert extent is not None
            went = extent - kept.extent(member.axis.tensor, member.axis.axis)
            assert went >= counts[group.name] * member.indices.shape[1]
    return Model(module, model.inputs, model.outputs, model.name, model.source)


def check(source: str, ratio: float, out: Path) -> None:
    """Compile and run it, on inputs that its own would take."""
    model = ec.load(source)
    small = pruned(model, ratio)
    assert sum(layer.params for layer in small.layers) < sum(layer.params for layer in model.layers)
    generator = np.random.default_rng(1)
    inputs = [
        generator.standard_normal(spec.shape).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else np.ones(spec.shape, spec.dtype)
        for spec in model.inputs
    ]
    outputs = ec.compile(small, target="host", out=out).run(*inputs)
    for spec, output in zip(model.outputs, outputs, strict=True):
        assert output.shape == spec.shape
        assert np.isfinite(output).all()


@pytest.mark.parametrize("source", QUICK, ids=name_of)
def test_quick_models(source: str, tmp_path: Path) -> None:
    check(source, 0.5, tmp_path / "net")


@pytest.mark.slow
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("source", [*QUICK, *BIG, *(str(path) for path in sorted(LIGHT.glob("*.onnx")))], ids=name_of)
def test_all_models(source: str, ratio: float, tmp_path: Path) -> None:
    check(source, ratio, tmp_path / "net")


@pytest.mark.parametrize(
    "source", ["zoo:digits_resnet", "zoo:digits_vgg", *(str(LIGHT / f"light_{n}.onnx") for n in NETS)], ids=name_of
)
def test_every_group_shrinks(source: str) -> None:
    model = ec.load(source)
    for ratio in RATIOS:
        pruned(model, ratio)
