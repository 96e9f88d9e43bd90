"""What holds for the weights of every model, whatever framework it comes from."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np

from edgecompile.errors import InvalidModelError

_SHOWN = 5


def refuse_nan(weights: Mapping[str, np.ndarray]) -> None:
    """Refuse weights that are no numbers: what they reach would be NaN. Infinities pass, masks are made of them.

    Args:
        weights: arrays of any shape and dtype, by the name that the user knows.

    Raises:
        InvalidModelError: a floating-point weight holds NaN.
    """
    names = [name for name, array in weights.items() if _is_floating(array.dtype) and np.isnan(array).any()]
    if names:
        shown = ", ".join(f"'{name}'" for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        count = "1 weight holds" if len(names) == 1 else f"{len(names)} weights hold"
        raise InvalidModelError(
            f"weights that are numbers were needed, found that {count} NaN: {shown}; check the training or the export"
        )


def _is_floating(dtype: np.dtype) -> bool:
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
