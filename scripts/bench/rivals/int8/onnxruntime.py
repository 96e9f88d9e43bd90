"""ONNX Runtime in int8, by `onnxruntime.quantization`: static QDQ for images, dynamic for text.

Tried with ResNet-18, MobileNetV2 and BERT on a Zen 5 core, in 1.32. Activations in uint8 with weights in int8 are the
only types whose kernels use VNNI: S8S8 takes 1.7 to 2.9 times as long, U8U8 2.4. Per channel or per tensor, QOperator
or QDQ, and 7-bit weights are equally fast, so the most accurate of them is compared. For BERT the optimizer for
transformers makes dynamic int8 no faster, and a static model is 4 % faster with 17 dB less.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from scripts.bench.accuracy import CALIBRATION_SAMPLES, calibration
from scripts.bench.case import Case
from scripts.bench.rivals.int8.saturation import describe_sums
from scripts.bench.rivals.onnxruntime import Session
from scripts.bench.worker import in_fresh_process

# "1": where U8S8 would saturate, and on CPUs with VNNI too, weights become uint8 and the kernels of U8U8 are used.
_EXACT = {"session.x64quantprecision": "1"}


class _Samples(CalibrationDataReader):
    """The calibration data, in the form that the calibrator reads."""

    def __init__(self, case: Case) -> None:
        self._samples: Iterator[dict[str, np.ndarray]] = (
            dict(zip(case.inputs, arrays, strict=True)) for arrays in calibration(case)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next sample, None behind the last."""
        return next(self._samples, None)


def load(case: Case, threads: int, way: str) -> Session:
    """The case in a session.

    Args:
        way: "fastest"; "7 bits", weights of a range that cannot saturate, as is advised for CPUs without VNNI; or
            "exact", the model of "fastest" with the session's option for precision.
    """
    reduce_range = way == "7 bits"
    kind = f"{'dynamic' if case.is_text else f'static{CALIBRATION_SAMPLES}'}-{'s7' if reduce_range else 's8'}"
    # A process of its own: what calibration leaves in memory is not the runtime's.
    folder = case.converted("onnxruntime", lambda place: in_fresh_process(_quantize, case, reduce_range, place), kind)
    session = Session(folder / "model.onnx", case.inputs, threads, _EXACT if way == "exact" else None)
    method = "quantize_dynamic" if case.is_text else "quantize_static, QDQ"
    sums = {"fastest": describe_sums(), "7 bits": "weights of 7 bits, exact sums", "exact": "x64quantprecision=1"}[way]
    session.notes = f"{method}, U8S8 per channel; {sums}"
    return session


def _quantize(case: Case, reduce_range: bool, folder: Path) -> None:
    prepared, target = folder / "prepared.onnx", folder / "model.onnx"
    quant_pre_process(case.onnx, prepared)
    shared = {"per_channel": True, "reduce_range": reduce_range, "weight_type": QuantType.QInt8}
    if case.is_text:
        quantize_dynamic(prepared, target, **shared)
    else:
        quantize_static(prepared, target, _Samples(case), activation_type=QuantType.QUInt8, **shared)
    prepared.unlink()
