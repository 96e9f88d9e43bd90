"""Which rules are for a layer, and what a pattern that is for none is told."""

from __future__ import annotations

import pytest

from edgecompile.compress.rules import refuse_unmatched, rules_for
from edgecompile.errors import InvalidRecipeError


def test_patterns_come_after_operators_in_their_order() -> None:
    operators, layers = {"matmul": 1, "nn.conv2d": 2}, {"head_*": 3, "*": 4, "stem": 5}
    assert rules_for(["head_1"], ["nn.conv2d"], operators, layers) == [
        ("operators.nn.conv2d", 2),
        ("layers.head_*", 3),
        ("layers.*", 4),
    ]
    together = rules_for(["head_1", "stem"], ["nn.conv2d", "matmul"], operators, layers)
    assert [rule for _, rule in together] == [1, 2, 3, 4, 5]


def test_the_nearest_are_named() -> None:
    names = ["stem", "head_conv", "head_norm", "tail"]
    refuse_unmatched(["head_*", "*"], names, "layer")
    with pytest.raises(InvalidRecipeError, match=r"'haed_conv' matches no layer; the nearest are head_conv"):
        refuse_unmatched(["head_*", "haed_conv"], names, "layer")
    with pytest.raises(InvalidRecipeError, match=r"the nearest are stem, head_conv, head_norm$"):
        refuse_unmatched(["?"], names, "layer")
