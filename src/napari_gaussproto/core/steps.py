"""Drive generators: long work yields typed steps, and whoever calls decides what to do between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class TrainingStep:
    """What happened in one step of a fit.

    Attributes
    ----------
    stage : str
        "features", "warm-up", "layer", "joint" or "finish"; of `learn_steps` "trial" and
        "final" instead of "joint".
    step, total : int
        Within the stage; ``total`` is an estimate when the budget is in minutes.
    losses : dict of str to float
        Each term times its weight; empty where nothing is optimised.
    validation_miou, best_miou : float or None
        Of this step, if it validated, and the best so far.
    labelled_miou : float or None
        Mean IoU on the labelled cells of the last crops, which are augmented; joint stage.
    seconds_left : float or None
        Of the joint stage; during a trial, of the final training too, at most.
    """

    stage: str
    step: int
    total: int
    losses: dict[str, float] = field(default_factory=dict)
    validation_miou: float | None = None
    best_miou: float | None = None
    labelled_miou: float | None = None
    seconds_left: float | None = None
