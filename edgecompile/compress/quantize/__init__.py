"""Quantization: calibration, and the rewrites that its table decides."""

from edgecompile.compress.quantize.calibrate import calibrate, calibrate_each
from edgecompile.compress.quantize.table import CalibrationTable

__all__ = ["CalibrationTable", "calibrate", "calibrate_each"]
