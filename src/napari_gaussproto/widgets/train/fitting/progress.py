"""What the Train dock shows while a model is fitted."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QLabel

from napari_gaussproto.jobs.train_image import Stage
from napari_gaussproto.widgets.train.fitting.budget import BudgetPanel, Part
from napari_gaussproto.widgets.train.fitting.curves import TrainingCurves

_DOING = {
    "joint": "Fine-tuning on all strokes…",
    "trial": "A trial on a part of the strokes, judged by the others…",
    "final": "Fine-tuning on all strokes, for as long as was best in the trial…",
}
_PAUSED = "Paused: press Resume to go on, or Stop and keep to use what it has learned."
_PARTS: dict[str, Part] = {"trial": (1, 2), "final": (2, 2)}


class TrainingProgress:
    """Passes the steps of a fit on to the parts of the dock."""

    def __init__(self, status: QLabel, curves: TrainingCurves, budget: BudgetPanel) -> None:
        self._status, self._curves, self._budget = status, curves, budget
        self._doing, self._paused = "", False

    def show(self, step: Any) -> None:
        """Show a `Stage` or a `TrainingStep`."""
        if isinstance(step, Stage):
            self._say(_far(step.text, step.done, step.total))
            return
        stage = getattr(step, "stage", "")
        if stage in _DOING:
            self._say(_DOING[stage])
            self._curves.add(step)
            if step.labelled_miou is not None:
                self._curves.add_labelled(step.step, step.labelled_miou)
            part = _PARTS.get(stage, (1, 1))
            self._budget.set_progress(step.step, step.total, step.seconds_left, part)
        elif stage == "start":
            self._curves.add(step)
        elif stage == "finish":
            self._say(_far("Describing the prototypes", step.step, step.total))
        elif stage == "validation":
            self._say(_far("Judging by the strokes set aside", step.step, step.total))

    def show_phase(self, phase: str) -> None:
        """Say that a fit is paused, and when it goes on what it does."""
        was_paused, self._paused = self._paused, phase == "paused"
        if self._paused:
            self._status.setText(_PAUSED)
        elif was_paused and phase == "running":
            self._status.setText(self._doing)

    def _say(self, doing: str) -> None:
        # A step that was on its way when it was paused must not hide that.
        self._doing = doing
        if not self._paused:
            self._status.setText(doing)


def _far(what: str, done: int, total: int) -> str:
    """What is done, and how far it is if it has parts; what these are is nobody's concern."""
    return f"{what}… {done / total:.0%}" if total > 1 else f"{what}…"
