"""Image layers whose first axis holds channels: what says so, and how a person is asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.imaging.axes import Guess, guess_channels
from napari_gaussproto.widgets.layers.class_layers import remove_result
from napari_gaussproto.widgets.layers.placement import CHANNEL_NAMES, channels_moved
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import across, button, down, enable, fill, wrapped_label
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.shared.state import SharedState

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

_CHANNELS, _PLANES, _PLANE = "Channels of one picture", "Planes of a stack", "plane"
_LABELLED = "Remove the labels of this image first: they are those of a stack"

# How napari calls axes that nobody named, in this and in former versions.
_UNNAMED = re.compile(r"(axis )?-?\d+")


def reading_in_question(image: Image) -> Guess:
    """Whether an image may hold channels that napari takes for planes, and where.

    "neither" where there is nothing to ask: of colours, and where the layer names its axes, which
    is how a person's answer is kept.
    """
    named = _UNNAMED.fullmatch(str(image.axis_labels[0])) is None
    if image.rgb or image.multiscale or named:
        return "neither"
    return guess_channels(tuple(int(n) for n in image.data.shape))


def missing_answer(image: Image | None) -> str | None:
    """What a person must do before an image is used whose rows napari takes for planes."""
    open_question = image is not None and reading_in_question(image) == "last"
    return f"Press “{_CHANNELS}” or “{_PLANES}” first" if open_question else None


class ChannelsOffer(QWidget):
    """Asks what the first or last axis of the chosen image is; seen only if that is open."""

    def __init__(self, viewer: Viewer, state: SharedState, images: ImageChooser) -> None:
        super().__init__()
        self._viewer, self._state, self._images = viewer, state, images
        self.words = wrapped_label()
        tip = "Read the image as one picture; a model for as many channels is needed"
        self.channels = button(_CHANNELS, tip, self._take_channels)
        tip = "Segment every plane by itself"
        self.planes = button(_PLANES, tip, self._take_planes)
        self._tip = self.channels.toolTip()
        fill(self, down(self.words, across(self.channels, self.planes), spacing=4))
        images.image_changed.connect(self.refresh)
        connections = Connections(self)
        connections.add(state.read_anew, self.refresh)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            connections.add(event, self.refresh)
        self.refresh()

    def refresh(self, event: object = None) -> None:
        """Speak of the chosen image."""
        image = self._images.image()
        guess = "neither" if image is None else reading_in_question(image)
        self.setVisible(guess != "neither")
        if image is None or guess == "neither":
            return
        self.words.setText(_question(image.name, tuple(image.data.shape), guess))
        own = str(image.unique_id)
        labelled = any(
            layer.metadata.get(PLUGIN, {}).get("image") == own for layer in self._viewer.layers
        )
        enable(self.channels, self._tip, _LABELLED if labelled else "")

    def _take_channels(self) -> None:
        image = self._images.image()
        if image is not None:
            remove_result(self._viewer, self._state.forget_result(image))
            self._name_first(image, CHANNEL_NAMES[0])

    def _take_planes(self) -> None:
        image = self._images.image()
        if image is not None:
            self._name_first(image, _PLANE)

    def _name_first(self, image: Image, name: str) -> None:
        """Keep the answer as the name of the axis, which comes first."""
        if reading_in_question(image) == "last":
            image.data = channels_moved(image.data, -1, 0)
            self._viewer.reset_view()
        image.axis_labels = (name, *image.axis_labels[1:])
        self._state.read_anew.emit(image)


def _question(name: str, shape: tuple[int, ...], guess: Guess) -> str:
    if guess == "last":
        height, width, count = shape
        return (
            f"“{name}” looks like {height} × {width} pixels with {count} channels or planes last, "
            f"which napari takes for {height} planes."
        )
    return f"“{name}”: are its {shape[0]} planes a stack, or the channels of one picture?"
