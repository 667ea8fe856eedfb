"""What a dock says of a photograph that lies, with a button that turns it upright."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.imaging.orientation import way_back
from napari_gaussproto.io.reader import is_upright
from napari_gaussproto.jobs.upright import Pose, Turned, pose_job, turn_job
from napari_gaussproto.widgets.layers.placement import pixels_of, train_image
from napari_gaussproto.widgets.layers.turning import labels_over, turn_photograph
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import button, down, enable, fill, wrapped_label
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import SharedState, Turn
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

_TURN = "Turn it upright"
_BACK = "Turn it back"
_TIP = "Labels and what else was drawn on the photograph turn along"


class UprightOffer(QWidget):
    """Says that the chosen photograph lies, and turns it; seen only when there is a reason.

    Parameters
    ----------
    viewer, state
    images : ImageChooser
        Whose image it speaks of.
    messages : Messages
    """

    turned = Signal()

    def __init__(
        self, viewer: Viewer, state: SharedState, images: ImageChooser, messages: Messages
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._images = viewer, state, images
        self._messages = messages
        self.words = wrapped_label()
        self.button = button(_TURN, _TIP, self.turn)
        fill(self, down(self.words, self.button, spacing=4))
        # How photographs lie that were looked at.
        self._poses: WeakKeyDictionary[Image, tuple[Any, Pose]] = WeakKeyDictionary()
        self._asked: tuple[Image, Any] | None = None
        self._turning: tuple[Image, Any, int, list[Labels]] | None = None
        self._looker, self._turner = Runner(self), Runner(self)
        self._looker.succeeded.connect(self._on_looked)
        self._turner.succeeded.connect(self._on_turned)
        self._turner.failed.connect(messages.report)
        self._turner.finished.connect(lambda: enable(self.button, _TIP))
        images.image_changed.connect(self.refresh)
        Connections(self).add(state.turned, self.refresh)
        self.hide()
        self.refresh()

    @property
    def busy(self) -> bool:
        """Whether a photograph is being looked at or turned."""
        return self._looker.busy or self._turner.busy

    def refresh(self, event: object = None) -> None:
        """Speak of the chosen image."""
        image = self._images.image()
        self.hide()
        if image is None or image.multiscale or image.ndim != 2:
            return
        if (turn := self._state.turns.get(image)) is not None:
            self._say(f"“{image.name}” was turned upright{_along(turn.along)}.", _BACK)
            return
        pixels, pose = self._poses.get(image, (None, Pose()))
        if pixels is pixels_of(image):
            self._offer(image, pose)
            return
        file = train_image(image).file
        if file is not None and not is_upright(image.metadata):
            self._asked = (image, pixels_of(image))
            self._looker.start(partial(pose_job, file, pixels_of(image)))

    def _on_looked(self, pose: Pose) -> None:
        if self._asked is None:
            return
        image, pixels = self._asked
        self._poses[image] = (pixels, pose)
        if image is self._images.image() and pixels is pixels_of(image):
            self._offer(image, pose)

    def _offer(self, image: Image, pose: Pose) -> None:
        if pose.lies:
            self._say(
                f"“{image.name}” is shown as the camera stored it, not upright. Its file says "
                "how to turn it, and the command line does that.",
                _TURN,
            )

    def _say(self, words: str, action: str) -> None:
        self.words.setText(words)
        self.button.setText(action)
        self.show()

    def turn(self) -> None:
        """Turn the chosen photograph upright, or back."""
        image = self._images.image()
        if image is None or self._turner.running:
            return
        done, pixels = self._state.turns.get(image), pixels_of(image)
        _, pose = self._poses.get(image, (None, Pose()))
        orientation = pose.orientation if done is None else way_back(done.orientation)
        layers = labels_over(self._viewer, image)
        self._turning = (image, pixels, orientation, layers)
        enable(self.button, _TIP, "It is being turned")
        labels = [layer.data for layer in layers]
        self._turner.start(partial(turn_job, pixels, labels, orientation))

    def _on_turned(self, turned: Turned) -> None:
        if self._turning is None:
            return
        image, pixels, orientation, layers = self._turning
        if image not in self._viewer.layers or pixels_of(image) is not pixels:
            self._messages.tell("The image changed meanwhile: press the button again.")
            return
        back = self._state.turns.pop(image, None) is not None
        about = (self._viewer, self._state, image, orientation, turned, layers)
        along = turn_photograph(*about, is_upright=not back)
        if not back:
            self._state.turns[image] = Turn(orientation, along)
        self._state.turned.emit(image, orientation, pixels)
        self.turned.emit()


def _along(names: list[str]) -> str:
    """What turned along, in words."""
    if not names:
        return ""
    return (
        f", and with it “{names[0]}”" if len(names) == 1 else f", and {len(names)} layers with it"
    )
