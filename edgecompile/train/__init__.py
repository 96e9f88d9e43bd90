"""The IR as differentiable PyTorch."""

from edgecompile.train.torch_view import TorchView

__all__ = ["TorchView"]
