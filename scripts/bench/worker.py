"""A runtime in a process of its own: it loads one network, then runs it when it is told to and is silent in between."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

import numpy as np

from scripts.bench.accuracy import probe_inputs
from scripts.bench.case import Case, read_case
from scripts.bench.rivals import Loader, ProbedNetwork, UnusableRival
from scripts.bench.samples import Arrays

_LOAD_SECONDS = 900.0  # converting and compiling the largest network takes about a minute on a quiet core
_TURN_SECONDS = 300.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """What a worker says when its network is ready.

    Attributes:
        version: of the runtime.
        notes: the settings that were chosen, and what the runtime tells about its kernels.
        outputs: of one inference.
        model_bytes: of the files that the runtime needs beside itself; None unless it was asked about the probes.
        answers: to each of the probes' inputs.
    """

    version: str
    notes: str
    outputs: tuple[np.ndarray, ...]
    model_bytes: int | None = None
    answers: tuple[Arrays, ...] = ()


class Worker:
    """The parent's end. Close it, or use it in a `with` statement.

    Args:
        load: imports the runtime and loads the case, in the new process.
        folder: of the case.
        cores: that the process may use, one thread on each.
        probed: ask for the answers to the probes too: the loader's network is then a `ProbedNetwork`.
    """

    def __init__(self, load: Loader, folder: Path, cores: tuple[int, ...], *, probed: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log")  # noqa: SIM115 - see close
        self._connection, theirs = context.Pipe()
        arguments = (theirs, load, folder, cores, probed, self._log.name)
        self._process = context.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()

    def loaded(self) -> Loaded:
        """Wait until the network is ready.

        Raises:
            UnusableRival: with the reason.
        """
        answer = self._receive(_LOAD_SECONDS, "loading the network")
        if isinstance(answer, str):
            raise UnusableRival(answer)
        assert isinstance(answer, Loaded)
        return answer

    def turn(self, warmup: int, timed: int) -> list[float]:
        """Milliseconds of each of `timed` inferences that follow `warmup` untimed ones.

        Raises:
            UnusableRival: it crashed, failed or does not answer.
        """
        self._connection.send((warmup, timed))
        answer = self._receive(_TURN_SECONDS, "an inference")
        if isinstance(answer, str):
            raise UnusableRival(answer)
        assert isinstance(answer, list)
        return answer

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, in all its threads; 0 once it has ended."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def close(self) -> None:
        """End the process."""
        self._connection.close()  # the worker's next read fails, which ends it
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, seconds: float, what: str) -> object:
        try:
            if self._connection.poll(seconds):
                return self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(10)
            said = Path(self._log.name).read_text(errors="replace").strip().splitlines()
            detail = f": {said[-1][:200]}" if said else ""
            raise UnusableRival(f"ended with status {self._process.exitcode} during {what}{detail}") from None
        self._process.kill()
        raise UnusableRival(f"{what} took longer than {seconds:.0f} s")


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function where nothing that it imports or starts can disturb this process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), quiet) as pool:
        return pool.submit(function, *args, **kwargs).result()


def quiet(log: str = os.devnull) -> None:
    """Send what this process prints, also from C, to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _serve(connection: Connection, load: Loader, folder: Path, cores: tuple[int, ...], probed: bool, log: str) -> None:
    """The worker's end: answers are a `Loaded` and then lists of milliseconds, or a string that says what failed."""
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(len(cores))
    quiet(log)
    try:
        case = read_case(folder)
        version, network = load(case, len(cores))
        network.run()
        loaded = Loaded(version, network.notes, tuple(network.outputs()))
        connection.send(_with_answers(loaded, cast(ProbedNetwork, network), case) if probed else loaded)
        gc.freeze()
        gc.disable()
        while True:
            warmup, timed = connection.recv()
            connection.send(_times(network.run, warmup, timed))
    except EOFError:  # the parent closed its end
        return
    except Exception as error:  # a runtime may raise anything; the row shows what it said
        connection.send(_line(error))


def _with_answers(loaded: Loaded, network: ProbedNetwork, case: Case) -> Loaded:
    """With the size of the model and its answers to the probes; then the case's own inputs are in place again."""
    answers = []
    for inputs in probe_inputs(case):
        network.give(inputs)
        network.run()
        answers.append([np.array(output) for output in network.outputs()])
    network.give(list(case.inputs.values()))
    return dataclasses.replace(loaded, model_bytes=network.model_bytes, answers=tuple(answers))


def _times(run: Callable[[], object], warmup: int, timed: int) -> list[float]:
    for _ in range(warmup):
        run()
    times = []
    for _ in range(timed):
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def _line(error: Exception) -> str:
    if isinstance(error, UnusableRival):
        return str(error)
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {text}"
