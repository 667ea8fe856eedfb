"""The part of the Segment dock that shows how the image will be cut into cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QSpinBox

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.model.summary import read_summary
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.clicks import pixels_on_screen
from napari_gaussproto.widgets.layers.large_labels import shape_of
from napari_gaussproto.widgets.layers.placement import (
    area_in_view,
    has_channels,
    pixels_of,
    plane_in_view,
    show_outlines,
    train_image,
    undisturbed,
)
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import (
    WordyPage,
    across,
    check_box,
    down,
    enable,
    fill,
    hold_panel,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.workarounds import camera_of
from napari_gaussproto.widgets.shared.workers import Runner, single_shot

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import ModelConfig
    from napari_gaussproto.core.cells.partitioner import CellPreview

_TIPS = {
    "regions": "Side of a superpixel; this model was trained with {} px",
    "photos": "Side of a cell. This model has cells of {} px in photographs of usual size, and "
    "larger ones in larger photographs; smaller ones show finer leaves and take longer",
    "fixed": "This model's cells are squares of {} px",
}
# Milliseconds of rest after the last change of size or view before the preview follows.
_REST = 200
# Pixels of the screen for one of the image from which on lines that are a pixel wide are whole.
_NEAR = 1.0
_NAME = "cells (preview)"


class CellsPanel(WordyPage):
    """Choose the size of cells, with their outlines over the visible part."""

    def __init__(self, viewer: Viewer, images: ImageChooser) -> None:
        super().__init__()
        self._viewer, self._images = viewer, images
        self._config: ModelConfig | None = None
        self._by_hand = False
        self.layer: Layer | None = None
        self._shown: tuple[Image, tuple[int, ...]] | None = None
        self.runner = Runner(self)
        self.runner.succeeded.connect(self._show)
        self.runner.failed.connect(self._on_failure)
        self._timer = single_shot(self, _REST, self._start)
        self._build()
        images.image_changed.connect(self._on_image)
        Connections(self).add(camera_of(viewer).events, self._later)

    def _build(self) -> None:
        self.size = QSpinBox(suffix=" px", keyboardTracking=False)
        self.size.valueChanged.connect(self._on_size)
        tip = "Show the outlines of the cells over the visible part of the image"
        self.preview = check_box("Preview", tip)
        self.preview.toggled.connect(self._on_toggled)
        self.note = wrapped_label()
        self.note.hide()
        fill(self, down(across((self.size, 1), self.preview), self.note))

    def set_model(self, path: Path | None) -> None:
        """Follow the chosen model: its cells are a grid, or regions whose size can be chosen."""
        try:
            self.set_config(None if path is None else read_summary(path).config)
        except GaussProtoError:
            self.set_config(None)

    def set_config(self, config: ModelConfig | None) -> None:
        """Follow a model by its configuration."""
        self._config = config
        hold_panel("" if config is not None else "Choose a model first", self)
        if config is None:
            return
        step = 1 if config.has_regions else config.output_stride
        with QSignalBlocker(self.size):
            self.size.setRange(2 if config.has_regions else step, 200)
            self.size.setSingleStep(step)
        enable(self.size, _tip(config), "" if config.has_cell_sizes else _tip(config))
        self._by_hand = False
        self._propose()
        self._later()

    @property
    def chosen(self) -> int | None:
        """The size that a person wants; None leaves it to the model."""
        return self.size.value() if self._by_hand else None

    def setting(self) -> tuple[Callable[[], int], Callable[[object], None]]:
        """Functions that read and set what a person wants; 0 for nothing."""

        def write(value: object) -> None:
            if isinstance(value, int) and value:
                self.size.setValue(value)

        return lambda: self.chosen or 0, write

    def _propose(self) -> None:
        """Show the size that the model has for the image, unless a person wants another."""
        if self._config is None or self._by_hand:
            return
        with QSignalBlocker(self.size):
            self.size.setValue(self._proposal(self._config))

    def _on_size(self, size: int) -> None:
        """A person chose a size: a grid takes the nearest that it can have."""
        if self._config is not None:
            with QSignalBlocker(self.size):
                self.size.setValue(self._config.with_cell_size(size).nominal_size)
            # Who goes back to what the model has leaves the choice to it again.
            self._by_hand = self.size.value() != self._proposal(self._config)
        self._later()

    def _proposal(self, config: ModelConfig) -> int:
        """The size that a model has for the image."""
        return config.suited_to(_pixels_of(self._images.image())).nominal_size

    def _on_image(self) -> None:
        self._propose()
        self._later()

    # -- the preview ------------------------------------------------------------------------

    def _on_toggled(self, on: bool) -> None:
        if on:
            self._later()
            return
        self.runner.cancel()
        self._timer.stop()
        self.note.hide()
        self._remove()

    def _remove(self) -> None:
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _later(self, event: Any = None) -> None:
        if self.preview.isChecked():
            self._timer.start()

    def _start(self) -> None:
        image, config = self._images.image(), self._config
        if image is None or config is None or not self.preview.isChecked():
            return
        config = config.with_cell_size(self.size.value())
        pixels = pixels_of(image)
        ndim = pixels.ndim - has_channels(image)
        leading = plane_in_view(self._viewer, image, pixels.shape[: ndim - 2])
        self._shown = (image, leading)
        about = (train_image(image), leading, config, area_in_view(self._viewer, image))
        self.runner.start(partial(run_job, "segment", "preview_job", *about))

    def _show(self, result: CellPreview) -> None:
        if self._shown is None:
            return
        image, leading = self._shown
        if image not in self._viewer.layers or not self.preview.isChecked():
            return
        lines = result.outlines.reshape((1,) * len(leading) + result.outlines.shape)
        origin = (*leading, result.y0, result.x0)
        with undisturbed(self._viewer):
            if self.layer is not None and self.layer.ndim != lines.ndim:
                self._remove()
            name = f"{image.name} – {_NAME}"
            about = (self.layer, lines, name, origin)
            near = pixels_on_screen(self._viewer, image) >= _NEAR
            self.layer = show_outlines(self._viewer, image, *about, visible=near)
        if self.layer.visible != near:
            self.layer.visible = near
        counts = f"{result.n_cells:,} in view, about {result.n_cells_image:,} in all"
        self._say(counts if near else f"{counts}. Zoom in to see them")

    def _say(self, sentence: str) -> None:
        self.note.setText(sentence)
        self.note.show()

    def _on_failure(self, error: Exception) -> None:
        self._say(str(error))
        if not isinstance(error, GaussProtoError):
            raise error

    def abandon(self) -> None:
        """Take the preview away, before the dock goes."""
        self.preview.setChecked(False)


def _pixels_of(image: Image | None) -> int:
    """Of a plane of an image."""
    return 0 if image is None else int(np.prod(shape_of(image)[-2:]))


def _tip(config: ModelConfig) -> str:
    kind = "regions" if config.has_regions else "photos" if config.has_cell_sizes else "fixed"
    return _TIPS[kind].format(config.nominal_size)
