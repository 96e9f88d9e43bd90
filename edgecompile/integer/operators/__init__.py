"""The integer operators in Relax, which lets operators be registered from Python: calls, types, and loops."""

from __future__ import annotations

from edgecompile.integer.operators.calls import (
    add,
    conv2d,
    layer_norm,
    lookup,
    matmul,
    multiply,
    quantize_rows,
    requantize,
    resample,
    softmax,
)
from edgecompile.integer.operators.names import (
    ADD,
    CONV2D,
    LAYER_NORM,
    LOOKUP,
    MATMUL,
    MULTIPLY,
    QUANTIZE_ROWS,
    REQUANTIZE,
    RESAMPLE,
    SOFTMAX,
    attributes,
)
from edgecompile.integer.operators.registration import formula, is_elementwise, register

__all__ = [
    "ADD",
    "CONV2D",
    "LAYER_NORM",
    "LOOKUP",
    "MATMUL",
    "MULTIPLY",
    "QUANTIZE_ROWS",
    "REQUANTIZE",
    "RESAMPLE",
    "SOFTMAX",
    "add",
    "attributes",
    "conv2d",
    "formula",
    "is_elementwise",
    "layer_norm",
    "lookup",
    "matmul",
    "multiply",
    "quantize_rows",
    "register",
    "requantize",
    "resample",
    "softmax",
]
