"""The classes and the cover of the Segment dock, with what a person drew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.base.strips import is_same
from napari_gaussproto.core.labels.check import checksum
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.class_layers import (
    LABEL_OPACITY,
    REMOVED,
    is_removed,
    show_classes,
)
from napari_gaussproto.widgets.layers.placement import placement, undisturbed
from napari_gaussproto.widgets.segment.corrections import corrections_box, offer_corrections
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import down, fill, wrapped_label
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.share_table import CoverTable
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState
from napari_gaussproto.widgets.shared.workers import Runner, single_shot, soon

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_gaussproto.jobs.batch.corrected import Corrected

# Milliseconds of rest after a stroke before its cover is counted.
_REST = 250


class CorrectedView(QWidget):
    """The cover of the classes as they are painted, and a box: with corrections.

    These have a layer of classes of their own. That of the prediction stays, for corrections are
    told by what differs from it.

    Parameters
    ----------
    viewer, state
    images : ImageChooser
        Whose image it speaks of.
    cover : CoverTable
        Shows the cover of its result.
    messages
    """

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        images: ImageChooser,
        cover: CoverTable,
        messages: Messages,
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._images, self._cover = viewer, state, images, cover
        self._layers: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()
        self._of: ImageResult | None = None
        self._watched: Labels | None = None
        self._seen = 0  # checksum of what was painted there
        self._rest = single_shot(self, _REST, self._on_rest)
        self.box = corrections_box("Classes")
        self.box.setChecked(False)
        self.note = wrapped_label(f"{REMOVED}.")
        fill(self, down(self.box, self.note))
        self.runner = Runner(self)
        self.runner.succeeded.connect(self._show)
        self.runner.failed.connect(partial(messages.report, quietly=True))
        self.box.toggled.connect(self.refresh)
        connections = Connections(self)
        connections.add(state.project_changed, self.refresh)
        connections.add(state.result_closed, self._on_closed)
        connections.add(viewer.layers.events.removed, self._on_removed)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Follow the project, the current result and the box."""
        state, result, chosen = self._state, self._state.current, self._images.image()
        offer_corrections(self.box, state.project)
        self.setVisible(result is not None and result.source is chosen)
        self.runner.cancel()
        labels = None if result is None else result.labels
        removed = is_removed(self._viewer, labels)
        self._watch(None if removed else labels)
        self.note.setVisible(removed)
        self.box.setVisible(not removed)
        if result is None or chosen is None or result.source is not chosen:
            return
        if removed:
            self._cover.hide()
            return
        drawn = None
        if self.box.isChecked() and state.project is not None:
            drawn = state.project.drawn_on(chosen)
        if drawn is None:
            self._remove(chosen)
        found, labels = result.segmentation, _shown(result)
        if drawn is None and is_same(labels, found.labels):
            self._cover.show_cover(_name(result), found.cover, found.classes, found.data_share)
            return
        self._of = result
        order = (labels.copy(), found.classes, drawn)  # what is painted meanwhile is not half of it
        self.runner.start(partial(run_job, "batch.corrected", "corrected_job", *order))

    def _show(self, found: Corrected) -> None:
        result = self._of
        chosen = self._images.image()
        if result is None or result is not self._state.current:
            return
        if chosen is None or chosen is not result.source:
            return  # nothing is shown here of another image
        name = f"{_name(result)}, {'with corrections' if found.is_drawn else 'as painted'}"
        about = (found.cover, result.segmentation.classes, found.data_share)
        self._cover.show_cover(name, *about, counted="with a class")
        if found.is_drawn:
            self._show_layer(result, found)

    def _show_layer(self, result: ImageResult, found: Corrected) -> None:
        image, classes = result.source, result.segmentation.classes
        name = f"{image.name} – classes, with corrections"
        layer = self._layers.get(image)
        with undisturbed(self._viewer):
            if layer is None or layer not in self._viewer.layers:
                layer = self._layers[image] = self._viewer.add_labels(
                    found.labels,
                    name=name,
                    opacity=LABEL_OPACITY,
                    **placement(image, ndim=result.ndim),
                )
                if result.labels is not None and result.labels in self._viewer.layers:
                    # Strokes stay visible above it.
                    layers: Any = self._viewer.layers
                    layers.move(layers.index(layer), layers.index(result.labels) + 1)
            else:
                layer.data = found.labels
            show_classes(layer, classes, result.provenance, corrected=True)

    def _watch(self, layer: Labels | None) -> None:
        """Follow what a person paints into the classes, and takes back."""
        if self._watched is layer:
            return
        for known, change in ((self._watched, "disconnect"), (layer, "connect")):
            if known is not None:
                for events in (known.events.paint, known.events.set_data):
                    getattr(events, change)(self._on_painted)
        self._watched = layer
        self._seen = 0 if layer is None else checksum(layer.data)

    def abandon(self) -> None:
        """Follow no brush any more; the dock is closed."""
        self._watch(None)
        self._rest.stop()

    def _on_painted(self, event: object = None) -> None:
        self._rest.start()

    def _on_rest(self) -> None:
        layer = self._watched
        if layer is not None and (seen := checksum(layer.data)) != self._seen:
            self._seen = seen
            self.refresh()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._watched:
            soon(self, self.refresh)

    def _on_closed(self, result: ImageResult) -> None:
        self._remove(result.source)

    def _remove(self, image: Image) -> None:
        layer = self._layers.pop(image, None)
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _name(result: ImageResult) -> str:
    planes = len(result.segmentation.planes)
    return result.source.name + (f", all {planes} planes" if planes > 1 else "")


def _shown(result: ImageResult) -> npt.NDArray[np.uint8]:
    """Labels (..., H, W) as they are painted, where they are labels of this result still."""
    predicted = result.segmentation.labels
    data = predicted if result.labels is None else result.labels.data
    return data if data.shape == predicted.shape else predicted
