"""The box that says whether borders of classes follow the photograph's edges."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.class_layers import show_labels
from napari_gaussproto.widgets.layers.placement import undisturbed
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import enable
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_gaussproto.core.model.stack import StackSegmentation

_TIP = "Borders between classes follow the edges of the photograph; off, those of the cells"
_REGIONS = "Superpixels follow the edges of the photograph by themselves"
_BLIND = "Only models that see colours beside their features, as new ones do, can follow edges"


class OutlinesSwitch(QCheckBox):
    """Whether outlines follow edges: takes effect at once, on the cells that there are."""

    def __init__(self, viewer: Viewer, state: SharedState, messages: Messages) -> None:
        super().__init__("Outlines follow edges", toolTip=_TIP)
        self._viewer, self._state = viewer, state
        self.setChecked(state.follow_edges is not False)
        # Results that are drawn anew, and what they were made of.
        self._asked: list[tuple[ImageResult, StackSegmentation]] = []
        self._runner = Runner(self)
        self._runner.succeeded.connect(self._on_drawn)
        self._runner.failed.connect(messages.report)
        self.clicked.connect(self._on_clicked)
        connections = Connections(self)
        connections.add(state.result_changed, self._on_result)
        connections.add(state.outlines_changed, self._follow)
        self._follow()

    def _follow(self, event: object = None) -> None:
        """Show what holds for the current image, and whether it can be otherwise."""
        result, chosen = self._state.current, self._state.follow_edges
        follows = None if result is None else result.segmentation.follows_edges
        obstacle, checked = "", chosen is not False
        if chosen is None and follows is not None:
            checked = follows
        if result is not None and result.model is not None and follows is None:
            checked = result.model.config.has_regions
            obstacle = _REGIONS if checked else _BLIND
        enable(self, _TIP, obstacle)
        with QSignalBlocker(self):
            self.setChecked(checked)

    def _on_result(self, result: ImageResult) -> None:
        self._follow()
        if self._state.follow_edges is not None and not self._runner.running:
            self._draw()  # it was asked for before that was chosen

    def _on_clicked(self, follow: bool) -> None:
        self._state.choose_outlines(follow)
        self._draw()

    def _draw(self) -> None:
        """Bring all results up to date whose outlines are not as was chosen."""
        follow = self._state.follow_edges
        results = [
            result
            for result in self._state.results.values()
            if result.segmentation.follows_edges not in (None, follow)
        ]
        self._asked = [(result, result.segmentation) for result in results]
        if self._asked:
            segmentations = [segmentation for _, segmentation in self._asked]
            job = partial(run_job, "segment", "outlines_job", segmentations, follow)
            self._runner.start(job)

    def _on_drawn(self, drawn: list[StackSegmentation]) -> None:
        for (result, before), segmentation in zip(self._asked, drawn, strict=True):
            source = result.source
            if self._state.results.get(source) is not result or result.segmentation is not before:
                continue  # it was segmented, fitted or edited meanwhile
            result.segmentation = segmentation
            if result.labels is not None and result.labels in self._viewer.layers:
                with undisturbed(self._viewer):
                    show_labels(self._viewer, result, segmentation.labels)
        if self._state.current is not None:
            self._state.set_result(self._state.current)
        self._draw()
