"""Crashes, endless loops and exceptions of a child come back as outcomes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.fuzz.isolated import Outcome, collect


def test_results_arrive_in_order() -> None:
    def work(send: Callable[[Any], None]) -> None:
        send("first")
        send(b"x" * 3_000_000)  # more than a pipe holds

    assert collect(work, 20.0) == Outcome(("first", b"x" * 3_000_000), "")


def test_a_crash_keeps_what_was_sent_before() -> None:
    def work(send: Callable[[Any], None]) -> None:
        send(1)
        os.kill(os.getpid(), signal.SIGSEGV)

    assert collect(work, 20.0) == Outcome((1,), "SIGSEGV")


def test_an_endless_loop_ends_at_the_time_limit() -> None:
    began = time.monotonic()
    assert collect(lambda send: time.sleep(60), 0.3) == Outcome((), "timeout")
    assert time.monotonic() - began < 20


def test_an_exception_is_an_exit_status() -> None:
    def work(send: Callable[[Any], None]) -> None:
        raise ValueError

    assert collect(work, 20.0) == Outcome((), "exit status 1")
