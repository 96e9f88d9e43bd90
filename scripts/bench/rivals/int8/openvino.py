"""OpenVINO in int8, by NNCF's post-training quantization: static, in its transformer mode for text.

Tried with ResNet-18, MobileNetV2 and BERT on a Zen 5 core, in 2026.4 and NNCF 3.4. The preset "mixed" is up to 4 %
slower than "performance"; the target device and the correction of overflow change no time. Without folding constants
first, MobileNetV2's depthwise convolutions run in floating point. What stays so is bfloat16 where the CPU
has it, the plugin's own choice; "openvino f32" is without. Weights alone in int8 (`compress_weights`) with dynamic
activations take 1.5 times as long on BERT.

For images the ranges are the least and greatest values, as ONNX Runtime's are: NNCF's default, the mean of each
sample's, clips the louder ones and costs 13 dB on digits_resnet; on MobileNetV2 it gains 0.2 dB.
"""

from __future__ import annotations

from pathlib import Path

import nncf
import openvino
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
from nncf.quantization.range_estimator import RangeEstimatorParameters, RangeEstimatorParametersSet
from openvino.passes import ConstantFolding, Manager

from scripts.bench.accuracy import CALIBRATION_SAMPLES, calibration
from scripts.bench.case import Case
from scripts.bench.rivals.int8.saturation import describe_sums
from scripts.bench.rivals.openvino import Request
from scripts.bench.worker import in_fresh_process


def load(case: Case, threads: int, way: str) -> Request:
    """The case in an inference request.

    Args:
        way: "fastest"; "f32", without bfloat16; or "7 bits": as fast, with all weights of a range that cannot saturate
            (`OverflowFix.ENABLE`).
    """
    fix = OverflowFix.ENABLE if way == "7 bits" else OverflowFix.FIRST_LAYER  # NNCF's default
    kind = f"ptq{CALIBRATION_SAMPLES}-{'default' if case.is_text else 'minmax'}-{fix.value}"
    # A process of its own: NNCF may import PyTorch, which brings another OpenMP library.
    folder = case.converted("nncf", lambda place: in_fresh_process(_quantize, case, fix, place), kind)
    request = Request(
        folder / "model.xml", case.inputs.values(), threads, {"INFERENCE_PRECISION_HINT": "f32"} if way == "f32" else {}
    )
    mode = "performance preset, " + ("transformer" if case.is_text else "min-max")
    sums = "weights of 7 bits, exact sums" if way == "7 bits" else describe_sums()
    request.notes = f"NNCF {mode}; {sums}; {request.notes}"
    return request


def _quantize(case: Case, fix: OverflowFix, folder: Path) -> None:
    samples = [dict(zip(case.inputs, arrays, strict=True)) for arrays in calibration(case)]
    model = openvino.Core().read_model(case.onnx)
    folding = Manager()  # without it NNCF 3.4 raises KeyError on BERT's embedding of constant positions
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    ranges = RangeEstimatorParameters() if case.is_text else RangeEstimatorParametersSet.MINMAX
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        model_type=nncf.ModelType.TRANSFORMER if case.is_text else None,
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=fix, activations_range_estimator_params=ranges),
    )
    openvino.save_model(quantized, folder / "model.xml", compress_to_fp16=False)
