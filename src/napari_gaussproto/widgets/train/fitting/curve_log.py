"""What is known of a training, step by step, as curves; no part of the screen."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import DEFAULT_COLORS
from napari_gaussproto.widgets.train.fitting.semi_terms import name_of_loss

if TYPE_CHECKING:
    from napari_gaussproto.core.base.steps import TrainingStep

HELD_OUT, LABELLED, GATE = "held-out", "labelled", "passes the gate"
# What a stage is called next to its line.
_NAMES = {"final": "on all strokes"}
_GATE_KEY = "gate"  # among a step's losses
# A step's loss depends on its crops as much as on the model: where a crop shows a few labelled
# cells at its border, a model that is sure of itself is a hundred times worse for one step. So
# the line follows the middle one of the last values, and each pulls on it a little.
_MIDDLE_OF, _PULL = 7, 0.3
SMOOTHED = (
    f"The middle of the last {_MIDDLE_OF} steps, smoothed: a crop that shows few strokes can make "
    "a single step a hundred times worse"
)
# A logarithmic axis once typical values of the terms are this far apart.
_LOG_FROM = 15.0
# Points of a line at most: more cannot be told apart on the screen.
_MOST_POINTS = 400
Values = npt.NDArray[np.float64]


@dataclass
class Series:
    """A curve: steps, values, and the values that are drawn."""

    name: str
    color: str
    smooth: bool = False  # draw what single crops do not change instead of every value
    marks: bool = False  # draw each value as a dot too; for values that are rare
    dashed: bool = False
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)
    begun: float = -math.inf  # where the present stage begins: a line begins anew with it
    kept: tuple[float, float] | None = None  # step and value of the weights that are kept so far

    def add(self, x: float, y: float) -> None:
        """Append a value; one that is not finite is skipped."""
        if not math.isfinite(y):
            return
        if self.x and x == self.x[-1]:
            self.y[-1] = y
            self.drawn[-1] = y if not self.smooth else self.drawn[-1]
            return
        self.x.append(x)
        self.y.append(y)
        self.drawn.append(self._smoothed() if self.smooth else y)

    def _smoothed(self) -> float:
        """What is drawn for the newest value."""
        own = max(1, len(self.x) - bisect_right(self.x, self.begun))
        middle = float(np.median(self.y[-min(own, _MIDDLE_OF) :]))
        return middle if own == 1 else self.drawn[-1] + _PULL * (middle - self.drawn[-1])

    def at(self, x: float) -> tuple[float, float] | None:
        """Last step at or before ``x``, with the value that is drawn."""
        place = bisect_right(self.x, x) - 1
        return None if place < 0 else (self.x[place], self.drawn[place])

    def line(self) -> tuple[Values, Values]:
        """Steps and drawn values, (N,) each: no more than can be told apart, the last included."""
        stride = max(1, -(-len(self.x) // _MOST_POINTS))
        x, drawn = ([*all_of[:-1:stride], *all_of[-1:]] for all_of in (self.x, self.drawn))
        return np.array(x, float), np.array(drawn, float)


class CurveLog:
    """Losses by term, and beside them IoU and the share of pixels that passes the gate.

    Stages of a training follow each other on one axis of steps.
    """

    def __init__(self) -> None:
        self.losses: dict[str, Series] = {}
        self.quality: dict[str, Series] = {}
        self.last = 0.0  # where the axis ends
        self._stages: list[tuple[str, float]] = []

    def add(self, step: TrainingStep) -> None:
        """Add what happened in a step. Values that are not finite are skipped."""
        if not step.losses and step.validation_miou is None:
            return
        x = self._place(step.stage, step.step if step.losses else 0)
        for key, value in step.losses.items():
            if key == _GATE_KEY:
                gate = Series(GATE, "#999999", smooth=True, dashed=True)
                series = self.quality.setdefault(GATE, gate)
            else:
                color = DEFAULT_COLORS[len(self.losses) % len(DEFAULT_COLORS)]
                name = name_of_loss(key)
                series = self.losses.setdefault(name, Series(name, color, smooth=True))
            series.begun = self._stages[-1][1]
            series.add(x, value)
        if step.validation_miou is not None:
            series = Series(HELD_OUT, DEFAULT_COLORS[0], marks=True)
            series = self.quality.setdefault(HELD_OUT, series)
            series.add(x, step.validation_miou)
            # Not the largest one: the start is kept until something leads clearly.
            best = step.best_miou
            if best is not None and (series.kept is None or best != series.kept[1]):
                series.kept = x, best

    def add_labelled(self, step: int, value: float) -> None:
        """Add the IoU on the labelled pixels, in [0, 1], at a step of the present stage."""
        x = step + (self._stages[-1][1] if self._stages else 0.0)
        series = Series(LABELLED, DEFAULT_COLORS[2], marks=True)
        self.quality.setdefault(LABELLED, series).add(x, value)
        self.last = max(self.last, x)

    def _place(self, stage: str, step: int) -> float:
        """Where on the axis a step of a stage is drawn."""
        if not self._stages or self._stages[-1][0] != stage:
            self._stages.append((stage, self.last))
        x = self._stages[-1][1] + step
        self.last = max(self.last, x)
        return x

    def _drawn_stages(self) -> list[tuple[str, float]]:
        """Stages that take room on the axis, with where they begin."""
        following = pairwise([*self._stages, ("", self.last)])
        return [
            (name, begin)
            for (name, begin), (_, end) in following
            if end > begin or len(self._stages) == 1
        ]

    def breaks(self) -> list[tuple[float, str]]:
        """Where a stage follows another one, and what it is called."""
        return [(begin, _NAMES.get(name, name)) for name, begin in self._drawn_stages()[1:]]

    def name_of(self, x: float) -> str:
        """Name of a place on the axis: its step and, where there are several, its stage."""
        drawn = self._drawn_stages()
        # A stage owns its last step, as it counts from 1.
        inside = [stage for stage in drawn if stage[1] < x] or drawn[:1]
        if not inside:
            return f"step {x:.0f}"
        name, begin = inside[-1]
        return (f"{name}, " if len(drawn) > 1 else "") + f"step {x - begin:.0f}"

    def newest(self, series: Series) -> str:
        """The newest value of a curve as text; empty without any."""
        if not series.drawn:
            return ""
        text = number(series.drawn[-1])
        if series.kept is not None:
            text += f" (kept {number(series.kept[1])})"
        return text

    def values_at(self, x: float, off: Iterable[str]) -> tuple[str, list[tuple[Series, str]]]:
        """Name of the step nearest to a place of the axis, and values of all but ``off`` there."""
        shown = [s for s in (*self.losses.values(), *self.quality.values()) if s.name not in off]
        steps = [step for s in shown if (step := nearest(s.x, x)) is not None]
        if not steps:
            return "", []
        at = min(steps, key=lambda step: abs(step - x))
        values = []
        for series in shown:
            if (last := series.at(at)) is not None:
                when = "" if last[0] == at else f" ({self.name_of(last[0])})"
                values.append((series, f"{number(last[1])}{when}"))
        return self.name_of(at), values


def y_scale(curves: Sequence[Values]) -> tuple[float, float, bool]:
    """Lower and upper end of an axis for curves, and whether it should be logarithmic.

    Logarithmic when no value is negative and the largest value is far above what is usual
    for one of the curves: on a linear axis such a curve would lie on the bottom.

    Parameters
    ----------
    curves : sequence of ndarray
        Values of each curve, (N,).
    """
    if not curves:
        return 0.0, 1.0, False
    values = np.concatenate(curves)
    low, high = float(values.min()), float(values.max())
    usual = [median for curve in curves if (median := float(np.median(curve))) > 0]
    if low >= 0 and usual and high > _LOG_FROM * min(usual):
        # A term that rises from 0 starts at the bottom and does not stretch the axis.
        low = max(float(values[values > 0].min()), min(usual) / 10)
        return low / 1.15, high * 1.15, True
    low = min(low, 0.0)  # losses are compared by their height
    room = 0.06 * (high - low) or 0.5
    return low - (room if low < 0 else 0.0), high + room, False


def log_ticks(low: float, high: float) -> list[float]:
    """Some round numbers between two ends of a logarithmic axis; pyqtgraph writes too many."""
    wide = math.log10(high / low)
    factors = (1, 2, 5) if wide < 1.3 else (1, 3) if wide < 2.2 else (1,)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    stride = max(1, math.ceil(wide / 5))
    found = (factor * 10.0**power for power in powers if power % stride == 0 for factor in factors)
    return [value for value in found if low <= value <= high]


def nearest(x: Sequence[float], at: float) -> float | None:
    """The value of sorted ``x`` that is nearest to a place."""
    place = bisect_left(x, at)
    around = x[max(0, place - 1) : place + 1]
    return min(around, key=lambda value: abs(value - at)) if around else None


def number(value: float) -> str:
    """A value, short enough for a legend."""
    value += 0.0  # a zero may be negative
    if abs(value) >= 100:
        return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.1e}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
