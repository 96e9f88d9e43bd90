"""The C interface of a real library around a hand-written network, through ctypes."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import threading
from ctypes import c_void_p
from pathlib import Path

import numpy as np
import pytest

from edgecompile.target import Target
from targets.cpu.link import link_library
from tests.runtime import dense
from tests.runtime import library as api
from tests.runtime.library import Library, aligned

# Sums of 37 products of standard normals in another order than NumPy's.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, dense.K)).astype("float32")


@pytest.fixture
def weights(built: dense.Built) -> bytes:
    return os.fsencode(built.weights)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_run_agrees_with_numpy(library: Library, weights: bytes, x: np.ndarray, threads: int) -> None:
    status, instance = library.open(threads=threads, weights_path=weights)
    assert status == api.OK, library.last_error
    for repeat in range(50):
        given, y = aligned(x + repeat), aligned(np.full((1, dense.N), np.nan, "float32"))
        assert library.run(instance, given, y) == api.OK
        np.testing.assert_allclose(y, dense.expected(x + repeat, 0), **TOLERANCE)
    library.c.ec_close(instance)


@pytest.mark.parametrize("embed", [False, True])
def test_weights_are_decoded_when_it_is_opened(embed: bool, host: Target, tmp_path: Path, x: np.ndarray) -> None:
    network, stored = dense.with_stored_weights(dense.describe("decoding", host, embed=embed))
    weights = tmp_path / "weights.bin"
    weights.write_bytes(stored)
    link_library(network, [dense.compile_kernels(network, tmp_path)], weights, tmp_path)
    library = Library(tmp_path / "libdecoding.so", "decoding")
    given = {} if embed else {"weights_path": os.fsencode(weights)}
    instances = [library.open(threads=threads, **given) for threads in (1, 3)]
    for status, instance in instances:
        assert status == api.OK, library.last_error
        y = aligned(np.full((1, dense.N), np.nan, "float32"))
        assert library.run(instance, aligned(x), y) == api.OK
        np.testing.assert_allclose(y, dense.expected(x, 0), **TOLERANCE)
        library.c.ec_close(instance)
    assert b"#define decoding_DECODED_BYTES ((size_t)8056u)" in (tmp_path / "include/decoding.h").read_bytes()


@pytest.mark.parametrize("offset", [1, 4, 16, 32, 63])
def test_unaligned_buffers_are_copied(library: Library, weights: bytes, x: np.ndarray, offset: int) -> None:
    _, instance = library.open(weights_path=weights)
    storage = np.zeros(4 * dense.N + 192, "uint8")
    start = -storage.ctypes.data % 64 + offset
    given = np.zeros(4 * dense.K + 192, "uint8")
    first = -given.ctypes.data % 64 + offset
    given[first : first + 4 * dense.K] = x.view("uint8").reshape(-1)
    pointers = (c_void_p * 1)(given.ctypes.data + first), (c_void_p * 1)(storage.ctypes.data + start)
    assert library.c.ec_run(instance, *pointers) == api.OK, library.last_error
    y = storage[start : start + 4 * dense.N].copy().view("float32")
    np.testing.assert_allclose(y, dense.expected(x, 0)[0], **TOLERANCE)
    assert (
        not storage[:start].any() and not storage[start + 4 * dense.N :].any()
    )  # nothing beside the output was written
    library.c.ec_close(instance)


def test_description(library: Library) -> None:
    c, network = library.c, library.network
    assert (c.ec_network_name(network), c.ec_network_target(network)) == (b"dense", b"host")
    assert (c.ec_input_count(network), c.ec_output_count(network)) == (1, 1)
    info = c.ec_input(network, 0).contents
    assert info.name == b'image "x"\n*/'
    assert (info.dtype, info.rank, info.shape[0], info.shape[1], info.bytes) == (11, 2, 1, dense.K, 4 * dense.K)
    assert not c.ec_input(network, 1) and not c.ec_output(network, 1)
    assert c.ec_arena_bytes(network) == 4 * dense.K
    assert c.ec_weights_bytes(network) == 4 * (dense.K + 1) * dense.N
    names = [c.ec_step_name(network, i) for i in range(c.ec_step_count(network) + 1)]
    assert names == [b"double", b"dense", b"dense_again", None]


def test_profile_has_a_duration_for_each_step(library: Library, weights: bytes, x: np.ndarray) -> None:
    y = aligned(np.zeros((1, dense.N), "float32"))
    _, plain = library.open(weights_path=weights)
    assert not library.c.ec_step_nanoseconds(plain)
    library.c.ec_close(plain)
    _, instance = library.open(weights_path=weights, profile=1)
    library.run(instance, aligned(x), y)
    durations = library.c.ec_step_nanoseconds(instance)[:3]
    assert all(0 < duration < 1e9 for duration in durations)
    library.c.ec_close(instance)


def test_weights_from_memory(library: Library, x: np.ndarray) -> None:
    blob = aligned(dense.constants(0))
    status, instance = library.open(weights=blob.ctypes.data, weights_bytes=blob.nbytes)
    assert status == api.OK
    y = aligned(np.zeros((1, dense.N), "float32"))
    assert library.run(instance, aligned(x), y) == api.OK
    np.testing.assert_allclose(y, dense.expected(x, 0), **TOLERANCE)
    library.c.ec_close(instance)


def test_weights_in_memory_are_checked(library: Library) -> None:
    blob = aligned(dense.constants(0))
    status, _ = library.open(weights=blob.ctypes.data, weights_bytes=blob.nbytes - 4)
    assert (status, "needs 8056 bytes" in library.last_error) == (api.WEIGHTS_CORRUPT, True)
    shifted = aligned(dense.constants(0), offset=4)
    status, _ = library.open(weights=shifted.ctypes.data, weights_bytes=blob.nbytes)
    assert (status, "aligned to 64" in library.last_error) == (api.INVALID_ARGUMENT, True)
    blob[100] += 1
    status, _ = library.open(weights=blob.ctypes.data, weights_bytes=blob.nbytes)
    assert (status, "SHA-256" in library.last_error) == (api.WEIGHTS_CORRUPT, True)


def test_weights_file_is_checked(library: Library, built: dense.Built, tmp_path: Path) -> None:
    good = built.weights.read_bytes()
    damaged = tmp_path / "weights.bin"
    for content, needle in ((good[:-1], "needs 8056 bytes"), (good + b"x", "has 8057"), (b"", "has 0")):
        damaged.write_bytes(content)
        status, instance = library.open(weights_path=os.fsencode(damaged))
        assert (status, instance.value) == (api.WEIGHTS_CORRUPT, None)
        assert needle in library.last_error
    for position in (0, len(good) // 2, len(good) - 1):
        damaged.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        status, _ = library.open(weights_path=os.fsencode(damaged))
        assert (status, "SHA-256" in library.last_error) == (api.WEIGHTS_CORRUPT, True)


def test_missing_weights(library: Library, weights: bytes, tmp_path: Path) -> None:
    for path, needle in ((None, "set options.weights_path"), (tmp_path / "no", "No such file"), (tmp_path, "regular")):
        status, _ = library.open(weights_path=os.fsencode(path) if path else None)
        assert status == api.WEIGHTS_MISSING
        assert needle in library.last_error
    status, _ = library.open(weights_path=weights, weights=64, weights_bytes=8056)
    assert (status, "not both" in library.last_error) == (api.INVALID_ARGUMENT, True)


def test_wrong_options(library: Library, weights: bytes) -> None:
    status, _ = library.open(abi_version=2, weights_path=weights)
    assert (status, "abi_version is 2" in library.last_error) == (api.WRONG_VERSION, True)
    for threads in (0, -1, 1025):
        status, _ = library.open(threads=threads, weights_path=weights)
        assert (status, f"found {threads}" in library.last_error) == (api.INVALID_ARGUMENT, True)
    small = aligned(np.zeros(36, "float32"))
    status, _ = library.open(weights_path=weights, arena=small.ctypes.data, arena_bytes=small.nbytes)
    assert (status, "arena of 148 bytes" in library.last_error) == (api.INVALID_ARGUMENT, True)
    assert library.c.ec_open(None, None, ctypes.byref(c_void_p())) == api.INVALID_ARGUMENT
    assert library.c.ec_open(library.network, None, None) == api.INVALID_ARGUMENT
    library.c.ec_close(None)


def test_arena_of_the_caller_is_used(library: Library, weights: bytes, x: np.ndarray) -> None:
    arena = aligned(np.zeros(dense.K, "float32"))
    _, instance = library.open(weights_path=weights, arena=arena.ctypes.data, arena_bytes=arena.nbytes)
    assert library.run(instance, aligned(x), aligned(np.zeros((1, dense.N), "float32"))) == api.OK
    np.testing.assert_array_equal(arena, 2 * x[0])
    library.c.ec_close(instance)


def test_wrong_run_arguments(library: Library, weights: bytes, x: np.ndarray) -> None:
    _, instance = library.open(weights_path=weights)
    run, given, y = library.c.ec_run, aligned(x), aligned(np.zeros((1, dense.N), "float32"))
    inputs, outputs, nothing = (c_void_p * 1)(given.ctypes.data), (c_void_p * 1)(y.ctypes.data), (c_void_p * 1)(None)
    cases = {
        "an instance": (None, inputs, outputs),
        "1 inputs": (instance, None, outputs),
        "1 outputs": (instance, inputs, None),
        "148 bytes for input 0": (instance, nothing, outputs),
        "212 bytes for output 0 ('scores')": (instance, inputs, nothing),
        "overlaps input": (instance, inputs, (c_void_p * 1)(given.ctypes.data + 144)),
    }
    for needle, arguments in cases.items():
        assert run(*arguments) == api.INVALID_ARGUMENT
        assert needle in library.last_error
    assert run(instance, inputs, outputs) == api.OK
    library.c.ec_close(instance)


@pytest.mark.parametrize("threads", [1, 3])
def test_failed_task_is_reported_and_the_next_run_works(
    library: Library, weights: bytes, x: np.ndarray, threads: int
) -> None:
    _, instance = library.open(threads=threads, weights_path=weights)
    y = aligned(np.zeros((1, dense.N), "float32"))
    bad = aligned(x)
    bad[0, 0] = -1
    assert library.run(instance, bad, y) == api.INTERNAL
    assert library.last_error == "network 'dense': a kernel reported failure 9"
    assert library.run(instance, aligned(x), y) == api.OK
    np.testing.assert_allclose(y, dense.expected(x, 0), **TOLERANCE)
    library.c.ec_close(instance)


def _open_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_open_and_close_a_thousand_times(library: Library, weights: bytes) -> None:
    threads, maps, files = _open_threads(), 0, len(list(Path("/proc/self/fd").iterdir()))
    for i in range(1000):
        status, instance = library.open(threads=1 + i % 4, weights_path=weights)
        assert status == api.OK, library.last_error
        library.c.ec_close(instance)
        if i == 100:  # the allocator's own arenas are there by now
            maps = len(Path("/proc/self/maps").read_text().splitlines())
    assert _open_threads() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert len(Path("/proc/self/maps").read_text().splitlines()) <= maps + 2


def test_instances_run_side_by_side(library: Library, weights: bytes) -> None:
    failures: list[str] = []

    def loop(seed: int, instance: c_void_p) -> None:
        x = np.random.default_rng(seed).standard_normal((1, dense.K)).astype("float32")
        y = aligned(np.zeros((1, dense.N), "float32"))
        for _ in range(200):
            if library.run(instance, aligned(x), y) != api.OK:
                failures.append(library.last_error)
            if not np.allclose(y, dense.expected(x, 0), **TOLERANCE):
                failures.append(f"seed {seed}: other outputs")

    _, first = library.open(threads=2, weights_path=weights)
    _, second = library.open(threads=2, weights_path=weights)
    # Two instances, and two threads on one of them, which the instance's lock serialises.
    threads = [threading.Thread(target=loop, args=item) for item in ((1, first), (2, second), (3, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    library.c.ec_close(first)
    library.c.ec_close(second)


def test_last_error_belongs_to_the_thread(library: Library) -> None:
    library.open(threads=0)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(library.last_error))
    thread.start()
    thread.join()
    assert (seen, "threads" in library.last_error) == ([""], True)


def test_instance_with_threads_refuses_after_fork(library: Library, weights: bytes, x: np.ndarray) -> None:
    _, instance = library.open(threads=2, weights_path=weights)
    y = aligned(np.zeros((1, dense.N), "float32"))

    def child(pipe: multiprocessing.connection.Connection) -> None:
        status = library.run(instance, aligned(x), y)
        pipe.send((status, library.last_error))
        library.c.ec_close(instance)
        pipe.send("closed")

    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    process = fork.Process(target=child, args=(there,))
    process.start()
    assert here.poll(30)
    status, message = here.recv()
    assert (status, "before fork" in message) == (api.INVALID_ARGUMENT, True)
    assert here.poll(30)
    assert here.recv() == "closed"
    process.join()
    assert library.run(instance, aligned(x), y) == api.OK
    library.c.ec_close(instance)


def test_two_libraries_in_one_process(library: Library, weights: bytes, host: Target, tmp_path: Path) -> None:
    other = dense.build(dense.describe("other", host, seed=5, embed=True), tmp_path, seed=5)
    second = Library(other.library, "other")
    _, a = library.open(threads=2, weights_path=weights)
    _, b = second.open(threads=2)
    x = np.ones((1, dense.K), "float32")
    y = aligned(np.zeros((1, dense.N), "float32"))
    for _ in range(20):
        assert library.run(a, aligned(x), y) == api.OK
        np.testing.assert_allclose(y, dense.expected(x, 0), **TOLERANCE)
        assert second.run(b, aligned(x), y) == api.OK
        np.testing.assert_allclose(y, dense.expected(x, 5), **TOLERANCE)
        # As when the dynamic linker binds both to one copy: the first library's runtime on the second's network.
    crossed = c_void_p()
    options = api.Options(abi_version=1, threads=3)
    assert library.c.ec_open(second.network, ctypes.byref(options), ctypes.byref(crossed)) == api.OK
    assert library.run(crossed, aligned(x), y) == api.OK
    np.testing.assert_allclose(y, dense.expected(x, 5), **TOLERANCE)
    library.c.ec_close(crossed)
    library.c.ec_close(a)
    second.c.ec_close(b)
