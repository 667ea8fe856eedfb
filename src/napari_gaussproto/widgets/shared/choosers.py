"""Choosing an image, a model and a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QToolButton, QWidget

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.model.summary import list_models, model_path, read_summary, summary_of
from napari_gaussproto.widgets.shared.card_dialog import CardDialog
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import across, combo_box, cut_long_entries, enable, fill
from napari_gaussproto.widgets.shared.preferences import recent_models, remember_model
from napari_gaussproto.widgets.shared.state import state_of
from napari_gaussproto.widgets.shared.tags import RESTORED, WINDOW, is_cut_from, is_ours

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gaussproto.core.model.card import ModelCard, ModelSummary
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

_INFO = "What this model is, what it was trained on, and how good it is"
_NO_CARD = "A new model has no card that says what it is before it is fitted"
_OPEN = "Open a model file…"


def listed(card: ModelCard, *, in_use: bool = True) -> str:
    """What a list calls a model that need not be in a file.

    A fitted one by its name; others beside the file that they came from.
    """
    if not in_use:
        return f"{card.name}, the start"
    return card.name if card.name == card.fitted_name else f"{card.name}, in use"


class ImageChooser(QComboBox):
    """The viewer's image layers, without the maps that this plugin made.

    An image that a person opens is chosen, as it is the one that they want to go on with. What
    they choose in one dock, all others choose, too; but a window of a large image is chosen where
    it is drawn in, and elsewhere stays the whole.

    Parameters
    ----------
    viewer : Viewer
    holds : callable
        Whether the chosen image must stay chosen now, whatever is opened.

    Attributes
    ----------
    follows : bool
        Whether another dock's choice leads to the image, while `image_changed` tells of it.

    Notes
    -----
    Its signals:

    image_changed()
    passed_over(str)
        An image was opened and not chosen: a sentence that says so.
    fell_back()
        The chosen image was removed, and another one is chosen now.
    """

    image_changed = Signal()
    passed_over = Signal(str)
    fell_back = Signal()

    def __init__(self, viewer: Viewer, holds: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._viewer, self._holds = viewer, holds
        self._images: list[Image] = []
        self._passed: Image | None = None
        self._state = state_of(viewer)
        self.follows = False
        cut_long_entries(self)
        self.setToolTip("The image to segment; results are laid exactly over it")
        self._connections = Connections(self)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            self._connections.add(event, self.refresh)
        self._connections.add(self._state.image_chosen, self._follow)
        self.currentIndexChanged.connect(lambda _: self._on_picked())
        self.refresh()

    def image(self) -> Image | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._images[index] if 0 <= index < len(self._images) else None

    def images(self) -> list[Image]:
        """All layers of the list."""
        return list(self._images)

    def choose(self, image: Image) -> None:
        """Choose a layer of the list."""
        self.setCurrentIndex(self._images.index(image))

    @property
    def passed(self) -> str:
        """That an image was opened and another one stayed chosen, as a sentence; or nothing."""
        image = self._passed
        if image is None or image not in self._images:
            return ""
        return f"“{image.name}” was opened meanwhile: choose it above to go on with it."

    def _on_picked(self) -> None:
        self._on_chosen()
        image = self.image()
        if image is not None and WINDOW not in image.metadata:
            self._state.choose_image(image)

    def _follow(self, image: Image) -> None:
        if image in self._images and image is not self.image():
            with QSignalBlocker(self):
                self.choose(image)
            self.follows = True
            try:
                self._on_chosen()
            finally:
                self.follows = False

    def _on_chosen(self) -> None:
        self._passed = None
        self.image_changed.emit()

    def refresh(self, event: object = None) -> None:
        """Follow the layer list; an image that is opened is chosen, else the choice stays."""
        from napari.layers import Image

        chosen, known = self.image(), set(map(id, self._images))
        self._images = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_ours(layer)
        ]
        if self._passed not in self._images:
            self._passed = None
        fresh = [layer for layer in self._images if id(layer) not in known]
        for layer in fresh:
            self._connections.add(layer.events.name, self.refresh)
        with QSignalBlocker(self):
            self.clear()
            self.addItems([layer.name for layer in self._images])
            self.setCurrentIndex(self._wanted(chosen, fresh))
        if self.image() is not chosen:
            if (now := self.image()) is not None:
                self._state.note_image(now)
            self._on_chosen()
            if chosen is not None and chosen not in self._images:
                self.fell_back.emit()
        elif fresh and self._passed in fresh:
            self.passed_over.emit(self.passed)

    def _wanted(self, chosen: Image | None, fresh: list[Image]) -> int:
        """Place of the image that is to be chosen, some of which are new in the list."""
        if chosen is None or chosen not in self._images:
            return self._images.index(self._next(chosen)) if self._images else -1
        # What a project brings back, and windows of large images, nobody opened by hand.
        opened = [layer for layer in fresh if RESTORED not in layer.metadata]
        if opened and not self._holds():
            return self._images.index(opened[-1])
        self._passed = opened[-1] if opened else self._passed
        return self._images.index(chosen)

    def _next(self, gone: Image | None) -> Image:
        """What follows a removed image, or comes first: the whole of a window, or what is seen."""
        images = self._images
        if gone is None:
            known = [image for image in images if image is self._state.image]
        else:
            known = [image for image in images if is_cut_from(gone, image)]
        seen = [la for la in images if la.visible or la in self._state.hidden]
        return (known or seen or images)[-1]


class ModelChooser(QWidget):
    """Shipped models, recent files, and any other file; with an info button.

    Parameters
    ----------
    report : callable
        Told, in a sentence, why a file cannot be chosen.
    others : sequence of str
        What can be chosen besides and is in no file: it stands first.
    in_use : callable
        Gives the model in use, for its card.

    Attributes
    ----------
    current : str or None
        Name of the model in use, if it is offered; before all others.
    """

    model_chosen = Signal()

    def __init__(
        self,
        report: Callable[[str], None],
        others: Sequence[str] = (),
        in_use: Callable[[], PrototypeSegmenter | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._report, self._others, self._in_use = report, tuple(others), in_use
        self.current: str | None = None
        self._last = 0
        tip = "A model that comes with the plugin, one used before, or a file"
        self.combo = combo_box(tip, 8)
        self.info = QToolButton(text="i")
        self.info.clicked.connect(self._show_card)
        self.combo.activated.connect(self._on_activated)
        self.combo.currentIndexChanged.connect(self._on_index)
        fill(self, across((self.combo, 1), self.info))
        self._fill()

    @property
    def is_current(self) -> bool:
        """Whether the model in use is chosen."""
        return self.current is not None and self.combo.currentIndex() == 0

    def offer_current(self, name: str | None, *, choose: bool = True) -> None:
        """Offer the model in use, and choose it; None takes it away."""
        path, other = self.path(), self.other()
        self.current = name
        self._fill()
        if name is not None and choose:
            self.combo.setCurrentIndex(0)
        elif path is not None:
            self.choose_path(path)
        elif other is not None:
            self.choose_other(other)

    def other(self) -> str | None:
        """Which of ``others`` is chosen; None for the model in use or a file."""
        index = self.combo.currentIndex() - (self.current is not None)
        return self._others[index] if 0 <= index < len(self._others) else None

    def choose_other(self, other: str) -> None:
        """Choose one of ``others``."""
        self.combo.setCurrentIndex(self._others.index(other) + (self.current is not None))

    def path(self) -> Path | None:
        """File of the chosen model; None for what is in no file."""
        file = self.combo.currentData()
        return None if file is None else Path(file)

    def choose_shipped(self, name: str) -> None:
        """Choose a shipped model by name.

        Raises
        ------
        ModelFileError
            When there is no such model.
        """
        self.choose_path(model_path(name))

    def choose_file(self, path: Path) -> bool:
        """Choose a file; False, with a report to the person, when it is no model."""
        try:
            read_summary(path)
        except GaussProtoError as error:
            self._report(str(error))
            return False
        remember_model(path)
        self._fill()
        self.choose_path(path)
        self.model_chosen.emit()
        return True

    def setting(self) -> tuple[Callable[[], str], Callable[[object], None]]:
        """Functions that read and set the choice: a path, or "" for the model in use."""

        def write(value: object) -> None:
            if value == "" and self.current is not None:
                self.combo.setCurrentIndex(0)
            elif isinstance(value, str) and value and Path(value).is_file():
                path = Path(value)
                (self.choose_path if self.offers(path) else self.choose_file)(path)

        return lambda: "" if self.is_current else str(self.path() or ""), write

    def offers(self, path: Path) -> bool:
        """Whether a file is in the list."""
        return bool(self.combo.findData(str(path)) >= 0)

    def choose_path(self, path: Path) -> None:
        """Choose a file that is offered."""
        self.combo.setCurrentIndex(max(0, self.combo.findData(str(path))))

    def _fill(self) -> None:
        self.combo.clear()
        self.combo.addItems([*filter(None, [self.current]), *self._others])
        for name in list_models():
            self.combo.addItem(name, str(model_path(name)))
        for path in recent_models():
            self.combo.addItem(path.name, str(path))
        self.combo.addItem(_OPEN)

    def _on_index(self, index: int) -> None:
        if index >= 0 and self.combo.itemText(index) != _OPEN:
            self._last = index
            has_card = self.is_current or self.combo.itemData(index) is not None
            enable(self.info, _INFO, "" if has_card else _NO_CARD)

    def _on_activated(self, index: int) -> None:
        if self.combo.itemText(index) != _OPEN:
            self.model_chosen.emit()
            return
        self.combo.setCurrentIndex(self._last)
        name, _ = QFileDialog.getOpenFileName(
            self, "Open a model", "", "Models (*.safetensors);;All files (*)"
        )
        if name:
            self.choose_file(Path(name))

    def _show_card(self) -> None:
        try:
            summary = self.summary()
        except GaussProtoError as error:
            self._report(str(error))
        else:
            if summary is not None:
                CardDialog(summary, self).exec()

    def summary(self) -> ModelSummary | None:
        """What the chosen model says about itself; None for one that is to be made.

        Raises
        ------
        ModelFileError
            When its file is missing, broken, foreign or newer.
        """
        path, model = self.path(), self._in_use() if self.is_current else None
        if path is not None:
            return read_summary(path)
        return None if model is None else summary_of(model)
