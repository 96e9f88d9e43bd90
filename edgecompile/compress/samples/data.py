"""Where calibration data comes from: a folder or file, any Python iterable, or a function named by text."""

from __future__ import annotations

import importlib
import operator
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgecompile.compress.samples.files import data_files, read_file
from edgecompile.compress.samples.fit import fit
from edgecompile.errors import EdgeCompileError, InvalidCalibrationError
from edgecompile.frontend.model import TensorSpec

if TYPE_CHECKING:
    import numpy as np

Data: TypeAlias = "str | os.PathLike[str] | Iterable[Any]"

_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def read_samples(data: Data, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, np.ndarray]]:
    """The samples one after the other, each by input name, of the input's shape and dtype; never all in memory.

    Args:
        data: one of
            a folder of `.npy`, `.npz`, `.png`, `.jpg`, `.jpeg` and `.bmp` files, taken by name, or one such file;
                `.npy` and images are for models of one input, the arrays of an `.npz` have the names of the inputs;
                images are resized to the input [1, C, H, W], C = 1 (grey) or 3 (RGB), with values from 0 to 1;
            the text "package.module:function": it is imported from the Python path or the current folder, called
                without arguments, and must answer an iterable. This runs code: only name what you trust;
            an iterable of arrays (models of one input), of tuples or lists of arrays (in the order of the inputs), or
                of mappings from input names;
            one mapping from input names to arrays of many samples.
        inputs: of the model. A sample may lack the leading axis of length 1, and an array may hold many samples along a
            first axis, [n, ...]: it is then cut. float64 and float16 become float32, integers become wider ones.

    Raises:
        InvalidCalibrationError: there is no sample; a name, shape or dtype is wrong; a value is NaN or infinite; a file
            cannot be read; the function cannot be imported. Raised when the sample is asked for.
    """
    empty = True
    for label, item in _items(data, inputs):
        for sample in fit(item, inputs, label):
            empty = False
            yield sample
    if empty:
        raise InvalidCalibrationError(f"calibration needs 1 sample or more, found none in {_name(data)}")


def count_samples(data: Data) -> int | None:
    """How many samples there will be, for a progress bar; None where that is not known without reading."""
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        images = path.is_dir() and [file.suffix.lower() not in (".npy", ".npz") for file in data_files(path)]
        return len(images) if images and all(images) else None
    if isinstance(data, Mapping):
        return None
    count = operator.length_hint(data, -1)
    return None if count < 0 else count


def _items(data: Data, inputs: Sequence[TensorSpec]) -> Iterator[tuple[str, Any]]:
    """What each sample is called in an error, and the sample as it was given."""
    if isinstance(data, os.PathLike) or (isinstance(data, str) and Path(data).exists()):
        for file in data_files(Path(data)):
            yield f"file {file.name!r}", read_file(file, inputs)
    elif isinstance(data, str):
        yield from _enumerate(_call(data), data)
    elif isinstance(data, Mapping):
        yield "the data", data
    elif isinstance(data, Iterable):
        yield from _enumerate(data, _name(data))
    else:
        raise InvalidCalibrationError(
            f"calibration data must be a folder, an iterable or 'module:function', found {_name(data)}"
        )


def _enumerate(items: Iterable[Any], name: str) -> Iterator[tuple[str, Any]]:
    """Number the items; an exception of the iterable's own is told as an error of the data."""
    number = 0
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except EdgeCompileError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise InvalidCalibrationError(
                f"calibration data {name} failed at sample {number}: {type(error).__name__}: {error}"
            ) from error
        yield f"sample {number}", item
        number += 1


def _call(text: str) -> Iterable[Any]:
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise InvalidCalibrationError(
            f"calibration data must be a folder, a file or 'module:function', found {text!r}, which does not exist"
        )
    module_name, function_name = match.groups()
    here = str(Path.cwd())
    sys.path.append(here)  # at the end, so that nothing there hides an installed package
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        items = function()
    except EdgeCompileError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise InvalidCalibrationError(
            f"calibration data {text!r} cannot be had: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(here)
    if not isinstance(items, Iterable) or isinstance(items, (str, bytes)):
        raise InvalidCalibrationError(f"{text!r} must answer an iterable of samples, found {type(items).__name__}")
    return items


def _name(data: object) -> str:
    return repr(str(data)) if isinstance(data, (str, os.PathLike)) else f"the {type(data).__name__}"
