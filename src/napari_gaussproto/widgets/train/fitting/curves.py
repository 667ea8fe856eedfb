"""Live curves of a training: losses by term, and how good the model is meanwhile."""

from __future__ import annotations

from html import escape
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Signal
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QLabel, QToolTip, QWidget

from napari_gaussproto.widgets.shared.forms import down, fill
from napari_gaussproto.widgets.shared.workers import single_shot
from napari_gaussproto.widgets.train.fitting.curve_log import SMOOTHED, CurveLog

if TYPE_CHECKING:
    from napari_gaussproto.core.base.steps import TrainingStep
    from napari_gaussproto.widgets.train.fitting.curve_plot import CurvePlot

_EVERY_MS = 100
_PLOTS = "napari_gaussproto.widgets.train.fitting.curve_plot"


class TrainingCurves(QWidget):
    """Losses by term, and below them IoU and the share of pixels that passes the gate.

    Stages of a training follow each other on one axis, with a dotted line between them that
    says what follows. The plots are made when there is something to show: their library is
    loaded in a thread, so that neither the dock nor a training waits for it.
    """

    grew = Signal()  # there are more curves

    def __init__(self) -> None:
        super().__init__()
        self.log = CurveLog()
        self.losses: CurvePlot | None = None
        self.quality: CurvePlot | None = None
        self.empty = QLabel("The curves of the training appear here.", enabled=False)
        self._loading: Thread | None = None
        self._count = 0
        self._off: set[str] = set()
        self._timer = single_shot(self, _EVERY_MS, self._refresh)
        # There is room for new curves only after the layout has seen them.
        self._room = single_shot(self, _EVERY_MS, self.grew)
        fill(self, down(self.empty, spacing=4))

    @property
    def busy(self) -> bool:
        """Whether something that was added is not shown yet."""
        return self._timer.isActive()

    def clear(self) -> None:
        """Forget everything, before another training; curves that are off stay off."""
        self.log = CurveLog()
        for part in self._parts():
            part.clear()
        self._refresh()

    def add(self, step: TrainingStep) -> None:
        """As `CurveLog.add`."""
        self.log.add(step)
        self._later()

    def add_labelled(self, step: int, value: float) -> None:
        """As `CurveLog.add_labelled`."""
        self.log.add_labelled(step, value)
        self._later()

    def text_at(self, x: float) -> str:
        """Values at the step nearest to a place of the axis, as HTML; empty without any."""
        name, values = self.log.values_at(x, self._off)
        if not values or self.losses is None:
            return ""
        shade = self.losses.plot.shade
        lines = [
            f'<span style="color:{shade(series.color).name()}">■</span> '
            f"{escape(series.name)} {value}"
            for series, value in values
        ]
        return "<br>".join([f"<b>{name}</b>", *lines])

    def changeEvent(self, event: QEvent) -> None:
        """Draw everything anew in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for part in self._parts():
                part.clear()
            self._later()

    def _parts(self) -> list[CurvePlot]:
        return [part for part in (self.losses, self.quality) if part is not None]

    def _later(self) -> None:
        """Draw soon: steps may come faster than they can be seen."""
        if not self._timer.isActive():
            self._timer.start()

    def _refresh(self) -> None:
        count = len(self.log.losses) + len(self.log.quality)
        if count and not self._made():
            self._later()
            return
        if count > self._count:
            self._room.start()
        some, self._count = count > 0, count
        self.empty.setVisible(not some)
        breaks = self.log.breaks()
        for part, curves in ((self.losses, self.log.losses), (self.quality, self.log.quality)):
            if part is None:
                continue
            part.setVisible(some)
            # Said once: in the lower plot the labelled IoU lies where the name would be.
            named = breaks if part is self.losses else [(x, "") for x, _ in breaks]
            part.show_curves(list(curves.values()), self.log, self._off, named)

    def _made(self) -> bool:
        """Whether there are plots; their library is loaded first."""
        if self.losses is not None:
            return True
        if self._loading is None:
            self._loading = Thread(target=import_module, args=(_PLOTS,), daemon=True)
            self._loading.start()
        if self._loading.is_alive():
            return False
        from napari_gaussproto.widgets.train.fitting.curve_plot import CurvePlot

        self.losses = CurvePlot("Loss by term", "no loss yet")
        self.losses.title.setToolTip(SMOOTHED)
        self.quality = CurvePlot(
            "Mean IoU by step", "not measured yet", limits=(0.0, 1.0), numbered=True
        )
        for part in self._parts():
            self.layout().addWidget(part)
            part.plot.ensurePolished()  # its palette is the theme's from here on
            part.switched.connect(self._on_switch)
            part.hovered.connect(self._on_hover)
        return True

    def _on_switch(self, name: str, on: bool) -> None:
        (self._off.discard if on else self._off.add)(name)
        self._refresh()

    def _on_hover(self, x: float | None) -> None:
        text = "" if x is None else self.text_at(x)
        for part in self._parts():
            part.set_cursor(x if text else None)
        QToolTip.showText(QCursor.pos(), text, self)  # an empty one hides it
