"""Cross-layer equalisation: the weights of consecutive layers get like ranges, channel by channel.

Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tvm

from edgecompile.compress.graph.edit import with_constants
from edgecompile.compress.quantize.improve.sites import NO_WEIGHT, Constants, Site, find_sites, scale
from edgecompile.decision import Decision

STEP = "Equalize"

_ROUNDS = 100
_CONVERGED = 1e-4  # of the logarithm of a factor


def equalize(module: tvm.IRModule, products: Collection[str], decisions: list[Decision]) -> tvm.IRModule:
    """The same float function with other weights.

        w2 @ relu(w1 @ x + b)   ->   (w2 * s) @ relu((w1 / s) @ x + b / s),   s = sqrt(max |w1| / max |w2|)

    for each channel between two layers, over all pairs again and again until nothing changes: each layer but the first
    and the last is in two pairs. A channel that is zero on either side stays as it is.

    Args:
        module: after `simplify_model`.
        products: the names of the layers that may change.
        decisions: receives one for each of them.
    """
    sites, reasons, constants = find_sites(module["main"])
    chosen = [site for site in sites if not site.is_norm and _names(site) <= set(products)]
    before = dict(constants)
    for _ in range(_ROUNDS):
        if max((_equalize(site, constants) for site in chosen), default=0.0) < _CONVERGED:
            break
    others = {
        product.name: "what is before it is a norm, or not to be equalized"
        for site in sites
        for product in site.readers
    }
    decisions += _decisions(chosen, set(products), others | reasons, before, constants)
    changed = {key: array for key, array in constants.items() if array is not before[key]}
    return with_constants(module, changed) if changed else module


def _equalize(site: Site, constants: Constants) -> float:
    """Scale one site; how far the farthest channel was from equal, as a logarithm."""
    weight = site.written[0]
    first = weight.magnitudes(constants[weight.key]).astype(np.float64)
    second = np.max([slot.magnitudes(constants[slot.key]) for slot in site.read], axis=0).astype(np.float64)
    usable = (first > 0) & (second > 0)
    factors = np.ones(site.channels)
    factors[usable] = np.sqrt(first[usable] / second[usable])
    scale(site, constants, factors.astype(np.float32))
    return float(np.abs(np.log(factors)).max(initial=0.0))


def _names(site: Site) -> set[str]:
    return {product.name for product in (site.producer, *site.readers)}


def _decisions(
    chosen: list[Site], products: set[str], reasons: dict[str, str], before: Constants, after: Constants
) -> list[Decision]:
    found = []
    for site in chosen:
        slot = site.written[0]
        ratios = [_spread(slot.magnitudes(constants[slot.key])) for constants in (before, after)]
        reason = f"its channels' ranges differed {ratios[0]:.3g} times, now {ratios[1]:.3g} times"
        followers = ", ".join(product.name for product in site.readers)
        found.append(Decision(STEP, f"{site.producer.name} -> {followers}", True, reason))
    reached = {product.name for site in chosen for product in site.readers}
    for name in sorted(products - reached):
        found.append(Decision(STEP, name, False, reasons.get(name, NO_WEIGHT)))
    return found


def _spread(magnitudes: np.ndarray) -> float:
    """The greatest by the smallest that is not zero."""
    positive = magnitudes[magnitudes > 0]
    return float(positive.max() / positive.min()) if positive.size else 1.0
