"""Options that several commands share, and the model argument."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgecompile.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.frontend.model import Model

Function = TypeVar("Function", bound=Callable[..., Any])


def model_options(function: Function) -> Function:
    """`--shape` and `--freeze`, which `load_model` takes."""
    shape = click.option(
        "--shape", "shapes", multiple=True, metavar="NAME=1,3,224,224", help="Fix an input's dimensions (repeatable)."
    )
    freeze = click.option(
        "--freeze", multiple=True, metavar="NAME=FILE.npy", help="Turn an input into a constant (repeatable)."
    )
    return shape(freeze(function))


def data_options(function: Function) -> Function:
    """`--calib`, `--samples`, `--table` and `--eval`: what a recipe looks at; see `check_data`."""
    options = (
        click.option(
            "--calib", metavar="DIR|MOD:FN", help="Inputs like those in use: a folder of .npy, .npz or images."
        ),
        click.option("--samples", type=click.IntRange(1), help="Use at most so many of them."),
        click.option("--table", metavar="FILE", help="A calibration table (JSON) in place of --calib."),
        click.option(
            "--eval", "evaluate", metavar="MOD:FN", help="A metric: takes the model as a function; more is better."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def check_data(calib: str | None, table: str | None) -> None:
    """Refuse what does not go together before a model is loaded.

    Raises:
        InvalidInputError: both are given.
    """
    if calib and table:
        raise InvalidInputError("--table takes the place of --calib: give one of them")


def load_model(model: str, shapes: Sequence[str], freeze: Sequence[str]) -> Model:
    """Load the MODEL argument: a file, or `zoo:NAME`."""
    fixed = {name: _dimensions(name, text) for name, text in pairs("--shape", shapes).items()}
    frozen = {name: read_npy(Path(text)) for name, text in pairs("--freeze", freeze).items()}

    from edgecompile.frontend.load import load

    return load(model, shapes=fixed or None, freeze=frozen or None)


def load_function(option: str, text: str) -> Callable[..., Any]:
    """The function that MODULE:FUNCTION names; the module may be a file of the current folder.

    Raises:
        InvalidInputError: there is no such module or function, or the module cannot be imported.
    """
    module, sign, name = text.partition(":")
    if not sign or not module or not name:
        raise InvalidInputError(f"{option} needs MODULE:FUNCTION, found {text!r}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the module is the user's, and may raise anything
        raise InvalidInputError(f"{option} {text}: {module} cannot be imported: {error}") from error
    if not callable(function):
        raise InvalidInputError(f"{option} {text}: {module} has no function {name!r}")
    return function


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Split each NAME=VALUE at its first sign.

    Raises:
        InvalidInputError: there is no sign, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise InvalidInputError(f"{option} needs NAME=VALUE, found {text!r}")
        if name in found:
            raise InvalidInputError(f"{option} names {name!r} twice: give it once")
        found[name] = value
    return found


def read_npy(path: Path) -> np.ndarray:
    """Read one array; objects are refused, since reading them would run code.

    Raises:
        InvalidInputError: the file is missing or no `.npy`.
    """
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise InvalidInputError(f"{path} is no .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise InvalidInputError(f"{path} holds several arrays: save one with numpy.save")
    return array


def _dimensions(name: str, text: str) -> tuple[int, ...]:
    parts = [] if text == "scalar" else text.split(",")
    try:
        sizes = tuple(int(part) for part in parts)
    except ValueError as error:
        raise InvalidInputError(f"--shape {name} needs numbers with commas between them, found {text!r}") from error
    if any(size < 0 for size in sizes):
        raise InvalidInputError(f"--shape {name} needs lengths of at least 0, found {text!r}")
    return sizes
