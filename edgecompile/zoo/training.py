"""Trains the digits networks, once per machine and version; the weights are cached as safetensors."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgecompile import settings, zoo

EPOCHS = 12
_BATCH = 64
_RATE = 4e-3
_SEED = 1
_THREADS = 1  # two threads that wait for each other on a busy machine are ten times slower
# What decides the weights: these files, besides torch and scikit-learn.
_SOURCES = ("digits.py", "initialize.py", "mobilenet.py", "resnet.py", "training.py", "vgg.py")


def trained_weights(name: str) -> dict[str, torch.Tensor]:
    """The weights from the cache; trains and caches them where there are none or they are not what was written."""
    path = settings.cache_directory() / "zoo" / f"{name}-{_key()}.safetensors"
    cached = _read(path)
    if cached is not None:
        return cached
    module, _ = zoo.build(name)
    train(module, name)
    weights = {key: value.detach().clone().contiguous() for key, value in module.state_dict().items()}
    _write(path, weights)
    return weights


def train(module: nn.Module, name: str, epochs: int = EPOCHS) -> None:
    """Trains in place on the digits, then sets eval mode; the same on every call on one machine."""
    from edgecompile.zoo.digits import load_digits

    data = load_digits()
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    with torch.random.fork_rng(devices=[]), _threads(_THREADS):
        torch.manual_seed(_SEED)
        _restart(module)
        optimizer = torch.optim.AdamW(module.parameters(), lr=_RATE, weight_decay=1e-2)
        steps = epochs * (len(images) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
        module.train()
        with _progress(f"training {name} on scikit-learn's digits", steps) as advance:
            for _ in range(epochs):
                order = torch.randperm(len(images))
                for start in range(0, len(images) - _BATCH + 1, _BATCH):
                    batch = order[start : start + _BATCH]
                    loss = functional.cross_entropy(module(_shift(images[batch])), labels[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    advance()
    module.eval()


def _restart(module: nn.Module) -> None:
    """PyTorch's usual initial weights; the zoo's own are made to look trained already."""
    for child in module.modules():
        reset = getattr(child, "reset_parameters", None)
        if reset is not None:
            reset()


def _shift(images: torch.Tensor) -> torch.Tensor:
    """Moves the whole batch by up to two pixels each way, the background drawn in."""
    down, right = (int(torch.randint(-2, 3, ())) for _ in range(2))
    padded = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    return padded[:, :, 2 + down : 34 + down, 2 + right : 34 + right]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """A fixed number of threads, which decides the order of sums and with it the last bits of the weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _progress(title: str, steps: int) -> Iterator[Any]:
    """A progress bar on the standard error stream; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True) if console.is_terminal else nullcontext() as bar:
        if bar is None:
            yield lambda: None
            return
        task = bar.add_task(title, total=steps)
        yield lambda: bar.advance(task)


def _key() -> str:
    """Changes with everything that decides the weights."""
    import sklearn

    digest = hashlib.sha256(f"torch {torch.__version__} scikit-learn {sklearn.__version__}".encode())
    for source in _SOURCES:
        digest.update((Path(__file__).parent / source).read_bytes())
    return digest.hexdigest()[:16]


def _checksum(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, torch.Tensor] | None:
    """The weights in the file; None where it is missing, damaged or not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no mapping)
            written = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    return weights if written == _checksum(weights) else None


def _write(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Writes beside the path and renames, so that no reader sees half a file; does without a cache it cannot write."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, temporary, metadata={"sha256": _checksum(weights)})
        temporary.replace(path)
    except (OSError, SafetensorError):
        with suppress(OSError):
            temporary.unlink()
