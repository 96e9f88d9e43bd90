"""`Metric`: a user's evaluation, whose answers can be trusted to be numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecompile.errors import EdgeCompileError, InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Evaluate, Predict


class Metric:
    """Calls the user's function with one that computes the model.

    Attributes:
        name: of the function, for people.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        module = getattr(evaluate, "__module__", None)
        name = getattr(evaluate, "__qualname__", type(evaluate).__name__)
        self.name = f"{module}.{name}" if module else name

    def __call__(self, predict: Predict) -> float:
        """The metric of what `predict` computes.

        Raises:
            InvalidInputError: the function raises, answers something else than a finite number, or never computes
                anything.
        """
        import numpy as np

        calls = 0

        def counted(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            nonlocal calls
            calls += 1
            # Of a model with one input, the array itself is what most people would pass.
            return predict([inputs] if isinstance(inputs, np.ndarray) else inputs)

        try:
            value = self._evaluate(counted)
        except EdgeCompileError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise InvalidInputError(f"eval {self.name} failed: {type(error).__name__}: {error}") from error
        if not calls:
            raise InvalidInputError(
                f"eval {self.name} never calls the function that it is given, which computes the model: call it with "
                "the inputs of one inference"
            )
        return self._number(value)

    def _number(self, value: object) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]  # anything may come, also an array of one element
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"eval {self.name} must answer a number, found {type(value).__name__} {value!r:.60}"
            ) from error
        if not math.isfinite(number):
            raise InvalidInputError(f"eval {self.name} must answer a finite number, found {number}")
        return number
