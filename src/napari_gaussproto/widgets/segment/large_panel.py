"""The part of the Segment dock that tells where the labels of a large image go."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import platformdirs
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_gaussproto.jobs.large.order import LargeOrder, LargeResult, LargeStep
from napari_gaussproto.widgets.layers.large_labels import LargeLabels, is_large, shape_of
from napari_gaussproto.widgets.layers.placement import placement, train_image
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import across, button, down, fill, wrapped_label
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.shared.share_table import CoverTable
from napari_gaussproto.widgets.shared.state import SharedState

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# What a file cannot be called, on one system or another.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


class LargePanel(QWidget):
    """Says that the chosen image is large and where its labels go; seen only then.

    Parameters
    ----------
    viewer, state
    images : ImageChooser
        Whose image it speaks of.
    cover : CoverTable
        Shows what labels cover, as far as they are.
    """

    def __init__(
        self, viewer: Viewer, state: SharedState, images: ImageChooser, cover: CoverTable
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._images, self._cover = viewer, state, images, cover
        self.labels = LargeLabels(viewer, self)
        self._steps: WeakKeyDictionary[Image, LargeStep] = WeakKeyDictionary()
        self._folder: Path | None = None
        self._running: Image | None = None
        self.words = wrapped_label()
        tip = "Choose where the labels go; what is done stays where it is"
        self.choose_button = button("Another folder…", tip, self._choose)
        fill(self, down(self.words, across(self.choose_button, None), spacing=4))
        images.image_changed.connect(self.refresh)
        connections = Connections(self)
        connections.add(state.read_anew, self.refresh)
        connections.add(state.turned, self.refresh)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Speak of the chosen image."""
        image = self._images.image()
        self.setVisible(image is not None and is_large(image))
        if image is None or not is_large(image):
            return
        mega = np.prod(shape_of(image), dtype=float) / 1e6
        self.words.setText(
            f"“{image.name}” has {mega:,.0f} megapixels: its classes fill in tile by tile, what is "
            f"in view first, without maps, and stay in {self.folder_of(image)}."
        )
        self._show_cover(image)

    def folder_of(self, image: Image) -> Path:
        """Where labels go: the folder that a person chose, or that of the image's file."""
        if self._folder is not None:
            return self._folder
        file = train_image(image).file
        if file is not None and (parent := Path(file).parent).is_dir():
            return parent
        return Path(platformdirs.user_data_path(PLUGIN, appauthor=False)) / "labels"

    def choose_folder(self, folder: Path) -> None:
        """Let labels go to a folder from now on."""
        self._folder = folder
        self.refresh()

    def _choose(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a folder for labels")
        if name:
            self.choose_folder(Path(name))

    def begin(self, image: Image) -> LargeOrder:
        """Where to write the labels of an image that is segmented from now on."""
        self._running = image
        self.labels.watch(image)
        place = placement(image, ndim=len(shape_of(image)))
        file = train_image(image).file
        name = image.name if file is None else Path(file).name.partition(".")[0]
        stem = _NOT_IN_NAMES.sub("_", name).strip(" .") or "image"
        scale, translate = place["scale"].tolist(), place["translate"].tolist()
        return LargeOrder(self.folder_of(image), stem, self.labels.focus, scale, translate)

    def end(self) -> None:
        """Watch no more; the run has ended."""
        self._running = None
        self.labels.watch(None)

    def take(self, step: LargeStep) -> bool:
        """Show a step of the run; whether its image is still there."""
        image = self._running
        if image is None or image not in self._viewer.layers:
            return False
        self._steps[image] = step
        if step.levels is not None:
            self.labels.show_levels(image, step, self._state.streamed.get(image))
            self._state.set_streamed(image, step.made)
        elif step.tile is not None:
            self.labels.show_tile(image, *step.tile)
        if image is self._images.image():
            self._show_cover(image)
        return True

    def sentence(self, result: LargeResult) -> str:
        """What a run has done."""
        step, device = result.last, result.last.made.provenance.device
        count = step.cover.total - step.before
        if not count:
            return f"All {step.before} tiles were done before, in {step.path}."
        before = f", {step.before} were done before" if step.before else ""
        return f"Done in {result.seconds:.0f} s on {device}, {count} tiles{before}, in {step.path}."

    def rest(self) -> str:
        """What is left after a cancel.

        The thread may be some tiles ahead of the steps that have come here.
        """
        image = self._running
        step = None if image is None else self._steps.get(image)
        if image is None or step is None:
            return "Cancelled."
        self._steps[image] = step = replace(step, cover=step.now())
        if image is self._images.image():
            self._show_cover(image)
        done, total = step.cover.done, step.cover.total
        if done == total:
            return "Cancelled."
        return f"Cancelled; {done} of {total} tiles are done and stay. Press Segment to go on."

    def _show_cover(self, image: Image) -> None:
        step = self._steps.get(image)
        if step is not None and step.cover.done:
            cover = step.cover
            about = (cover.shares, cover.classes, cover.data_share)
            self._cover.show_cover(image.name, *about, so_far=cover.done / cover.total)
