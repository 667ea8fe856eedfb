"""The parts of the Train dock: labels of the image, and where a fit begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QMenu,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.jobs.requests import Start
from napari_gaussproto.jobs.storage import Count
from napari_gaussproto.widgets.shared.choosers import ModelChooser
from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    check_box,
    combo_box,
    cut_long_entries,
    down,
    enable,
    fill,
    wrapped_label,
)
from napari_gaussproto.widgets.train.fitting.sentences import counted

# Backbones of timm that suit a computer without a GPU; any other name can be typed.
_BACKBONES = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18", "convnext_tiny")
_ACCEPT = "Then click regions of the prediction that are right: they are labels"
_ACCEPT_ALL = "Make the whole prediction labels"
_DETAILS = {"fine": 1, "normal": 2, "coarse": 4}
# Of a new model: what they are called, and what they mean.
_OPTIONS = {
    "Backbone": "The network that sees the image: the first comes with the plugin, others of timm "
    "are downloaded. Type any name",
    "Prototypes": "Prototypes for each class",
    "Detail": "How closely the network sees: fine takes every pixel and is slow, coarse suits "
    "large photographs",
    "Region size": "Side of a superpixel: smaller than the thinnest thing that matters; the "
    "Segment dock can preview it",
}


class LabelsPanel(QWidget):
    """Begin, take over and accept labels of the chosen image; what its parts do is up to others.

    Attributes
    ----------
    menu : QMenu
        Labels that can be taken over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.new = button("Draw", "Paint labels on this image, in the class chosen above")
        self.use = button("Use labels", "Take over labels that exist already")
        self.accept = button("Accept region", _ACCEPT)
        self.accept.setCheckable(True)
        self.accept_all = button("Accept image", _ACCEPT_ALL)
        corrections = "Mark labels for which the model predicts another class"
        self.corrections = check_box("Show corrections", corrections)
        self.note = wrapped_label()
        closed = (
            "Labelled images of this project that are not open are read from their files, so that "
            "a fit does not forget them"
        )
        self.closed = check_box("", closed)
        self.closed.setChecked(True)
        self.closed.hide()
        self._n_closed = 0
        self.menu = QMenu(self)
        self.use.setMenu(self.menu)
        upper = across((self.new, 1), (self.use, 1))
        lower = across((self.accept, 1), (self.accept_all, 1))
        fill(self, down(upper, lower, self.corrections, self.note, self.closed))

    def allow_accepting(self, predicted: bool) -> None:
        """Let a prediction be accepted, or say why there is none."""
        for accept, tip in ((self.accept, _ACCEPT), (self.accept_all, _ACCEPT_ALL)):
            enable(accept, tip, "" if predicted else "Fit or run a model first")

    def show_count(self, count: Count) -> None:
        """Say how much is labelled."""
        self._n_closed = count.closed
        total, opened = sum(count.pixels), counted(count.open, "image")
        self.note.setText(f"{total:,} pixels on {opened} are labelled." if total else "")
        are = "is" if count.closed == 1 else "are"
        self.closed.setText(f"Learn from {counted(count.closed, 'image')} that {are} closed")
        self.closed.setVisible(count.closed > 0)

    @property
    def learns_from_closed(self) -> bool:
        """Whether there are labelled images that are not open, and they should teach."""
        return self._n_closed > 0 and self.closed.isChecked()


class StartPanel(QWidget):
    """Which model a fit begins with, and what a new one is like.

    Signals
    -------
    changed()
        Another model was chosen, or a new one should be different.
    """

    changed = Signal()

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self.model = ModelChooser(report, ("A new model, on a grid", "A new model, on superpixels"))
        self.model.combo.setToolTip("The model that learns: one there is, or a new one")
        self.backbone = QComboBox(editable=True)
        self.backbone.addItems(_BACKBONES)
        cut_long_entries(self.backbone)
        self.backbone.lineEdit().setCursorPosition(0)
        self.prototypes = _number(1, 32, 5)
        self.detail = QComboBox()
        self.detail.addItems(list(_DETAILS))
        self.detail.setCurrentText("normal")
        self.region = _number(4, 200, 12, " px")
        self.device = combo_box("Where to compute; auto takes the fastest there is", 4)
        self.pretrained = True
        self.options = QWidget()
        self._form = QFormLayout(self.options)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for field in (self.backbone, self.detail):
            field.currentTextChanged.connect(lambda _: self.changed.emit())
        for field in (self.prototypes, self.region):
            field.valueChanged.connect(lambda _: self.changed.emit())
        fields = (self.backbone, self.prototypes, self.detail, self.region)
        for field, (label, tip) in zip(fields, _OPTIONS.items(), strict=True):
            field.setToolTip(tip)
            field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._form.addRow(label, field)
        fill(self, down(across((self.model, 1), self.device), self.options))
        self.model.model_chosen.connect(self._on_model)
        self._on_model()

    @property
    def path(self) -> Path | None:
        """File of the chosen model, if it is not new."""
        return self.model.path()

    def start(self) -> Start:
        """Where a fit begins."""
        device = self.device.currentText()
        if self.path is not None:
            return Start(file=self.path, device=device)
        new = NewModel(
            partition="grid" if self.model.place() == 0 else "superpixel",
            backbone=self.backbone.currentText().strip(),
            prototypes_per_class=self.prototypes.value(),
            downsample=_DETAILS[self.detail.currentText()],
            region_size=self.region.value(),
            pretrained=self.pretrained,
        )
        return Start(new=new, device=device)

    def offer_devices(self, names: list[str], preferred: str) -> None:
        """Fill the list of devices; the chosen one stays."""
        chosen = self.device.currentText() or preferred
        self.device.clear()
        self.device.addItems(["auto", *names])
        self.device.setCurrentText(chosen)

    def choose_new(self, *, superpixels: bool = False) -> None:
        """Choose a new model."""
        self.model.combo.setCurrentIndex(int(superpixels))
        self._on_model()

    def choose_file(self, path: Path) -> None:
        """Choose a file; what is no model is reported."""
        self.model.choose_file(path)

    def _on_model(self) -> None:
        self.options.setVisible(self.path is None)
        self._form.setRowVisible(self.region, self.model.place() == 1)
        self.changed.emit()


def _number(least: int, most: int, value: int, suffix: str = "") -> QSpinBox:
    return QSpinBox(minimum=least, maximum=most, value=value, suffix=suffix)
