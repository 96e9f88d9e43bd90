"""What only x86 has: instructions by the names that LLVM gives them."""

from __future__ import annotations
