"""`RecordsFile`: measured times on the disk, one JSON object in each line, only ever added to.

A line is written whole, flushed to the disk, and under a lock, so that several processes may add to one file; what a
power cut left of a last line is cut off by the next writer. Files may be joined by `cat`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from edgecompile.artifact.manifest import Count, Finite, Frozen
from edgecompile.errors import InvalidRecordsError, OutputError
from edgecompile.settings import cache_directory
from edgecompile.target import Target
from edgecompile.tune.conditions import Conditions

SCHEMA_VERSION = 1
SUFFIX = ".jsonl"

DAMAGED, TORN = "damaged", "torn"
_BEGINNING = b'{"clock_hz": '  # of every line: the keys are sorted

Positive = Annotated[Finite, Field(gt=0)]


class Record(Frozen):
    """How long one way to compute a workload took.

    Attributes:
        conditions: where it was measured.
        workload: `Workload.key`.
        way: `Implementation.key`: the template and its frozen numbers.
        quartile_ns: of one kernel call; a quarter of the times lies below. Whatever else the machine does can only add
            to a time, so this one repeats better than the median.
        min_ns, median_ns: the least, and the middle one.
        spread: how far the middle half of the times reaches, as a part of the median.
        repeats: how often it was timed.
        estimated_cycles: what counting said of it, for one core.
        clock_hz: of a core while it was measured; it turns the time into cycles.
    """

    schema_version: Literal[1] = 1
    conditions: Conditions
    workload: str
    way: str
    quartile_ns: Positive
    min_ns: Positive
    median_ns: Positive
    spread: Annotated[Finite, Field(ge=0)]
    repeats: Annotated[Count, Field(gt=0)]
    estimated_cycles: Positive
    clock_hz: Positive

    @property
    def key(self) -> str:
        """Names the record in a manifest: 16 hexadecimal digits of its content's SHA-256."""
        return hashlib.sha256(self.encode()).hexdigest()[:16]

    @property
    def cycles(self) -> float:
        """What the threads' cores take together, as the estimates are for one core."""
        return self.quartile_ns * 1e-9 * self.clock_hz * self.conditions.threads

    @property
    def ms(self) -> float:
        """The lower quartile."""
        return self.quartile_ns / 1e6

    def encode(self) -> bytes:
        """Its line: keys sorted, ASCII."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False) + "\n").encode("ascii")


@dataclass(frozen=True)
class Found:
    """The usable records of a file, and a line for people about each kind that is not."""

    records: tuple[Record, ...]
    ignored: tuple[str, ...]


class RecordsFile:
    """The records of one family of targets.

    Args:
        place: the file, or a folder that holds one file for each family; the cache's folder where it is None.
        target: whose records are meant.
    """

    def __init__(self, place: str | os.PathLike[str] | None, target: Target) -> None:
        path = cache_directory() / "records" if place is None else Path(place)
        is_folder = place is None or path.is_dir() or not path.suffix
        self.path = path / f"{target.family}{SUFFIX}" if is_folder else path

    def read(self, wanted: Conditions) -> Found:
        """The records that were made under the wanted conditions.

        Raises:
            InvalidRecordsError: there is no such file, it cannot be read, or it holds no records at all.
        """
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # not while another process writes a line
                lines = file.read().splitlines(keepends=True)
        except OSError as error:
            raise InvalidRecordsError(
                f"{self.path} cannot be read: {error.strerror or error}; give the file that --tune quick wrote"
            ) from error
        records: list[Record] = []
        reasons: Counter[str] = Counter()
        for line in lines:
            record = _decode(line)
            if isinstance(record, str):
                reasons[record] += 1
                continue
            difference = record.conditions.why_not(wanted)
            if difference is None:
                records.append(record)
            else:
                reasons[f"of another {difference}"] += 1
        if lines and reasons[DAMAGED] + reasons[TORN] == len(lines):
            raise InvalidRecordsError(f"{self.path} holds no records: give the file that --tune quick wrote")
        ignored = [f"{self.path}: {count} records are ignored, {reason}" for reason, count in sorted(reasons.items())]
        return Found(tuple(records), tuple(ignored))

    def append(self, records: Sequence[Record]) -> None:
        """Add records; the file and its folder are made where they are missing.

        Raises:
            OutputError: there is no space or no permission.
            InvalidRecordsError: the file is something else.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
                self._cut_torn_line(descriptor)
                _write_whole(descriptor, b"".join(record.encode() for record in records))
                os.fsync(descriptor)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _cut_torn_line(self, descriptor: int) -> None:
        """Cut off what follows the last line's end, where a writer died; refuse a file that is something else."""
        size = os.fstat(descriptor).st_size
        content = os.pread(descriptor, size, 0)
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines(keepends=True)
        is_ours = (
            any(_decode(line) != DAMAGED for line in lines)
            if lines
            else _BEGINNING.startswith(content[: len(_BEGINNING)])
        )
        if not is_ours:
            raise InvalidRecordsError(f"{self.path} holds no records and was left as it is: name another file")
        if whole == size:
            return
        os.ftruncate(descriptor, whole)
        warnings.warn(
            f"{self.path}: the last record was cut off in the middle of its line ({size - whole} bytes) and is removed",
            stacklevel=4,
        )


def _write_whole(descriptor: int, data: bytes) -> None:
    """Write all bytes, or none: what a full disk took of them is taken back."""
    start = os.fstat(descriptor).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def _decode(line: bytes) -> Record | str:
    """The record of a line, or why it has none."""
    if not line.endswith(b"\n"):
        return TORN
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        return DAMAGED
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return "of a newer edgecompile"
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return DAMAGED
