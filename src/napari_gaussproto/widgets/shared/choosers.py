"""Choosing an image, a model and a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QToolButton, QWidget

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.model.summary import list_models, model_path, read_summary
from napari_gaussproto.widgets.shared.card_dialog import CardDialog
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import across, combo_box, cut_long_entries, fill
from napari_gaussproto.widgets.shared.preferences import recent_models, remember_model
from napari_gaussproto.widgets.shared.tags import is_ours

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

_OPEN = "Open a model file…"


class ImageChooser(QComboBox):
    """The viewer's image layers, without the maps that this plugin made."""

    image_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._images: list[Image] = []
        cut_long_entries(self)
        self.setToolTip("The image to segment; results are laid exactly over it")
        self._connections = Connections(self)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            self._connections.add(event, self.refresh)
        self.currentIndexChanged.connect(lambda _: self.image_changed.emit())
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

    def refresh(self, event: object = None) -> None:
        """Follow the layer list; the chosen image stays chosen while it is there."""
        from napari.layers import Image

        chosen = self.image()
        known = set(map(id, self._images))
        self._images = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_ours(layer)
        ]
        for layer in self._images:
            if id(layer) not in known:
                self._connections.add(layer.events.name, self.refresh)
        with QSignalBlocker(self):
            self.clear()
            self.addItems([layer.name for layer in self._images])
            # Without a choice of before, it is the one just opened.
            former = self._images.index(chosen) if chosen in self._images else self.count() - 1
            self.setCurrentIndex(former)
        if self.image() is not chosen:
            self.image_changed.emit()


class ModelChooser(QWidget):
    """Shipped models, recent files, and any other file; with an info button.

    Parameters
    ----------
    report : callable
        Told, in a sentence, why a file cannot be chosen.
    others : sequence of str
        What can be chosen besides and is in no file: it stands first.

    Attributes
    ----------
    current : str or None
        Name of the model in use, if it is offered; before all others.
    """

    model_chosen = Signal()

    def __init__(self, report: Callable[[str], None], others: Sequence[str] = ()) -> None:
        super().__init__()
        self._report, self._others = report, tuple(others)
        self.current: str | None = None
        self._last = 0
        tip = "A model that comes with the plugin, one used before, or a file"
        self.combo = combo_box(tip, 8)
        tip = "What this model is, what it was trained on, and how good it is"
        self.info = QToolButton(text="i", toolTip=tip)
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
                known = self.combo.findData(value) >= 0
                (self.choose_path if known else self.choose_file)(Path(value))

        return lambda: "" if self.is_current else str(self.path() or ""), write

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
            self.info.setEnabled(self.combo.itemData(index) is not None)

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
            CardDialog(read_summary(Path(self.combo.currentData())), self).exec()
        except GaussProtoError as error:
            self._report(str(error))
