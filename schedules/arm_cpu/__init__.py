"""What only ARM CPUs have: instructions by the names that LLVM gives them."""

from __future__ import annotations
