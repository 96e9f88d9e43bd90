"""Runs a function in a forked child, so that a crash or an endless loop is a result like any other."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of the child.

    Attributes:
        results: the objects that the function yielded, in order, up to its end or death.
        death: "" after a normal end; else the signal or status that ended it, or "timeout".
    """

    results: tuple[Any, ...]
    death: str


def collect(function: Callable[[Callable[[Any], None]], None], timeout_s: float) -> Outcome:
    """Calls `function(send)` in a child; what it sends arrives even when it dies later.

    The parent must not have started threads: a child has only the one that forked, and would wait for locks that the
    others held.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(function, writer)
    os.close(writer)
    data, deadline, late = b"", time.monotonic() + timeout_s, False
    while not late:
        ready, _, _ = select.select([reader], [], [], max(deadline - time.monotonic(), 0.0))
        late = not ready
        block = os.read(reader, 1 << 20) if ready else b""
        if ready and not block:
            break
        data += block
    os.close(reader)
    if late:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    death = f"exit status {status}" if status else ""
    if status < 0:
        death = "timeout" if late else signal.Signals(-status).name
    return Outcome(tuple(_unpack(data)), death)


def _run(function: Callable[[Callable[[Any], None]], None], writer: int) -> None:
    """The child's whole life; never returns."""
    status = 1
    faulthandler.disable()  # it would report a crash that is an expected outcome
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)

        def send(result: Any) -> None:
            block = pickle.dumps(result)
            block = len(block).to_bytes(8, "little") + block
            while block:
                block = block[os.write(writer, block) :]

        function(send)
        status = 0
    finally:
        os._exit(status)


def _unpack(data: bytes) -> list[Any]:
    results = []
    while len(data) >= 8:
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 + size:
            break
        results.append(pickle.loads(data[8 : 8 + size]))
        data = data[8 + size :]
    return results
