"""How long a stage of a training lasts, and how fast it learns."""

from __future__ import annotations

import math
import time

from napari_gaussproto.core.base.errors import ConfigError

# Share of a stage that the learning rate rises.
_RISE = 0.25


def check_budget(steps: int | None, minutes: float | None) -> None:
    """Make sure that a training would begin, and end.

    Raises
    ------
    ConfigError
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"A training of {steps} steps cannot be: give 1 or more.")
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"A training of {minutes:g} minutes cannot be: give more than 0.")


def one_cycle(progress: float) -> float:
    """Learning rate over its peak at a progress in [0, 1]: cosine up, then cosine down.

    The shape of Smith & Topin (2017), as a function of progress alone, so that a resumed or
    a timed training needs no state of a scheduler.
    """
    if progress < _RISE:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / _RISE))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - _RISE) / (1 - _RISE)))) + 1e-4


class Clock:
    """Progress of a stage whose budget is a number of steps or of minutes.

    Attributes
    ----------
    steps : int
    seconds : float or None
        Without them the steps are the budget.
    """

    def __init__(self, steps: int, minutes: float | None) -> None:
        self.steps = steps
        self.seconds = None if minutes is None else 60 * minutes
        self.begin(0)

    def begin(self, first: int, seconds_before: float = 0.0) -> None:
        """Count from now on, after so many steps and seconds of an earlier run."""
        self._first, self._before = first, seconds_before
        self._start = time.monotonic()

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def spent(self) -> float:
        """Seconds so far, those before a resumption included."""
        return self._before + self._elapsed()

    def skip(self, seconds: float) -> None:
        """Do not count some time."""
        self._start += seconds

    def progress(self, step: int) -> float:
        """Share of the budget that is used after a step, in [0, 1]."""
        if self.seconds is None:
            return step / self.steps
        return min(1.0, self.spent() / self.seconds)

    def over(self, step: int) -> bool:
        """Whether the budget is used."""
        return self.progress(step) >= 1

    def left(self, step: int) -> float | None:
        """Seconds left, from the pace so far."""
        if self.seconds is not None:
            return max(0.0, self.seconds - self.spent())
        done = step - self._first
        return self._elapsed() / done * (self.steps - step) if done else None

    def total(self, step: int) -> int:
        """Steps that the budget allows: an estimate when it is in minutes."""
        if self.seconds is None:
            return self.steps
        progress = self.progress(step)
        return max(step, round(step / progress)) if progress else step
