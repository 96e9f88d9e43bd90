"""Both ways to compute SHA-256 against `hashlib`."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from targets.cpu.runtime_objects import SOURCE_FOLDER


@pytest.mark.parametrize("accelerated", [False, True])
def test_digests(tmp_path: Path, accelerated: bool) -> None:
    """`accelerated` takes the CPU's instructions where it has them; the other build is told that there are none."""
    answer = tmp_path / "answer.c"
    answer.write_text("int ec_internal_cpu_has(const char *feature) { (void)feature; return 0; }\n")
    features = SOURCE_FOLDER / "cpu_features.c" if accelerated else answer
    library = tmp_path / "sha256.so"
    command = ["cc", "-std=c11", "-O2", "-fPIC", "-shared", f"-I{SOURCE_FOLDER}", SOURCE_FOLDER / "sha256.c", features]
    subprocess.run([*command, "-o", library], check=True)
    sha256 = ctypes.CDLL(str(library)).ec_internal_sha256
    sha256.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    data = np.random.default_rng(0).bytes(100_003)
    # Around the block of 64 bytes and the 56 after which the length needs a block of its own.
    for size in (*range(200), 4096, 100_003):
        digest = ctypes.create_string_buffer(32)
        sha256(data, size, digest)
        assert digest.raw == hashlib.sha256(data[:size]).digest(), size
