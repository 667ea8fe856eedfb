"""From a click on the canvas to an explanation in the dock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMenu

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.prototypes.dependence_controller import (
    Asked,
    DependenceController,
)
from napari_gaussproto.widgets.prototypes.why_panel import WhyPanel
from napari_gaussproto.widgets.prototypes.why_tool import WhyTool, reset_outline, show_outline
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari_gaussproto.core.explain.explain import Explanation

_FILTERS = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"


class WhyController(QObject):
    """Asks for explanations and shows them."""

    add_wanted = Signal(int, object)  # a class index, and (..., H, W) bool, what to add for it

    def __init__(self, dock: Dock, panel: WhyPanel) -> None:
        super().__init__(dock)
        self._viewer, self._state, self._messages = dock.viewer, dock.state, dock.messages
        self._panel = panel
        self._asked: tuple[ImageResult, tuple[int, ...], int, int, bool] | None = None
        self.explanation: Explanation | None = None
        self.tool = WhyTool(dock.viewer, dock.state, self)
        self.tool.asked.connect(
            lambda leading, y, x: self.ask(leading, y, x, panel.component.isChecked())
        )
        self.tool.hovered.connect(self._on_hovered)
        self.tool.missed.connect(self._on_missed)
        self.dependence = DependenceController(dock, panel.dependence)
        self.runner = Runner(self)
        self.runner.succeeded.connect(self._show)
        self.runner.failed.connect(self._on_failure)
        self.exporter = Runner(self)
        self.exporter.succeeded.connect(lambda path: dock.messages.tell(f"Saved {path.name}."))
        self.exporter.failed.connect(self._on_failure)
        panel.button.toggled.connect(self.tool.switch)
        panel.export.clicked.connect(self._ask_where)
        self._classes = QMenu(panel)
        panel.add.setMenu(self._classes)

    # -- asking -----------------------------------------------------------------------------

    def ask(self, leading: tuple[int, ...], y: int, x: int, component: bool = False) -> None:
        """Explain a pixel of the current image, or the component around it."""
        result = self._state.current
        if result is None:
            return
        from napari_gaussproto.core.explain.explain import NO_DATA, explain  # loads torch

        plane = result.segmentation.plane_at(leading)
        if not plane.labels[y, x]:
            self._on_missed(NO_DATA)
            return
        self._asked = (result, leading, y, x, component)
        if component:
            self.runner.start(partial(run_job, "insight", "component_job", plane, y, x))
        else:
            # A cell takes a few milliseconds: less than starting a thread.
            self.runner.cancel()
            self._show(explain(plane, y, x))

    def ask_again(self) -> None:
        """Explain the same place again, after an edit."""
        if self._asked is None:
            return
        result, leading, y, x, component = self._asked
        if result is self._state.current:
            self.ask(leading, y, x, component)
        else:
            self.reset()

    def reset(self) -> None:
        """Remove the last explanation and its outline."""
        if self._asked is not None:
            reset_outline(self._viewer, self._asked[0])
        self._asked = self.explanation = None
        self.dependence.follow(None)
        self._panel.clear()

    def _on_hovered(self, leading: tuple[int, ...], y: int, x: int) -> None:
        result, last = self._state.current, self._asked
        if result is None:
            return
        partition = result.segmentation.plane_at(leading).encoding.partition
        cell = partition.cell_at(y, x)
        same = last is not None and last[0] is result and (last[1], last[4]) == (leading, False)
        if last is None or not same or partition.cell_at(last[2], last[3]) != cell:
            self.ask(leading, y, x)

    def _on_missed(self, sentence: str) -> None:
        self.runner.cancel()
        self.reset()
        self._panel.say(sentence)

    # -- showing ----------------------------------------------------------------------------

    def _show(self, explanation: Explanation) -> None:
        if self._asked is None:
            return
        result, leading, y, x, _ = self._asked
        self.explanation = explanation
        segmentation = result.segmentation
        self.dependence.follow(Asked(result, segmentation, leading, y, x))
        strokes = None if result.model is None else result.model.card.strokes
        about = (segmentation.prototypes, segmentation.classes, strokes)
        self._panel.show_explanation(explanation, *about)
        if result.source in self._viewer.layers:
            show_outline(self._viewer, result, explanation, leading)
        self._classes.clear()
        for c, entry in enumerate(segmentation.classes):
            self._classes.addAction(f"For {entry.name}").triggered.connect(partial(self._add, c))

    def _on_failure(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self._messages.tell(str(error))
        else:
            self._messages.report(error, quietly=True)

    def _add(self, class_index: int, checked: bool = False) -> None:
        found = self.explanation
        if found is None or self._asked is None:
            return
        result, leading, *_ = self._asked
        mask = np.zeros(result.segmentation.labels.shape, dtype=bool)
        height, width = found.mask.shape
        mask[leading][found.top : found.top + height, found.left : found.left + width] = found.mask
        self.add_wanted.emit(class_index, mask)

    # -- files ------------------------------------------------------------------------------

    def _ask_where(self) -> None:
        if self._asked is None:
            return
        start = f"{self._asked[0].source.name}-why.png"
        name, _ = QFileDialog.getSaveFileName(self._panel, "Export explanation", start, _FILTERS)
        if name:
            self.save_figure(Path(name))

    def save_figure(self, path: Path) -> None:
        """Write the current explanation as a figure."""
        if self._asked is None or self.explanation is None:
            return
        result, leading, *_ = self._asked
        image, plane = train_image(result.source), result.segmentation.plane_at(leading)
        about = (path, image, leading, plane, self.explanation)
        self.exporter.start(partial(run_job, "insight", "figure_job", *about))

    def abandon(self) -> None:
        """Stop listening to the mouse, without waiting for an explanation."""
        self.tool.switch(False)
