"""Drive generators: long work yields typed steps, and its caller decides what happens between."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from napari_gaussproto.core.base.errors import memory_in_words

Step = TypeVar("Step")
Result = TypeVar("Result")


class WithValue(Generic[Step, Result]):
    """Steps of a generator for a loop, and its value once all steps were taken."""

    value: Result

    def __init__(self, steps: Generator[Step, None, Result]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[Step]:
        """Take the steps; giving up the loop closes the generator."""
        self.value = yield from self._steps


def run(
    steps: Generator[Step, None, Result], progress: Callable[[Step], None] | None = None
) -> Result:
    """Drive a generator to its end and return its value; an error of ``progress`` closes it.

    Raises
    ------
    ShortOfMemoryError
    """
    try:
        with memory_in_words():
            for step in (work := WithValue(steps)):
                if progress is not None:
                    progress(step)
            return work.value
    finally:
        steps.close()


def driven(result: Any) -> Generator[Any, None, Any]:
    """Steps and value of what a function gave: of a generator, or no step and the value."""
    return (yield from result) if isinstance(result, Generator) else result


def without_pauses(
    steps: Generator[Step, None, Result], skip: Callable[[float], None]
) -> Generator[Step, None, Result]:
    """Steps of a generator; the seconds that its driver takes in between go to ``skip``."""
    for step in (work := WithValue(steps)):
        asked = time.monotonic()
        yield step
        skip(time.monotonic() - asked)
    return work.value


@dataclass(frozen=True)
class TrainingStep:
    """What happened in one step of a fit.

    Attributes
    ----------
    stage : str
        "features", "warm-up", "layer", "joint", "validation" or "finish"; of a fine-tune "start"
        before them; of `trial_fit_steps` "trial" and "final" instead of "joint"; of a quick fit
        "decode" and "layer"; of two starts "compare"; of a rejection "train away".
    step, total : int
        Within the stage, images of a validation; ``total`` is an estimate when the budget is
        in minutes.
    losses : dict of str to float
        Each term times its weight; empty where nothing is optimised.
    validation_miou, best_miou : float or None
        Of this step, if it validated, and the best so far.
    labelled_miou : float or None
        Mean IoU on the labelled cells of the last crops, which are augmented; joint stage.
    seconds_left : float or None
        Of the joint stage; during a trial, of the final training too, at most.
    note : str
        A sentence for the person at the screen, as when a stage went astray; mostly empty.
    """

    stage: str
    step: int
    total: int
    losses: dict[str, float] = field(default_factory=dict)
    validation_miou: float | None = None
    best_miou: float | None = None
    labelled_miou: float | None = None
    seconds_left: float | None = None
    note: str = ""

    @property
    def keep(self) -> bool:
        """Whether who shows steps must not leave it out; measurements and notes are rare."""
        return self.validation_miou is not None or bool(self.note)
