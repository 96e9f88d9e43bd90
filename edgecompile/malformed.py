"""The first thing that is wrong with a document that was read, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def malformed(error: ValidationError) -> str:
    """`malformed at steps.0.kind: ...`; short, whatever the document holds."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "top level"
    return f"malformed at {where:.200}: {first['msg'].removeprefix('Value error, '):.200}"
