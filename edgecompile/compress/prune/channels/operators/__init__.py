"""What pruning knows of operators, a file for each kind; importing it registers them in `rule.RULES`."""

from edgecompile.compress.prune.channels.operators import (
    attention,
    convolution,
    creation,
    elementwise,
    joining,
    movement,
    normalization,
    pooling,
    product,
    quantized,
    reduction,
    reshaping,
)

__all__ = [
    "attention",
    "convolution",
    "creation",
    "elementwise",
    "joining",
    "movement",
    "normalization",
    "pooling",
    "product",
    "quantized",
    "reduction",
    "reshaping",
]
