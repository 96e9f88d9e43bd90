"""The thread pool by itself: every task once, stalled workers, failing tasks; by the compiler's sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from targets.cpu.runtime_objects import INCLUDE_FOLDER, SOURCE_FOLDER


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_every_task_is_done_once(tmp_path: Path, sanitizer: str) -> None:
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    sources = [SOURCE_FOLDER / "thread_pool.c", SOURCE_FOLDER / "fail.c", Path(__file__).with_name("pool.c")]
    includes = [f"-I{INCLUDE_FOLDER}", f"-I{SOURCE_FOLDER}"]
    subprocess.run(["cc", *flags, *includes, *sources, "-pthread", "-o", tmp_path / "pool"], check=True)
    result = subprocess.run([tmp_path / "pool"], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "pool: ok\n"), result.stderr
