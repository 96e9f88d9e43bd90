"""`Operator`: a name, the function that appends such a node, and the oldest opset that has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.builder import GraphBuilder


@dataclass(frozen=True)
class Operator:
    name: str
    build: Callable[[GraphBuilder], None]
    since: int = 0
