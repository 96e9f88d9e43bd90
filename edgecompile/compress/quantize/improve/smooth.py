"""SmoothQuant: outliers of activations move into the weights that read them.

Source: G. Xiao, J. Lin, M. Seznec, H. Wu, J. Demouth, S. Han, "SmoothQuant: Accurate and Efficient Post-Training
Quantization for Large Language Models", ICML 2023, equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.graph.edit import with_constants
from edgecompile.compress.quantize.improve.sites import NO_WEIGHT, Constants, Site, find_sites, scale
from edgecompile.decision import Decision

STEP = "Smooth"

_LEAST = 1e-5  # of a range, as in the authors' implementation: a channel that is nearly always zero has no range


def smooth(
    module: tvm.IRModule,
    exponents: Mapping[str, float],
    peaks: Mapping[str, np.ndarray],
    decisions: list[Decision],
) -> tvm.IRModule:
    """The same float function with other weights and activations.

        norm(x) * gamma + beta, @ w   ->   norm(x) * (gamma / s) + beta / s, @ (w * s),
        s = max |activation|^a / max |w|^(1 - a)

    for each channel of an activation that products with constant weights read, all with one factor. The factor is
    folded into the norm, or into the layer, that makes the activation. A norm that others read too, such as a residual
    sum, is computed a second time for the products.

    Args:
        module: after `simplify_model`.
        exponents: a of each layer that shall be smoothed, by name.
        peaks: `[channels]`, the greatest magnitudes of an activation's channels, by its name; one that is missing was
            not finite on the calibration data.
        decisions: receives one for each layer of `exponents`.
    """
    sites, reasons, constants = find_sites(module["main"])
    reached: set[str] = set()
    changed: Constants = {}
    split: dict[relax.Var, Sequence[relax.Var]] = {}
    for site in sites:
        names = [product.name for product in site.readers]
        if not set(names) & set(exponents):
            continue
        reached.update(names)
        why_not = _why_not(site, exponents, peaks)
        if why_not is None:
            alpha, peak = exponents[names[0]], peaks[site.activation]
            factors = _factors(site, constants, peak, alpha)
            scale(site, constants, factors)
            if site.is_shared:
                split[site.producer] = site.readers
            changed |= {slot.key: constants[slot.key] for slot in (*site.written, *site.read)}
            spread = f"{_spread(peak):.3g} times, now {_spread(peak / factors):.3g} times"
            place = f"{site.producer.name}{' (one more of it: others read it too)' if site.is_shared else ''}"
            reason = f"folded into {place}; the activation's channels differed {spread}"
        else:
            reason = why_not
        decisions += [Decision(STEP, name, why_not is None, reason) for name in names if name in exponents]
    decisions += [
        Decision(STEP, name, False, reasons.get(name, NO_WEIGHT)) for name in exponents if name not in reached
    ]
    return with_constants(module, changed, split) if changed else module


def _why_not(site: Site, exponents: Mapping[str, float], peaks: Mapping[str, np.ndarray]) -> str | None:
    names = [product.name for product in site.readers]
    missing = [name for name in names if name not in exponents]
    if missing:
        return f"{missing[0]} reads the same activation and is not to be smoothed"
    if len({exponents[name] for name in names}) > 1:
        return f"{', '.join(names)} read one activation and have different exponents"
    if site.activation not in peaks:
        return f"{site.activation} has no range"
    return None


def _factors(site: Site, constants: Constants, peak: np.ndarray, alpha: float) -> np.ndarray:
    """float32 `[channels]`; one where the activation or the weights are always zero."""
    weights = np.max([slot.magnitudes(constants[slot.key]) for slot in site.read], axis=0).astype(np.float64)
    wide = peak.astype(np.float64)
    usable = (wide > 0) & (weights > 0)
    factors = np.ones(site.channels)
    bounded = np.maximum(wide[usable], _LEAST) ** alpha / np.maximum(weights[usable], _LEAST) ** (1 - alpha)
    factors[usable] = np.maximum(bounded, _LEAST)
    return factors.astype(np.float32)


def _spread(magnitudes: np.ndarray) -> float:
    """The greatest by the median."""
    middle = float(np.median(magnitudes))
    return float(magnitudes.max() / middle) if middle > 0 else float("inf")
