"""How much Winograd convolution rounds, beside a direct one with the sums of ONNX Runtime.

Rounding makes each sum of n products, added up one after the other, wrong by about u sqrt(n / 2) of its size, where u
is the rounding of one number; p such sums added up, by u sqrt(n / 2 + p / 2). Winograd's sums are over the channels
only, nine times as short, but its last transform takes differences of large sums. How much larger they are is, for
random inputs and weights of mean zero,

    growth = |A| |B| |G| / (3 m)      summed over the points: the squares of A's column and of B's and G's rows

so that all of it is wrong by about u growth sqrt(ROUNDINGS + n / 2 + p / 2). Behind a ReLU half of the inputs are
zeros, which favours the direct sum: there the ratio is larger, by about a fifth.

Sources: N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 4.2, with random roundings;
B. Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", 2020,
for the role of the points. The test compares the ratio with measured ones.
"""

from __future__ import annotations

import functools
import math

from schedules.cpu.winograd.matrices import TAPS, transforms

# What rounding the transformed weights and inputs, and the transforms' own sums, add up to: fitted to measured errors.
ROUNDINGS = 5.0
# Input channels that one sum of products holds. A quarter of it would bring a fifth less error and cost 5 % more time.
LONGEST_SUM = 256
# Of one layer. Errors of layers add up like the sides of a right angle, beside those of all others, so that a whole
# network stays far below it: with F(4,3), whose ratio is up to 6.3, the errors of ResNet-18 and VGG-16, which has it in
# twelve of thirteen layers, are 1.4 and 1.9 times those of ONNX Runtime. F(6,3) would have up to 27, and save
# little: by counting 12 % at 224x224 pixels, nothing at 28x28.
LIMIT = 8.0
# Products that ONNX Runtime's convolution adds up before it joins them with the others: one vector of channels.
REFERENCE_SUM = 144


def error_ratio(channels: int, outputs: int, longest_sum: int = LONGEST_SUM) -> float:
    """The error of F(outputs, 3) over that of the direct convolution, for a layer with so many input channels."""
    transformed = error_growth(outputs) ** 2 * (ROUNDINGS + _roundings(channels, longest_sum))
    return math.sqrt(transformed / _roundings(channels * TAPS**2, REFERENCE_SUM))


@functools.cache
def error_growth(outputs: int) -> float:
    """How many times the size of the result its terms have: both sides are transformed, each by the root of this."""
    matrices = transforms(outputs)
    squares = (matrices.output**2).sum(0) * (matrices.input**2).sum(1) * (matrices.weight**2).sum(1)
    return float(squares.sum()) / (TAPS * outputs)


def _roundings(products: int, longest: int) -> float:
    """The square of a sum's relative error, in units of a rounding."""
    length = min(products, longest)
    return (length + products / length) / 2
