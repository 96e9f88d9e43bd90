"""What is wrong with a document, in words."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from edgecompile.malformed import malformed


class _Document(BaseModel):
    sizes: list[int]

    @field_validator("sizes")
    @classmethod
    def _check(cls, sizes: list[int]) -> list[int]:
        if len(sizes) > 2:
            raise ValueError("too many " + "x" * 1000)
        return sizes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sizes": [1, "a"]}', "malformed at sizes.1: Input should be a valid integer"),
        ("[]", "malformed at top level: Input should be an object"),
        ('{"sizes": [1, 2, 3]}', "malformed at sizes: too many xxx"),
    ],
)
def test_place_and_reason(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Document.model_validate_json(text)
    found = malformed(caught.value)
    assert found.startswith(said)
    assert len(found) < 450
