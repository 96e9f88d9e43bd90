"""Quantized numbers: their scales were made for all channels, and what follows counts on them."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("quantize", "dequantize")
def link_quantized(site: Site) -> None:
    """y = saturate(round(x / scale) + zero point), or x = (y - zero point) * scale: all of both has to stay."""
    site.refuse("it is quantized: prune before quantizing")
