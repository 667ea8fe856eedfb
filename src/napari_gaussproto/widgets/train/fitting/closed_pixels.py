"""Labelled images that were removed from the viewer: when they are many, pixels go to disk."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_gaussproto.core.imaging.on_disk import is_on_disk, moved_to_disk
from napari_gaussproto.core.project.places import projects_root
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.workers import Runner, soon
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# Of pixels that stay in memory: fourteen photographs of 24 megapixels.
_MOST_BYTES = 1 << 30

logger = logging.getLogger(__name__)


class ClosedPixels(QObject):
    """Keeps the memory bounded that the pixels of removed images take, which still teach.

    Attributes
    ----------
    most_bytes : int
        What the pixels may take; those that were labelled first go to disk first.
    """

    def __init__(
        self, viewer: Viewer, annotations: AnnotationSet, cache: PyramidCache, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._annotations, self._cache = viewer, annotations, cache
        self.most_bytes = _MOST_BYTES
        self.runner = Runner(self)
        self.runner.failed.connect(self._on_failure)
        self.runner.succeeded.connect(self._on_disk)
        self.runner.cancelled.connect(self._forget)
        # Only then is the runner free for the next image.
        self.runner.finished.connect(self._on_finished)
        # What is being written.
        self._image: Image | None = None
        self._pixels: Any = None
        self._moved = False
        Connections(self).add(viewer.layers.events.removed, self._on_removed)

    def _on_removed(self, event: object) -> None:
        soon(self, self._make_room)

    def _make_room(self) -> None:
        closed = self._closed()
        if not self.runner.busy and sum(i.data.nbytes for i in closed) > self.most_bytes:
            self._image, self._pixels = closed[0], closed[0].data
            self.runner.start(partial(moved_to_disk, self._pixels, projects_root()))

    def _closed(self) -> list[Image]:
        """Removed images whose pixels are in memory."""
        known = self._annotations
        images = [a.image for a in known.all if a.image not in self._viewer.layers] + known.closed
        alone = [i for i in images if not i.multiscale and type(i.data) is np.ndarray]
        return [i for i in alone if not is_on_disk(i.data)]

    def _on_disk(self, pixels: Any) -> None:
        image, former = self._image, self._pixels
        self._forget()
        self._moved = True
        if image is not None and image.data is former and image in self._closed():
            image.data = pixels
            # Features hold the former array; they are computed anew when they are needed.
            self._cache.remove(image.unique_id)

    def _on_finished(self) -> None:
        if self._moved:
            self._moved = False
            soon(self, self._make_room)

    def _forget(self) -> None:
        self._image = self._pixels = None

    def _on_failure(self, error: Exception) -> None:
        self._forget()
        logger.warning("images that were closed stay in memory: %s", error)
