"""What the buttons of the Labels part do: draw, take over, accept, and show corrections."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_gaussproto.io.masks import mask_beside
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.clicks import pixel_in
from napari_gaussproto.widgets.layers.large_labels import CUT_OUT, is_large
from napari_gaussproto.widgets.layers.offers.channels import missing_answer
from napari_gaussproto.widgets.layers.overlays import CorrectionOverlay
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import SharedState
from napari_gaussproto.widgets.shared.tags import WINDOW, is_cut_from, is_edited, is_ours
from napari_gaussproto.widgets.shared.workers import Runner
from napari_gaussproto.widgets.train.annotation.accept_tool import AcceptTool
from napari_gaussproto.widgets.train.annotation.annotation_layer import (
    AnnotationLayer,
    label_shape,
)
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.annotation.windows import (
    add_window,
    place_in_view,
    window_of,
)
from napari_gaussproto.widgets.train.labelling.label_import import LabelImport
from napari_gaussproto.widgets.train.labelling.labels_panel import LabelsPanel
from napari_gaussproto.widgets.train.storage.autosave import Autosave

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_gaussproto.jobs.large.window import CutWindow

_PAINTING = ("paint", "fill", "polygon")
_ERASER = "the eraser (key 1) takes labels back"
_MASKS = "Masks (*.png *.tif *.tiff *.bmp *.npy *.json);;All files (*)"


class LabelsController(QObject):
    """Draws, takes over and accepts labels of the chosen image, as the panel asks."""

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        annotations: AnnotationSet,
        autosave: Autosave,
        images: ImageChooser,
        panel: LabelsPanel,
        messages: Messages,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._viewer, self._state, self._window = viewer, state, window
        self._annotations, self._autosave, self._messages = annotations, autosave, messages
        self._images, self._panel = images, panel
        self.imports = LabelImport(annotations, autosave, messages, window)
        self.accept_tool = AcceptTool(viewer, annotations, messages, self)
        self.overlay = CorrectionOverlay(viewer)
        self.windows = Runner(self)
        self.windows.succeeded.connect(self._on_window)
        self.windows.failed.connect(messages.report)
        self._cutting: Image | None = None
        self._beside: Any = None  # the entry of the menu for the mask beside the photograph
        panel.new.clicked.connect(self.draw)
        panel.accept.toggled.connect(self._on_accept)
        panel.accept_all.clicked.connect(self.accept_image)
        panel.clear.clicked.connect(self.clear)
        panel.corrections.toggled.connect(self._show_corrections)
        annotations.drawn.connect(self._follow)
        self._overshot: WeakSet[Image] = WeakSet()  # windows beyond whose rim strokes went
        viewer.mouse_drag_callbacks.append(self._on_press)
        self._invited = ""  # what was said last of where to paint
        images.image_changed.connect(self._on_image)

    def draw(self) -> None:
        """Take the brush to the chosen image."""
        image = self._images.image()
        if image is None:
            self._messages.warn("Open an image first: File > Open, or File > Open Sample.")
            return
        if (answer := missing_answer(image)) is not None:
            self._messages.warn(f"{answer}: then there is one picture to paint on.")
            return
        if not self._annotations.classes:
            self._messages.warn("Add a class first: press + below the list of classes.")
            return
        self._panel.accept.setChecked(False)
        if self._state.shows_likelihood:
            self._state.show(likelihood=False)
        if is_large(image):
            self._draw_in_window(image)
            return
        # First, for what becomes of labels and corrections that are there already is said after it.
        self._invite(f"Paint on “{image.name}” with the left button; {_ERASER}.")
        self._autosave.annotate(image)

    def _draw_in_window(self, image: Image) -> None:
        """Take the brush to the window of a large image that is in view."""
        shape = label_shape(image)
        if len(shape) != 2:
            self._messages.warn(
                f"“{image.name}” is a large stack, and a fit holds all of it in memory: {CUT_OUT}, "
                "and paint there."
            )
            return
        from napari_gaussproto.jobs.large.window import window_around  # loads torch

        area = window_around(*place_in_view(self._viewer, image), *shape)
        known = window_of(self._viewer, image, area)
        if known is not None:
            self._paint_in(known, image)
            return
        self._cutting = image
        self.windows.start(partial(run_job, "large.window", "window_job", train_image(image), area))

    def _on_window(self, cut: CutWindow) -> None:
        image = self._cutting
        if image is not None and image in self._viewer.layers:
            self._paint_in(add_window(self._viewer, image, cut), image)

    def _paint_in(self, window: Image, image: Image) -> None:
        self._images.choose(window)
        self._autosave.annotate(window)
        self._invite(
            f"“{image.name}” is large: paint in this window of it, “{window.name}”; {_ERASER}. For "
            f"another place, choose “{image.name}”, move there and press Draw. Fits learn from all "
            "windows, and the Segment dock segments the whole with what they learned."
        )

    def _invite(self, sentence: str) -> None:
        self._invited = sentence
        self._messages.tell(sentence)

    def _on_image(self) -> None:
        self._messages.withdraw(self._invited)

    def clear(self) -> None:
        """Take all labels of the chosen image back."""
        image = self._images.image()
        if image is None:
            return
        annotation = self._autosave.annotate(image)  # shown, so that its undo is at hand
        count = annotation.clear()
        said = (
            f"{count:,} pixels of “{image.name}” are no labels any more; Ctrl+Z brings them back."
        )
        self._messages.tell(said if count else f"“{image.name}” has no labels.")

    def _follow(self, annotation: AnnotationLayer) -> None:
        """Choose the image that a person draws on: a fit shows what it makes of the chosen one."""
        image, active = annotation.image, self._viewer.layers.selection.active
        if image is self._images.image() or active is None or active is not annotation.layer:
            return
        if image in self._images.images():
            self._images.choose(image)
            self._messages.tell(f"“{image.name}” is chosen above now, because you draw on it.")

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Say that a stroke beside a window of a large image is lost, as napari does not."""
        active = viewer.layers.selection.active
        drawn = next((a for a in self._annotations.open if a.layer is active), None)
        if drawn is None or WINDOW not in drawn.image.metadata or str(active.mode) not in _PAINTING:
            return
        window, shape = drawn.image, label_shape(drawn.image)
        began = beside = pixel_in(window, shape, event.position) is None
        while event.type != "mouse_release":
            yield
            beside = beside or pixel_in(window, shape, event.position) is None
        # Of a part of a stroke once: who paints along the rim knows then.
        if began or (beside and window not in self._overshot):
            self._overshot.add(window)
            wholes = [f"“{la.name}”" for la in self._images.images() if is_cut_from(window, la)]
            whole = wholes[0] if wholes else "the image"
            self._messages.warn(
                f"What is painted beside “{window.name}” is no label. To label there, choose "
                f"{whole} above, move there and press Draw."
            )

    # -- labels that exist already -----------------------------------------------------------

    def use_layer(self, layer: Labels) -> None:
        """Take over the labels of another layer."""
        image = self._images.image()
        if image is not None:
            self.imports.from_layer(image, layer)

    def use_file(self, path: Path) -> None:
        """Take over the labels of a mask file."""
        image = self._images.image()
        if image is not None:
            self.imports.from_file(image, path)

    def _ask_mask(self) -> None:
        image = self._images.image()
        file = None if image is None else train_image(image).file
        folder = "" if file is None else str(Path(file).parent)
        name, _ = QFileDialog.getOpenFileName(self._window, "Open a mask", folder, _MASKS)
        if name:
            self.use_file(Path(name))

    def offer_layers(self, event: object = None) -> None:
        """Offer the label layers that fit the chosen image."""
        from napari.layers import Labels

        image, menu = self._images.image(), self._panel.menu
        shape = None if image is None else label_shape(image)
        menu.clear()
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and _can_be_used(layer) and layer.data.shape == shape:
                action = menu.addAction(f"Layer “{layer.name}”…")
                action.triggered.connect(lambda _, chosen=layer: self.use_layer(chosen))
        if menu.actions():
            menu.addSeparator()
        menu.addAction("A mask file…").triggered.connect(self._ask_mask)
        file = None if image is None else train_image(image).file
        if image is not None and file is not None:
            found = partial(self._offer_file, image)
            self._autosave.queue.put(partial(mask_beside, Path(file)), found, "mask beside")

    def _offer_file(self, image: Image, path: Path | None) -> None:
        """Offer the mask that lies beside the photograph, by whatever name such files have."""
        menu = self._panel.menu
        if path is None or image is not self._images.image() or self._beside in menu.actions():
            return
        self._beside = menu.addAction(f"“{path.name}”, beside the photograph…")
        self._beside.triggered.connect(lambda: self.use_file(path))

    # -- what is predicted -------------------------------------------------------------------

    def accept_image(self) -> None:
        """Make the prediction of the shown plane labels."""
        image = self._images.image()
        if image is None:
            return
        self.accept_tool.accept_plane(self._autosave.annotate(image), self._plane(image))

    def _plane(self, image: Image) -> tuple[int, ...]:
        """Indices of the plane that the sliders show."""
        point = np.asarray(image.world_to_data(self._viewer.dims.point))[:-2]
        last = np.asarray(label_shape(image)[:-2]) - 1
        return tuple(np.clip(np.round(point), 0, last).astype(int).tolist())

    def _on_accept(self, on: bool) -> None:
        image = self._images.image()
        if not on or image is None:
            self.accept_tool.switch(None)
            return
        self.accept_tool.switch(self._autosave.annotate(image))
        self._messages.tell("Click regions of the prediction that are right.")

    def refresh_corrections(self) -> None:
        """Let the overlay follow labels and predictions, if it is wanted."""
        if self._panel.corrections.isChecked():
            self._show_corrections(True)

    def _show_corrections(self, on: bool) -> None:
        shown = self._annotations.open if on else []
        self.overlay.show([(a.image, a.corrected) for a in shown])

    def close(self) -> None:
        """Take what was only a help off the canvas."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self.accept_tool.close()
        self.overlay.show([])


def _can_be_used(layer: Labels) -> bool:
    """Whether a layer holds labels of a person's own, classes that they painted on among them."""
    return not is_ours(layer) or is_edited(layer)
