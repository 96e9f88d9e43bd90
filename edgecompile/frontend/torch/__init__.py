"""PyTorch modules, exported programs and `.pt2` archives to `Model`. Importing this package imports torch and tvm."""

from edgecompile.frontend.torch.load import load_torch

__all__ = ["load_torch"]
