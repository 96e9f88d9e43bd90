"""The zoo's networks: what goes in, what comes out, and that they are the same every time."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from edgecompile import zoo
from edgecompile.errors import InvalidModelError
from edgecompile.frontend.load import load
from edgecompile.zoo.initialize import ConvNorm
from tests.frontend.torch_execution import assert_matches

# Output shape and parameters, in thousands.
NETWORKS: dict[str, tuple[tuple[int, ...], int]] = {
    "bert": ((1, 128, 768), 109_186),
    "bert_tiny": ((1, 32, 64), 137),
    "digits_mobilenet": ((1, 10), 32),
    "digits_resnet": ((1, 10), 78),
    "digits_vgg": ((1, 10), 956),
    "keyword_spotting": ((1, 12), 23),
    "minilm": ((1, 384), 22_540),
    "mobilenetv2": ((1, 1000), 3_505),
    "resnet18": ((1, 1000), 11_690),
    "vgg16": ((1, 1000), 138_358),
    "vit_tiny": ((1, 1000), 5_717),
}


def run(name: str) -> tuple[nn.Module, torch.Tensor]:
    module, inputs = zoo.build(name)
    with torch.no_grad():
        output = module(*inputs)
    return module, output["last_hidden_state"] if isinstance(output, dict) else output


def test_the_table_above_is_complete() -> None:
    assert tuple(NETWORKS) == zoo.names()
    assert set(zoo.trainable()) < set(zoo.names())


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_sizes_and_magnitudes(name: str) -> None:
    shape, thousands = NETWORKS[name]
    module, output = run(name)
    assert not module.training
    assert tuple(output.shape) == shape
    assert round(sum(parameter.numel() for parameter in module.parameters()) / 1000) == thousands
    assert torch.isfinite(output).all()
    assert 0.05 < output.std() < 20


def test_the_same_weights_every_time_and_the_callers_generator_untouched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, inputs = zoo.build("keyword_spotting")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    second, again = zoo.build("keyword_spotting")
    torch.testing.assert_close(inputs[0], again[0], rtol=0, atol=0)
    for left, right in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_normalisation_statistics_matter() -> None:
    """A fold that forgot the mean, the variance or the bias would show."""
    module, inputs = zoo.build("digits_resnet")
    norms = [child[1] for child in module.modules() if isinstance(child, ConvNorm)]
    with torch.no_grad():
        before = module(*inputs)
        for attribute, value in (("running_mean", 0.0), ("running_var", 1.0), ("bias", 0.0)):
            saved = [getattr(norm, attribute).clone() for norm in norms]
            for norm in norms:
                getattr(norm, attribute).fill_(value)
            assert (module(*inputs) - before).abs().max() > 0.02 * before.abs().max(), attribute
            for norm, old in zip(norms, saved, strict=True):
                getattr(norm, attribute).copy_(old)


@pytest.mark.parametrize("name", ["bert_tiny", "digits_resnet", "keyword_spotting"])
def test_import_agrees_with_pytorch(name: str) -> None:
    module, inputs = zoo.build(name)
    assert_matches(load(module, example_inputs=inputs))


def test_unknown_names() -> None:
    with pytest.raises(InvalidModelError, match="no network 'alexnet'; choose from bert"):
        zoo.build("alexnet")
    with pytest.raises(InvalidModelError, match="cannot train 'resnet18'"):
        zoo.trained("resnet18")


def test_names_need_no_torch() -> None:
    code = "import sys; from edgecompile import zoo; zoo.names(); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
