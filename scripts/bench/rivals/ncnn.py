"""ncnn, converted by pnnx from TorchScript: packed layouts, Winograd and sgemm on, all 16-bit formats off.

Each of Winograd's tile sizes, sgemm and the light mode was switched off in turn: none makes a network here faster.
"""

from __future__ import annotations

import ncnn
import numpy as np

from scripts.bench.case import Case
from scripts.bench.rivals.added_mask import added_mask
from scripts.bench.rivals.to_ncnn import convert
from scripts.bench.worker import in_fresh_process

_SIXTEEN_BITS = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


class _Network:
    notes = "f32, packed layouts, Winograd and sgemm on"

    def __init__(self, case: Case, threads: int) -> None:
        # A process of its own: PyTorch brings another OpenMP library.
        folder = case.converted("pnnx", lambda place: in_fresh_process(convert, case.name, place))
        self._network = ncnn.Net()
        self._network.opt.num_threads = threads
        self._network.opt.use_vulkan_compute = False
        for name in _SIXTEEN_BITS:
            setattr(self._network.opt, name, False)
        for status in (
            self._network.load_param(str(folder / "model.param")),
            self._network.load_model(str(folder / "model.bin")),
        ):
            if status:
                raise RuntimeError("ncnn cannot load what pnnx converted")
        self._arrays = [_input(name, array) for name, array in case.inputs.items()]
        self._inputs = list(zip(self._network.input_names(), map(ncnn.Mat, self._arrays), strict=True))
        self._names = self._network.output_names()
        self._shapes = [array.shape for array in case.expected]
        self._outputs: list[ncnn.Mat] = []

    def run(self) -> None:
        extractor = self._network.create_extractor()
        for name, value in self._inputs:
            extractor.input(name, value)
        self._outputs = [extractor.extract(name)[1] for name in self._names]

    def outputs(self) -> list[np.ndarray]:
        return [np.array(value).reshape(shape) for value, shape in zip(self._outputs, self._shapes, strict=True)]


def load(case: Case, threads: int) -> _Network:
    """The case in a net."""
    return _Network(case, threads)


def _input(name: str, array: np.ndarray) -> np.ndarray:
    """What ncnn takes: no batch dimension, 32 bits, masks that are added; a `Mat` refers to it."""
    if name == "attention_mask":
        array = added_mask(array)
    dtype = np.int32 if np.issubdtype(array.dtype, np.integer) else np.float32
    return np.ascontiguousarray(array[0], dtype)
