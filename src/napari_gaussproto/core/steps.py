"""Drive generators: long work yields typed steps, and whoever calls decides what to do between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def run(
    steps: Generator[Step, None, Result], progress: Callable[[Step], None] | None = None
) -> Result:
    """Drive a generator to its end and return its value."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if progress is not None:
            progress(step)
