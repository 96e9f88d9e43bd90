"""`Report`: what `report.json` says about how each kernel came to be."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from edgecompile.artifact.manifest import REPORT_NAME, Count, Finite, Frozen
from edgecompile.decision import SCHEDULE_STEP, Decision
from edgecompile.errors import InvalidArtifactError
from edgecompile.malformed import malformed
from edgecompile.operator_kind import OTHER


class Step(Frozen):
    """One kernel call of an inference.

    Attributes:
        index: position in the list of calls, from zero.
        kernel: symbol of the kernel; several steps may share one.
        operators: the Relax operators fused into it, in order ("relax.nn.conv2d", "relax.add").
        layers: the model's own names for them.
        kind: of the costliest of them: "conv 3x3", "depthwise", "int8 matmul", "other" and so on.
        macs: multiply-accumulates, as the kernel does them; those with a convolution's padding, which it may skip, too.
        operations: arithmetic operations: two for each multiply-accumulate, and one for each element of a stage of
            other arithmetic (a bias, an exponential), whatever that costs. Stages that only move data have none.
        bytes_read, bytes_written: activations, each byte once; weights are counted in `weight_bytes` alone.
        weight_bytes: constants that the step reads.
        scratch_bytes: memory that only this step uses.
    """

    index: Count
    kernel: str
    operators: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    kind: str = OTHER
    macs: Count = 0
    operations: Count = 0
    bytes_read: Count = 0
    bytes_written: Count = 0
    weight_bytes: Count = 0
    scratch_bytes: Count = 0
    decisions: tuple[Decision, ...] = ()

    @property
    def template(self) -> str:
        """What scheduled the kernel; "" where no decision says it."""
        return next((entry.reason for entry in self.decisions if entry.step == SCHEDULE_STEP and entry.kept), "")


class MemoryEntry(Frozen):
    """How well the arena is used.

    Attributes:
        arena_bytes: what one instance allocates.
        sum_bytes: what it would be without reuse.
        lower_bound_bytes: the most that is alive at one time; no plan can be smaller.
        decoded_bytes: of the weights that are stored in fewer bits, as they are after decoding.
    """

    arena_bytes: Count
    sum_bytes: Count
    lower_bound_bytes: Count
    decoded_bytes: Count = 0


class CompressionEntry(Frozen):
    """A step of a recipe that made the model what it is; see `edgecompile.frontend.model.CompressionStep`."""

    kind: str
    decisions: tuple[Decision, ...] = ()
    figures: dict[str, dict[str, Finite]] = Field(default_factory=dict)


class Report(Frozen):
    """The content of `report.json`.

    Attributes:
        compression: the steps of recipes that were done before, in order.
        steps: the kernel calls in order; empty for the virtual machine.
        decisions: of the passes over the whole model; those about one kernel are with its step.
        warnings: what the user was told at compile time.
    """

    schema_version: Literal[1] = 1
    executor: Literal["plan", "vm"]
    executor_reason: str = ""
    compression: tuple[CompressionEntry, ...] = ()
    steps: tuple[Step, ...] = ()
    decisions: tuple[Decision, ...] = ()
    memory: Annotated[MemoryEntry | None, Field(description="None where the virtual machine allocates")] = None
    warnings: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The file's bytes: keys sorted, ASCII, no time stamp."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2) + "\n").encode("ascii")


def decode(data: bytes) -> Report:
    """Read the content of `report.json`.

    Raises:
        InvalidArtifactError: it is no report.
    """
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        raise InvalidArtifactError(f"{REPORT_NAME} is {malformed(error)}") from error
