"""Fitting what the user gave to the inputs of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

if TYPE_CHECKING:
    import numpy as np


def fit(item: Any, inputs: Sequence[TensorSpec], label: str) -> Iterator[dict[str, np.ndarray]]:
    """One sample, or each of those along the first axis of its arrays, checked and converted.

    Args:
        item: an array, a tuple or list of arrays, or a mapping from input names.
        label: what errors call it.

    Raises:
        InvalidCalibrationError: a name, number, shape or dtype is wrong, or a value is NaN or infinite.
    """
    arrays = _by_name(item, inputs, label)
    if all(_one_sample(arrays[spec.name], spec) is not None for spec in inputs):
        yield {spec.name: _check(arrays[spec.name], spec, label) for spec in inputs}
        return
    for spec in inputs:
        array = arrays[spec.name]
        if array.ndim == 0 or (len(array) and _one_sample(array[0], spec) is None):
            raise InvalidCalibrationError(
                f"{label} needs shape {_shape(spec.shape)} for input {spec.name!r}, or that many times [n, ...], found "
                f"{_shape(array.shape)}"
            )
    lengths = {spec.name: len(arrays[spec.name]) for spec in inputs}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} of {name!r}" for name, length in lengths.items())
        raise InvalidCalibrationError(f"{label} needs equally many samples of all inputs, found {found}")
    for index in range(max(lengths.values())):
        yield {spec.name: _check(arrays[spec.name][index], spec, f"{label}[{index}]") for spec in inputs}


def _by_name(item: Any, inputs: Sequence[TensorSpec], label: str) -> dict[str, np.ndarray]:
    """The arrays by input name, of the right number, names and kinds."""
    names = [spec.name for spec in inputs]
    if isinstance(item, Mapping):
        given = dict(item)
    else:
        values = list(item) if isinstance(item, (tuple, list)) else [item]
        if len(values) != len(names):
            raise InvalidCalibrationError(
                f"{label} needs {len(names)} inputs ({', '.join(map(str, inputs))}), found {len(values)}"
            )
        given = dict(zip(names, values, strict=True))
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidCalibrationError(
            f"{label} names the input {unknown[0]!r}, which the model does not have; its inputs are "
            f"{', '.join(map(str, inputs))}"
        )
    missing = [spec for spec in inputs if spec.name not in given]
    if missing:
        raise InvalidCalibrationError(f"{label} lacks the input {missing[0]}")
    return {spec.name: _array(given[spec.name], spec, label) for spec in inputs}


def _array(value: Any, spec: TensorSpec, label: str) -> np.ndarray:
    import numpy as np

    from edgecompile.artifact.dtypes import numpy_dtype

    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidCalibrationError(
            f"{label} needs an array for input {spec.name!r}, found {type(value).__name__}: {error}"
        ) from error
    if not _may_become(array.dtype, numpy_dtype(spec.dtype)):
        raise InvalidCalibrationError(
            f"{label} needs dtype {spec.dtype} for input {spec.name!r}, found {array.dtype.name}: convert it"
        )
    return array


def _may_become(found: np.dtype, wanted: np.dtype) -> bool:
    """True where no value changes, and from float64 to float32. Integers do not become real numbers: images of 0 to 255
    would pass for what the model was trained on."""
    import numpy as np

    if found == np.float64 and wanted == np.float32:
        return True
    return found.kind == wanted.kind and np.can_cast(found, wanted, "safe")


def _one_sample(array: np.ndarray, spec: TensorSpec) -> np.ndarray | None:
    """The array in the input's shape, a leading axis of 1 added where it lacks; None where it is no single sample."""
    if _matches(array.shape, spec.shape):
        return array
    if spec.shape and spec.shape[0] == 1 and _matches(array.shape, spec.shape[1:]):
        return array[None]
    return None


def _matches(found: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(found) == len(wanted) and all(
        isinstance(extent, str) or extent == length for length, extent in zip(found, wanted, strict=True)
    )


def _check(array: np.ndarray, spec: TensorSpec, label: str) -> np.ndarray:
    import numpy as np

    from edgecompile.artifact.dtypes import is_floating, numpy_dtype

    sample = _one_sample(array, spec)
    assert sample is not None
    with np.errstate(over="ignore"):  # what overflows is infinite, and told below
        converted = np.array(sample, numpy_dtype(spec.dtype), order="C")
    if is_floating(spec.dtype) and not np.isfinite(converted).all():
        kind = "NaN" if np.isnan(converted).any() else "an infinite value"
        raise InvalidCalibrationError(f"{label} has {kind} in input {spec.name!r}: calibration needs finite values")
    return converted


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
