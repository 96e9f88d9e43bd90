"""What insertion quantizes between products, of small networks: no float operator is left between integer ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from tvm import relax

import edgecompile as ec
from edgecompile.integer.reference import run_reference
from edgecompile.passes.integers import FuseIntegerOperators
from edgecompile.passes.pipeline import eliminate_dead_code

SHAPE = (1, 3, 12, 16)


class SqueezeExcite(nn.Module):
    """Gates of channels, and of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.pixels = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = torch.nn.functional.adaptive_avg_pool2d(x, 1)
        gated = x * torch.nn.functional.hardsigmoid(self.second(torch.relu(self.first(mean))))
        return gated * torch.sigmoid(self.pixels(gated))


class Up(nn.Module):
    """A concatenation of one tensor, pooled and enlarged again, with itself."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.pool, self.up = nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode=mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.up(self.pool(x)), x], 1)[:, ::2]


class Parts(nn.Module):
    """Halves of the channels that change places."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.split([4, 4], 1)
        return torch.nn.functional.pad(torch.cat([second, first], 1), (1, 1, 0, 1))


class Norm(nn.Module):
    """Batch norm behind a concatenation, which no convolution takes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        for parameter in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(torch.cat([x[:, 4:], torch.tanh(x[:, :4])], 1)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hardswish": nn.Hardswish,
    "mish": nn.Mish,
    "squeeze": SqueezeExcite,
    "linear": lambda: Up("bilinear"),
    "nearest": lambda: Up("nearest"),
    "parts": Parts,
    "shuffle": lambda: nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2)),
    "norm": Norm,
    "sizes": lambda: nn.AdaptiveAvgPool2d((5, 4)),
}


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.parametrize("name", NETWORKS)
def test_one_way_into_integers_and_one_out(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), NETWORKS[name](), nn.Conv2d(8, 5, 1)).eval()
    samples = [np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32) for seed in range(3)]
    model = ec.load(network, example_inputs=(torch.from_numpy(samples[0]),))
    small = ec.compress(model, "int8", samples)
    assert [decision for decision in small.history[-1].decisions if not decision.kept] == []
    module = eliminate_dead_code()(FuseIntegerOperators()(small.module, []), [])
    values = [binding.value for binding in module["main"].body.blocks[0].bindings]
    found = Counter(str(value.op.name) for value in values if isinstance(value, relax.Call))
    # The last product answers float: its sums, converted, times their scale.
    assert found["relax.quantize"] == found["relax.astype"] - found["relax.sum"] == found["relax.multiply"] == 1, found
    assert not found["relax.dequantize"]
    (integer,) = run_reference(module, [samples[0]])
    with torch.no_grad():
        expected = network(torch.from_numpy(samples[0])).numpy()
    assert ((integer - expected) ** 2).mean() < 1e-3 * (expected**2).mean()  # 30 dB: rounding of some layers


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_gelu_between_matrix_products_reads_exact_sums() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 8)).eval()
    samples = [np.random.default_rng(seed).standard_normal((5, 16)).astype(np.float32) for seed in range(3)]
    small = ec.compress(ec.load(network, example_inputs=(torch.from_numpy(samples[0]),)), "int8", samples)
    values = [binding.value for binding in small.module["main"].body.blocks[0].bindings]
    found = Counter(str(value.op.name) for value in values if isinstance(value, relax.Call))
    assert found["relax.quantize"] == 2 and found["relax.nn.gelu"] == 1
