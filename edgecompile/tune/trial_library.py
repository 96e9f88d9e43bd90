"""`TrialLibrary`: trials as one artifact, whose own runtime times each kernel call."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecompile.artifact.c_interface import Network
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.manifest import Facts, TensorEntry
from edgecompile.artifact.shared_library import SharedLibrary
from edgecompile.artifact.write import seal
from edgecompile.family import EmittedFiles, family_of
from edgecompile.frontend.model import TensorSpec
from edgecompile.target import Target
from edgecompile.tune.pinned import pinned
from edgecompile.tune.trial import Trial
from edgecompile.tune.trial_plan import FILL, ConstantPool, TrialPlan, aligned, plan_trials


class TrialLibrary:
    """Compiles trials and runs them.

    Args:
        trials: at least one, of different symbols.
        target: this machine.
        threads: how many work on one kernel.
        resident_bytes: all constants of the model.
        pool: where the constants are.

    Raises:
        ToolchainError, RuntimeFailureError: the library could not be made or loaded.
    """

    def __init__(
        self, trials: Sequence[Trial], target: Target, threads: int, resident_bytes: int, pool: ConstantPool
    ) -> None:
        self.trials = tuple(trials)
        planned = plan_trials(trials, target, resident_bytes, pool)
        with tempfile.TemporaryDirectory(prefix="edgecompile-tune-") as name:
            folder = Path(name)
            files = family_of(target).emit(planned.plan, planned.kernels, target, folder, embed_weights=False)
            seal(folder, _facts(planned, files, target))
            checked = Folder(folder)
            self._library = SharedLibrary(checked, files.library)
        try:
            self._network = Network(self._library.symbols, checked.manifest)
            with pinned(threads):  # the pool's threads stay where they are started
                self._instance = self._network.open(threads, None, profile=True)
        except BaseException:
            self._library.close()
            raise
        self._inputs = planned.inputs
        self._done = aligned(np.zeros(1, np.float32))
        self._steps = [at for at, step in enumerate(self._network.steps) if not step.startswith(FILL)]

    def run(self) -> list[int]:
        """Run all trials twice; the nanoseconds of each in the second run, in order.

        Other libraries may have run before. After the first run the caches are as in an inference that follows another.
        """
        api = self._network.api
        for _ in range(2):
            self._network.check(api.ec_run(self._instance, _addresses(self._inputs), _addresses([self._done])))
        times = api.ec_step_nanoseconds(self._instance)
        return [times[step] for step in self._steps]

    def close(self) -> None:
        """Free everything; called once."""
        self._network.api.ec_close(self._instance)
        self._library.close()


def _facts(planned: TrialPlan, files: EmittedFiles, target: Target) -> Facts:
    plan = planned.plan
    return Facts(
        name=plan.name,
        executor="plan",
        inputs=tuple(map(_entry, plan.inputs)),
        outputs=tuple(map(_entry, plan.outputs)),
        target=target,
        versions={},
        source="torch",
        arena_bytes=plan.memory.arena_bytes,
        weight_bytes=0,
        weights_embedded=True,
        library=files.library,
        static_library=files.static_library,
        headers=files.headers,
    )


def _entry(spec: TensorSpec) -> TensorEntry:
    return TensorEntry(name=spec.name, shape=spec.shape, dtype="float32")


def _addresses(arrays: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
