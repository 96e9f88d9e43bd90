"""The phases of a transposed convolution."""

from __future__ import annotations

from edgecompile.transposed_convolution import TransposedConvolution


def test_taps_of_a_doubling() -> None:
    """Kernel 4, stride 2, one pixel cut off: each phase has two taps, and begins one pixel before or at the image."""
    problem = TransposedConvolution(1, 8, 8, 5, 6, (4, 4), (2, 2), (1, 1, 1, 1))
    assert (problem.out_height, problem.out_width) == (10, 12)
    phases = list(problem.phases())
    assert [phase.taps[0] for phase in phases] == [[3, 1], [3, 1], [2, 0], [2, 0]]
    assert [phase.problem.padding for phase in phases] == [(1, 1, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 1, 1)]
    assert all((phase.problem.out_height, phase.problem.out_width) == (5, 6) for phase in phases)
    assert sum(phase.problem.macs for phase in phases) == problem.macs


def test_kernel_smaller_than_the_stride() -> None:
    """Three of four phases meet no tap."""
    problem = TransposedConvolution(1, 8, 8, 5, 6, (1, 1), (2, 2), output_padding=(1, 1))
    phases = list(problem.phases())
    assert [bool(all(phase.taps)) for phase in phases] == [True, False, False, False]
    assert [phase.problem.out_height for phase in phases] == [5, 5, 5, 5]


def test_phases_without_pixels_are_left_out() -> None:
    problem = TransposedConvolution(1, 8, 8, 1, 1, (2, 2), (3, 3))
    assert [phase.index for phase in problem.phases()] == [0, 1, 3, 4]


def test_dilated_kernel_with_a_common_divisor() -> None:
    """Dilation 2 and stride 2: all taps fall on the even pixels, one pixel apart."""
    problem = TransposedConvolution(1, 8, 8, 4, 4, (3, 3), (2, 2), dilations=(2, 2))
    first, *others = problem.phases()
    assert first.taps == ([2, 1, 0], [2, 1, 0]) and first.problem.dilations == (1, 1)
    assert not any(all(phase.taps) for phase in others)
