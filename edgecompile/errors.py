"""Every error that edgecompile raises on purpose.

Each message is one line that says what was needed, what was found, and what to do. The command line prints the line and
ends with status 2; a program catches `EdgeCompileError` or one of its kinds.
"""

from __future__ import annotations


class EdgeCompileError(Exception):
    """The base of all errors that a user can cause and mend."""


class InvalidModelError(EdgeCompileError):
    """The model file or object is missing, unreadable, malformed, unsafe or beyond the limits of `settings`."""


class UnsupportedModelError(EdgeCompileError):
    """The model is valid, but has operators, dtypes or shapes that cannot be imported or compiled."""


class InvalidInputError(EdgeCompileError):
    """The inputs given at run time have the wrong number, names, shapes or dtypes."""


class UnknownTargetError(EdgeCompileError):
    """No target has that name, or an override of it is not one of its facts."""


class ToolchainError(EdgeCompileError):
    """A compiler, linker or emulator that the step needs is missing or failed."""


class InvalidArtifactError(EdgeCompileError):
    """The artifact directory is missing, incomplete, changed since it was written, or of another schema version."""


class InvalidRecordsError(EdgeCompileError):
    """The file of tuning records is missing, unreadable, or no such file."""


class InvalidRecipeError(EdgeCompileError):
    """The recipe has unknown keys or impossible combinations, or does not fit the model."""


class InvalidCalibrationError(EdgeCompileError):
    """The calibration data or table is missing, empty, malformed, not finite, or for another model."""


class WrongMachineError(EdgeCompileError):
    """This machine has another instruction set than the code that it was asked to run, or to measure."""


class OutputError(EdgeCompileError):
    """The artifact cannot be written: no space, no permission, or the place is taken by something else."""


class RuntimeFailureError(EdgeCompileError):
    """The compiled library reported a failure; the message is its `ec_last_error`."""


class CompilerBugError(EdgeCompileError):
    """edgecompile itself broke an invariant; the message names the pass or step to report."""
