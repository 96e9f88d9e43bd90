"""Quantization: calibration, and the rewrites that its table decides."""

from __future__ import annotations

from edgecompile.compress.quantize.calibrate import calibrate, calibrate_each
from edgecompile.compress.quantize.quantize import quantize
from edgecompile.compress.quantize.table import CalibrationTable

__all__ = ["CalibrationTable", "calibrate", "calibrate_each", "quantize"]
