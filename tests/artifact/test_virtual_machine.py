"""Models with dimensions that only the caller knows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.manifest import REPORT_NAME, TensorEntry
from edgecompile.artifact.open import open
from edgecompile.artifact.report import Report
from edgecompile.artifact.selftest import SelfTest, write_selftest
from edgecompile.artifact.write import seal, staging
from edgecompile.errors import InvalidInputError, RuntimeFailureError
from tests.artifact import tiny

REASON = "dimension 'n' is not known"
A = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifact]:
    """sum = a + b and twice = a * 2, for any number n of rows."""
    import tvm
    from tvm import relax

    n = tvm.tirx.Var("n", "int64")
    a, b = (relax.Var(name, relax.TensorType((n, 3), "float32")) for name in "ab")
    builder = relax.BlockBuilder()
    with builder.function("main", [a, b]):
        with builder.dataflow():
            total = builder.emit_output(relax.op.add(a, b))
            twice = builder.emit_output(relax.op.multiply(a, relax.const(2.0)))
        builder.emit_func_output(relax.Tuple([total, twice]))
    out = tmp_path_factory.mktemp("dynamic") / "net"
    with staging(out) as folder:
        tvm.compile(builder.get(), "llvm").export_library(str(folder / "libdynamic.so"))
        (folder / REPORT_NAME).write_bytes(Report(executor="vm", executor_reason=REASON).encode())
        answers = {"sum": A + A, "twice": A * 2}
        write_selftest(folder, SelfTest({"a": A, "b": A}, answers, answers))
        seal(
            folder,
            tiny.facts(
                name="dynamic",
                executor="vm",
                executor_reason=REASON,
                inputs=tuple(TensorEntry(name=name, shape=("n", 3), dtype="float32") for name in "ab"),
                outputs=tuple(TensorEntry(name=name, shape=("n", 3), dtype="float32") for name in ("sum", "twice")),
                library="libdynamic.so",
                static_library=None,
                headers=(),
                weights=None,
                weights_embedded=True,
            ),
        )
    with open(out) as artifact:
        yield artifact


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_any_length_runs(dynamic: Artifact, rows: int) -> None:
    a = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    total, twice = dynamic.run(a, a)
    np.testing.assert_array_equal(total, a + a)
    np.testing.assert_array_equal(twice, a * 2)


def test_one_name_is_one_length(dynamic: Artifact) -> None:
    with pytest.raises(InvalidInputError, match=r"'b' has length 1 in dimension 0 \(n\), but input 'a' has 2"):
        dynamic.run(A, A[:1])
    with pytest.raises(InvalidInputError, match=r"'a' needs shape \[n, 3\], found \[2, 2\]"):
        dynamic.run(A[:, :2], A)


def test_verify_and_bench(dynamic: Artifact) -> None:
    assert dynamic.verify().ok
    stats = dynamic.bench(repeat=3, warmup=0, threads=2)
    assert (stats.repeat, stats.machine) == (3, "Relax virtual machine")


def test_there_are_no_steps(dynamic: Artifact) -> None:
    with pytest.raises(RuntimeFailureError, match=f"need a static plan, and Relax's virtual machine runs .*{REASON}"):
        dynamic.profile()


def test_it_cannot_be_emulated(dynamic: Artifact) -> None:
    with pytest.raises(RuntimeFailureError, match=f"cannot run Relax's virtual machine.*{REASON}"):
        open(dynamic.path, emulate=True)
