"""Networks in plain PyTorch, seeded, for demos, tests and benchmarks: `build("resnet18")`, or `load("zoo:resnet18")`.

Nothing is downloaded. The weights are random but behave like trained ones (see `initialize`); the digits networks
can be trained for real in under two minutes each (see `training`), and `minilm` is a pretrained encoder from a package.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from edgecompile.errors import InvalidModelError, ToolchainError

if TYPE_CHECKING:
    import torch

__all__ = ["build", "names", "trainable", "trained"]

_NAMES = (
    "bert",
    "bert_tiny",
    "digits_mobilenet",
    "digits_resnet",
    "digits_vgg",
    "keyword_spotting",
    "minilm",
    "mobilenetv2",
    "resnet18",
    "vgg16",
    "vit_tiny",
)
_TRAINABLE = ("digits_mobilenet", "digits_resnet", "digits_vgg", "minilm")


def names() -> tuple[str, ...]:
    """Every network of the zoo, sorted."""
    return _NAMES


def trainable() -> tuple[str, ...]:
    """Those that `trained` can give."""
    return _TRAINABLE


def build(name: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The network in eval mode with seeded weights, and example inputs for its `forward`; the same on every call.

    Raises:
        InvalidModelError: no such network.
    """
    if name not in _NAMES:
        raise InvalidModelError(f"the zoo has no network {name!r}; choose from {', '.join(_NAMES)}")
    from edgecompile.zoo.registry import BUILDERS

    return BUILDERS[name]()


def trained(name: str) -> torch.nn.Module:
    """The network in eval mode with trained weights.

    The digits networks are trained here on scikit-learn's digits, once per machine and version; `minilm` is read from
    the package that carries it.

    Raises:
        InvalidModelError: no such network, or not one that has trained weights.
        ToolchainError: the package that brings the data or the weights is not installed.
    """
    if name not in _TRAINABLE:
        raise InvalidModelError(f"the zoo cannot train {name!r}; choose from {', '.join(_TRAINABLE)}")
    module, _ = build(name)
    module.load_state_dict(_weights(name))
    return module


def _weights(name: str) -> dict[str, torch.Tensor]:
    if name == "minilm":
        from edgecompile.zoo.minilm import pretrained_weights

        return pretrained_weights()
    if importlib.util.find_spec("sklearn") is None:
        raise ToolchainError(
            f"training {name} needs scikit-learn, which is not installed; pip install 'edgecompile[zoo]'"
        )
    from edgecompile.zoo.training import trained_weights

    return trained_weights(name)
