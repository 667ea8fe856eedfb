"""How long to fine-tune, how far it is, and what it may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QProgressBar, QWidget
from superqt import QCollapsible

from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    down,
    enable,
    fill,
    hold,
    wrapped_label,
)

State = Literal["idle", "running", "paused", "finishing"]
Unit = Literal["minutes", "steps"]
Term = tuple[str, str, str, bool]
Part = tuple[int, int]

_UNITS: tuple[Unit, ...] = ("minutes", "steps")
# Smallest, largest, by how much an arrow changes it, decimals.
_RANGES = {"minutes": (0.5, 1440.0, 1.0, 1), "steps": (1.0, 100_000.0, 50.0, 0)}
# Steps of the progress bar.
_GRAIN = 1000
_START = "Train the model end to end, on your strokes"
_STOP = "Stop and keep what it has learned"
_DISCARD = "Stop at once; the model stays as it was"
_ENDS = (
    "“Stop and keep” makes a model of what it has learned; “Discard” leaves the model as it was."
)
_PAUSE = "Pause; nothing is lost, and the time of the pause does not count"
_RESUME = "Go on where it was paused"
_BUSY = "The model is being fine-tuned"
_FINISHING = "It ends by itself in a moment"


class BudgetPanel(QWidget):
    """Budget, progress and the terms of a fine-tune.

    Parameters
    ----------
    terms : sequence of (key, label, tooltip, default)
        What a person may switch.
    """

    # A button was pressed. The state changes only by `set_state`.

    start_asked = Signal()
    pause_asked = Signal()
    resume_asked = Signal()
    stop_asked = Signal()
    discard_asked = Signal()

    def __init__(self, terms: Sequence[Term] = ()) -> None:
        super().__init__()
        self.state: State = "idle"
        self._reason: str | None = None
        self._place = ""
        self._amounts: dict[Unit, float] = {"minutes": 5.0, "steps": 300.0}
        self._unit: Unit = "minutes"
        self.amount = _Amount(toolTip="How long to train; it can be stopped at any time")
        self.unit = QComboBox(toolTip="Count the budget in minutes or in training steps")
        self.unit.addItems(_UNITS)
        self.start = button("Fine-tune", "", self.start_asked)
        self.pause = button("Pause", _PAUSE, self._on_pause)
        self.stop = button("Stop and keep", _STOP, self.stop_asked)
        self.discard = button("Discard", _DISCARD, self.discard_asked)
        self.note, self.advice = wrapped_label(), wrapped_label()
        self.advice.hide()
        self.progress = QProgressBar(textVisible=False)
        self.boxes: dict[str, QCheckBox] = {}
        # The text has an arrow of its own. With PySide6 an empty icon is false, and then superqt
        # has none at all, which it does not expect.
        blank = QPixmap(1, 1)
        blank.fill(Qt.GlobalColor.transparent)
        self.unlabelled = QCollapsible(expandedIcon=QIcon(blank), collapsedIcon=QIcon(blank))
        self.unlabelled.toggleButton().setIconSize(QSize(0, 0))
        self._fill_terms(terms)
        self.running = QWidget()
        ends = across(self.pause, (self.stop, 1), self.discard, spacing=4)
        self.ends = wrapped_label(_ENDS)
        fill(self.running, down(self.progress, ends, self.ends, spacing=4))
        start = across((self.start, 1), self.amount, self.unit, spacing=4)
        fill(self, down(start, self.advice, self.unlabelled, self.running, self.note, spacing=4))
        self._show_unit("minutes")
        self.unit.currentTextChanged.connect(self._show_unit)
        self.set_state("idle")

    def _fill_terms(self, terms: Sequence[Term]) -> None:
        for key, label, tip, default in terms:
            box = self.boxes[key] = QCheckBox(label, toolTip=tip, checked=default)
            box.toggled.connect(self._count_terms)
            self.unlabelled.addWidget(box)
        self.unlabelled.setDuration(0)
        self.unlabelled.layout().setContentsMargins(0, 0, 0, 0)
        # A heading, not a button: the theme would paint it in its loudest colour when open.
        self.unlabelled.toggleButton().setStyleSheet(
            "QPushButton { text-align: left; border: none; background: transparent; padding: 2px; }"
        )
        self.unlabelled.toggled.connect(self._count_terms)
        self.unlabelled.setToolTip(
            "Besides the strokes, everything that is not painted can teach the model"
        )
        self.unlabelled.setVisible(bool(terms))
        self._count_terms()

    def minutes(self) -> float | None:
        """The budget in minutes; None when it is in steps."""
        return self.amount.value() if self._unit == "minutes" else None

    def steps(self) -> int | None:
        """The budget in steps; None when it is in minutes."""
        return round(self.amount.value()) if self._unit == "steps" else None

    def terms(self) -> dict[str, bool]:
        """Which terms are on."""
        return {key: box.isChecked() for key, box in self.boxes.items()}

    def set_state(self, state: State) -> None:
        """Show what the training is doing: "idle", "running", "paused" or "finishing"."""
        before, self.state = self.state, state
        self.running.setVisible(state != "idle")
        busy = "" if state == "idle" else _BUSY
        hold(busy, self.amount, self.unit, *self.boxes.values())
        self.pause.setText("Resume" if state == "paused" else "Pause")
        pauses = _RESUME if state == "paused" else _PAUSE
        ending = _FINISHING if state == "finishing" else ""
        enable(self.pause, pauses, ending)
        enable(self.stop, _STOP, ending)
        resumed = before == "paused"
        if state == "idle":
            self._place = ""
        if state == "finishing" or (state == "running" and not resumed):
            self.progress.setRange(0, 0)
        elif state == "idle":
            self.progress.setRange(0, 1)
            self.progress.reset()
        preparing = "Preparing…" if resumed else "Preparing: reading images and strokes…"
        notes = {
            "idle": self._reason or "",
            "running": (resumed and self._place) or preparing,
            "paused": f"Paused: {self._place}" if self._place else "Paused",
            "finishing": "Finishing: the best model gets its prototypes' patches…",
        }
        self._say(notes[state])
        self._update_start()

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def set_reason(self, reason: str | None) -> None:
        """Why a fine-tune can't start, as a sentence that says what to do; None if it can."""
        self._reason = reason
        if self.state == "idle":
            self._say(reason or "")
        self._update_start()

    def advise(self, text: str) -> None:
        """Say beforehand what a fine-tune needs to pay; nothing where it does."""
        self.advice.setText(text)
        self.advice.setVisible(bool(text))

    def set_progress(
        self, step: int, total: int, seconds_left: float | None, part: Part = (1, 1)
    ) -> None:
        """Show how far the training is.

        Parameters
        ----------
        step, total : int
            Of this part. With a budget in minutes the total is an estimate, and a share is shown.
        seconds_left : float or None
            Of all parts, at most; None while that can't be told.
        part : tuple of int
            Which of how many.
        """
        number, parts = part
        share = min(step / max(1, total), 1.0)
        self._place = f"step {step:,} of {total:,}"
        if self._unit == "minutes":
            # Steps say nothing to who chose minutes.
            self._place = "just begun" if seconds_left is None else f"{share:.0%} done"
        if parts > 1:
            self._place = f"part {number} of {parts}: {self._place}"
        if self.state != "running":
            return
        self.progress.setRange(0, _GRAIN)
        self.progress.setValue(round(_GRAIN * (number - 1 + share) / parts))
        self._say(f"{self._place}, {time_left(seconds_left, at_most=number < parts)}")

    def _update_start(self) -> None:
        busy = "" if self.state == "idle" else _BUSY
        enable(self.start, _START, busy or self._reason or "")

    def _show_unit(self, text: str) -> None:
        if self.unit.currentText() != self._unit:
            self._amounts[self._unit] = self.amount.value()
        self._unit = "steps" if text == "steps" else "minutes"
        low, high, by, decimals = _RANGES[self._unit]
        self.amount.setDecimals(decimals)
        self.amount.setRange(low, high)
        self.amount.setSingleStep(by)
        self.amount.setValue(self._amounts[self._unit])

    def _count_terms(self) -> None:
        on = sum(box.isChecked() for box in self.boxes.values())
        arrow = "▾" if self.unlabelled.isExpanded() else "▸"
        self.unlabelled.setText(
            f"{arrow} Also learn from unlabelled pixels ({f'{on} on' if on else 'off'})"
        )

    def _on_pause(self) -> None:
        (self.resume_asked if self.state == "paused" else self.pause_asked).emit()


class _Amount(QDoubleSpinBox):
    """A number without needless decimals, as wide as its largest value."""

    def textFromValue(self, value: float) -> str:
        """5 and not 5.0."""
        return f"{value:.{self.decimals()}f}".removesuffix(".0")


def time_left(seconds: float | None, *, at_most: bool = False) -> str:
    """A remaining time, no more exact than it is known."""
    if seconds is None:
        return "time left not known yet"
    return f"up to about {_duration(seconds)}" if at_most else _duration(seconds)


def _duration(seconds: float) -> str:
    if seconds < 5:
        return "a few seconds left"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s left"
    if seconds < 5400:
        return f"{round(seconds / 60)} min left"
    minutes = 5 * round(seconds / 300)
    return f"{minutes // 60} h {minutes % 60} min left"
