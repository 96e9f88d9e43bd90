"""Whether products of 8-bit numbers are summed exactly by this CPU's fastest instruction."""

from __future__ import annotations

from pathlib import Path

_EXACT = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


def describe_sums() -> str:
    """ "exact sums (avx512_vnni)", or that they saturate: `vpmaddubsw` adds pairs of products in 16 bits."""
    words = set(Path("/proc/cpuinfo").read_text().split())
    exact = sorted(words & _EXACT)
    return f"exact sums ({exact[0]})" if exact else "sums may saturate (no VNNI)"
