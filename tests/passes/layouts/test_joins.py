"""Concatenation and splitting in blocks, and where blocks would be cut."""

from __future__ import annotations

from typing import Any

from tvm import relax

from tests.passes.layouts.plans import callees, check_numbers, conv, plan


def dense(builder: Any, x: Any) -> Any:
    """Each layer reads all results before it."""
    y = builder.emit(conv(x, 32))
    for channels in (32, 48, 64):
        fresh = builder.emit(relax.op.nn.relu(builder.emit(conv(y, 16, channels))))
        y = builder.emit(relax.op.concat([y, fresh], axis=1))
    return y


def test_dense_layers_stay_in_blocks() -> None:
    before, after, _ = plan(dense)
    assert callees(after) == {"to_blocks": 1, "conv2d": 4, "nn.relu": 3, "concat": 3, "from_blocks": 1}
    check_numbers(before, after)


def test_blocks_are_not_cut() -> None:
    """20 channels are one block of 20, 40 are five of eight."""

    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(relax.op.concat([builder.emit(conv(x, 20)), builder.emit(conv(x, 20))], axis=1))
        return conv(y, 16, 40)

    before, after, _ = plan(body)
    assert callees(after) == {"to_blocks": 2, "conv2d": 3, "from_blocks": 3, "concat": 1}
    check_numbers(before, after)


def test_rows_are_put_together() -> None:
    def body(builder: Any, x: Any) -> Any:
        y = builder.emit(relax.op.concat([builder.emit(conv(x, 24)), builder.emit(conv(x, 24))], axis=-2))
        return conv(y, 8, 24)

    before, after, _ = plan(body)
    assert callees(after) == {"to_blocks": 1, "conv2d": 3, "concat": 1, "from_blocks": 1}
    check_numbers(before, after)


def shuffled(places: Any, axis: int) -> Any:
    def body(builder: Any, x: Any) -> Any:
        parts = builder.emit(relax.op.split(builder.emit(conv(x, 48)), places, axis=axis))
        first, second = builder.emit(parts[0]), builder.emit(parts[1])
        first = builder.emit(conv(first, int(second.ty.shape[1]), int(first.ty.shape[1])))
        return relax.op.nn.relu(builder.emit(relax.op.concat([first, second], axis=axis)))

    return body


def test_channels_are_split_between_blocks() -> None:
    for places, axis in ((2, 1), ([16], 1), ([3], 2)):
        before, after, _ = plan(shuffled(places, axis))
        assert callees(after) == {
            "to_blocks": 1,
            "conv2d": 2,
            "split": 1,
            "concat": 1,
            "nn.relu": 1,
            "from_blocks": 1,
        }, (places, axis)
        check_numbers(before, after)


def test_channels_are_not_split_within_a_block() -> None:
    before, after, _ = plan(shuffled([20], 1))
    assert callees(after)["from_blocks"] == 2
    check_numbers(before, after)


def test_a_tuple_that_is_also_returned_whole_stays_plain() -> None:
    def body(builder: Any, x: Any) -> list[Any]:
        parts = builder.emit(relax.op.split(builder.emit(conv(x, 32)), 2, axis=1))
        return [conv(builder.emit(parts[0]), 16), parts]

    before, after, _ = plan(body)
    assert callees(after) == {"to_blocks": 2, "conv2d": 2, "from_blocks": 2, "split": 1}
    assert str(after["main"].ret_ty) == str(before["main"].ret_ty)
