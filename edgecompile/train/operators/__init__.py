"""What PyTorch computes for operators, a file for each kind; importing it registers them in `operator.OPERATORS`."""

from edgecompile.train.operators import (
    attention,
    convolution,
    elementwise,
    indexing,
    joining,
    normalization,
    pooling,
    reduction,
    resizing,
    shaping,
)

__all__ = [
    "attention",
    "convolution",
    "elementwise",
    "indexing",
    "joining",
    "normalization",
    "pooling",
    "reduction",
    "resizing",
    "shaping",
]
