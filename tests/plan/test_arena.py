"""Arena layout: nothing that is alive together overlaps, and the size is what it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgecompile.plan.arena import Lifetime, lay_out
from edgecompile.plan.execution_plan import ALIGNMENT_BYTES, align

LIFETIMES = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        st.integers(0, 5000),
        st.integers(0, 20),
        st.integers(0, 8),
    ),
    max_size=24,
)


@given(LIFETIMES)
def test_live_tensors_never_overlap(lifetimes: list[Lifetime]) -> None:
    offsets, memory = lay_out(lifetimes)
    assert len(offsets) == len(lifetimes)
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in offsets)
    for i, (a, at) in enumerate(zip(lifetimes, offsets, strict=True)):
        assert at + align(a.size_bytes) <= memory.arena_bytes
        for b, other in list(zip(lifetimes, offsets, strict=True))[:i]:
            apart = at + a.size_bytes <= other or other + b.size_bytes <= at
            assert apart or not a.overlaps(b)


@given(LIFETIMES)
def test_size_is_between_its_bounds(lifetimes: list[Lifetime]) -> None:
    _, memory = lay_out(lifetimes)
    assert memory.lower_bound_bytes <= memory.arena_bytes <= memory.sum_bytes


def test_chain_needs_two_buffers() -> None:
    chain = [Lifetime(1024, step, step + 1) for step in range(10)]
    _, memory = lay_out(chain)
    assert memory.arena_bytes == memory.lower_bound_bytes == 2048
    assert memory.sum_bytes == 10 * 1024


def test_same_input_gives_the_same_layout() -> None:
    lifetimes = [Lifetime(64 * (1 + i % 3), i, i + i % 4) for i in range(30)]
    assert lay_out(lifetimes) == lay_out(list(lifetimes))


def test_nothing_needs_nothing() -> None:
    offsets, memory = lay_out([])
    assert offsets == []
    assert memory.arena_bytes == memory.sum_bytes == memory.lower_bound_bytes == 0
