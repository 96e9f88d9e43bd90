"""How far a quantized network's answers are from the float network's, both to the same inputs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.bench.case import Case, case_folder, read_case
from scripts.bench.samples import Arrays, answers_in_float64, natural_inputs

_PROBES = 16
_PROBE_SEED, _CALIBRATION_SEED = 1, 2  # no probe is among the calibration data
CALIBRATION_SAMPLES = 100
_LEAST_CLASSES = 4


@dataclass(frozen=True)
class Accuracy:
    """Of several inferences, against answers in float64.

    Attributes:
        snr_db: of the output where it is the least, see `signal_to_noise_db`; infinite without any error.
        top1: the part of the inferences whose greatest class is the reference's; None without classes, and where the
            references have nearly all the same one, as those of many untrained networks do.
    """

    snr_db: float
    top1: float | None


@dataclass(frozen=True)
class Probes:
    """Inputs, by inference and then in the network's order, and PyTorch's answers to them in float64."""

    inputs: tuple[Arrays, ...]
    references: tuple[Arrays, ...]

    @property
    def varying_share(self) -> float:
        """The part of an output's energy that differs between the inputs, from 0 to 1; of the output with the least.

        An untrained network answers nearly the same to everything, and errors that are small beside that answer can be
        large beside what tells one input from another.
        """
        stacked = [np.stack(of_output) for of_output in zip(*self.references, strict=True)]
        return min(float(np.sum((array - array.mean(0)) ** 2) / np.sum(array**2)) for array in stacked)


def compare_answers(references: Sequence[Arrays], answers: Sequence[Arrays]) -> Accuracy:
    """The accuracy of the answers to several inputs.

    Raises:
        ValueError: an answer has other shapes than its reference, or another number of outputs.
    """
    of_output = [
        (np.stack(reference), np.stack(answer))
        for reference, answer in zip(zip(*references, strict=True), zip(*answers, strict=True), strict=True)
    ]
    top1 = None
    reference, answer = of_output[0]
    has_classes = len(of_output) == 1 and reference.shape[1:-1] == (1,)
    if has_classes and len(np.unique(reference.argmax(-1))) >= _LEAST_CLASSES:
        top1 = float(np.mean(reference.argmax(-1) == answer.argmax(-1)))
    return Accuracy(min(signal_to_noise_db(reference, answer) for reference, answer in of_output), top1)


def signal_to_noise_db(reference: np.ndarray, answer: np.ndarray) -> float:
    """10 log10(sum of reference^2 / sum of (answer - reference)^2), over all elements; minus infinity for a NaN.

    Args:
        reference, answer: of one shape.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != answer.shape:
        raise ValueError(f"the reference has the shape {reference.shape}, the answer {answer.shape}")
    exact = reference.astype(np.float64)
    signal, noise = float(np.sum(exact**2)), float(np.sum((answer.astype(np.float64) - exact) ** 2))
    if not np.isfinite(noise) or (signal == 0 and noise > 0):
        return -np.inf
    return 10 * float(np.log10(signal / noise)) if noise else np.inf


def calibration(case: Case) -> list[Arrays]:
    """The data that every runtime gets to choose the ranges of its activations by; the same on every call."""
    return natural_inputs(list(case.inputs.values()), CALIBRATION_SAMPLES, _CALIBRATION_SEED)


def probe_inputs(case: Case) -> list[Arrays]:
    """What the accuracy is measured with; the same on every call."""
    return natural_inputs(list(case.inputs.values()), _PROBES, _PROBE_SEED)


def probes_folder(case: Case) -> Path:
    """The folder for `read_probes`; it is filled once, which imports PyTorch."""
    return case.converted("torch", functools.partial(_write_probes, case), f"probes{_PROBES}")


def export_probes(name: str) -> None:
    """Fill `probes_folder` of an exported case."""
    probes_folder(read_case(case_folder(name)))


def read_probes(case: Case) -> Probes:
    """What `export_probes` has computed."""
    with np.load(probes_folder(case) / "references.npz") as stacked:
        references = [list(outputs) for outputs in zip(*(stacked[name] for name in stacked.files), strict=True)]
    return Probes(tuple(probe_inputs(case)), tuple(references))


def _write_probes(case: Case, folder: Path) -> None:
    answers = answers_in_float64(case.name, probe_inputs(case))
    outputs = [np.stack(of_output) for of_output in zip(*answers, strict=True)]
    np.savez(folder / "references.npz", *outputs)
