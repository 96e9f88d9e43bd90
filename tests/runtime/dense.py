"""The network of `dense.c`: its facts, its weights, and the library around it, without the compiler proper."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecompile.target import Target
from targets.cpu.link import link_library
from targets.cpu.network import Network, Tensor
from targets.cpu.toolchain import find_toolchain

SOURCE = Path(__file__).with_name("dense.c")
K, N = 37, 53
STEPS = ("double", "dense", "dense_again")


@dataclass(frozen=True)
class Built:
    """A linked library and where its weights are."""

    network: Network
    folder: Path
    weights: Path

    @property
    def library(self) -> Path:
        return self.folder / f"lib{self.network.name}.so"

    @property
    def archive(self) -> Path:
        return self.folder / f"lib{self.network.name}.a"


def constants(seed: int) -> np.ndarray:
    """W [K, N] and b [N], float32, flat."""
    return np.random.default_rng(seed).standard_normal((K + 1) * N).astype("float32")


def expected(x: np.ndarray, seed: int) -> np.ndarray:
    """relu(2 x W + b) for x [..., K]."""
    blob = constants(seed)
    return np.maximum(2 * x @ blob[: K * N].reshape(K, N) + blob[K * N :], 0)


def describe(name: str, target: Target, *, seed: int = 0, embed: bool = False) -> Network:
    """The facts of the network `name`."""
    blob = constants(seed).tobytes()
    return Network(
        name=name,
        target=target,
        inputs=(Tensor('image "x"\n*/', "float32", (1, K), 4 * K),),
        outputs=(Tensor("scores", "float32", (1, N), 4 * N),),
        arena_bytes=4 * K,
        weights_bytes=len(blob),
        weights_sha256=hashlib.sha256(blob).hexdigest(),
        embed_weights=embed,
        steps=STEPS,
        run_symbol=f"{name}_run",
    )


def with_stored_weights(network: Network) -> tuple[Network, bytes]:
    """The network with its weights stored otherwise, and the bytes that it then needs in their place; of seed 0."""
    stored = bytes(byte ^ 0xFF for byte in constants(0).tobytes())
    changed = dataclasses.replace(
        network,
        weights_sha256=hashlib.sha256(stored).hexdigest(),
        decoded_bytes=len(stored),
        load_scratch_bytes=len(stored),
        load_symbol=f"{network.name}_load",
    )
    return changed, stored


def compile_kernels(network: Network, folder: Path, flags: Sequence[str] = ()) -> Path:
    """`dense.c` as the object file that the code generator would write."""
    path = folder / "kernels.o"
    decoded = ["-DDECODED"] if network.load_symbol else []
    arguments = ["-O2", "-g0", "-fPIC", f"-DNAME={network.name}", *decoded, *flags, "-c", str(SOURCE), "-o", str(path)]
    find_toolchain(network.target).compile(arguments, folder, "compiling dense.c")
    return path


def build(network: Network, folder: Path, *, seed: int = 0) -> Built:
    """The library of `network` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.bin"
    weights.write_bytes(constants(seed).tobytes())
    link_library(network, [compile_kernels(network, folder)], weights, folder)
    return Built(network, folder, weights)
