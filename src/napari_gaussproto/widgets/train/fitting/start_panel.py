"""Which model a fit begins with, as the person chooses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QSizePolicy, QSpinBox, QWidget

from napari_gaussproto.core.base.config import FIELD, NewModel
from napari_gaussproto.jobs.requests import Start
from napari_gaussproto.widgets.shared.choosers import ModelChooser
from napari_gaussproto.widgets.shared.forms import (
    across,
    combo_box,
    cut_long_entries,
    down,
    fill,
    hold,
)

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# The shipped start, and backbones of timm that suit a computer without a GPU; any other name can
# be typed.
_BACKBONES = (
    FIELD,
    "tf_efficientnet_lite0",
    "mobilenetv3_large_100",
    "resnet18",
    "convnext_tiny",
)
# Those whose weights come with the plugin.
_SHIPPED = _BACKBONES[:2]
_HUB = (
    "The first fit downloads the weights of this network from the internet, unless they are on "
    "this computer already; nothing of yours is sent."
)
_DETAILS = {"auto": None, "fine": 1, "normal": 2, "coarse": 4}
# How its cells are cut, by what a new model is called.
_NEW: dict[str, Literal["grid", "superpixel"]] = {
    "A new model, on a grid": "grid",
    "A new model, on superpixels": "superpixel",
}
# Of a new model: what they are called, and what they mean.
_OPTIONS = {
    "Features": "What the model sees in the image: “field” was trained so that few strokes suffice "
    "on photographs of fields; tf_efficientnet_lite0 has seen all kinds of pictures and comes with "
    "the plugin, too; others of timm are downloaded. Type any name",
    "Detail": "How closely the network sees: auto goes by the size of the photographs, fine takes "
    "every pixel, normal every second one",
    "Region size": "Side of a superpixel: smaller than the thinnest thing that matters; the "
    "Segment dock can preview it",
}


class StartPanel(QWidget):
    """Which model a fit begins with, and what a new one is like.

    Notes
    -----
    Its signals:

    changed()
        Another model was chosen, or a new one should be different.
    """

    changed = Signal()

    def __init__(
        self, report: Callable[[str], None], in_use: Callable[[], PrototypeSegmenter | None]
    ) -> None:
        super().__init__()
        self.model = ModelChooser(report, tuple(_NEW), in_use)
        self.model.combo.setToolTip(
            "Where the next fit begins: with a model there is, or a new one"
        )
        # What was chosen last besides the model in use.
        self._chosen: Path | str = next(iter(_NEW))
        self.backbone = QComboBox(editable=True)
        self.backbone.addItems(_BACKBONES)
        cut_long_entries(self.backbone)
        self.backbone.lineEdit().setCursorPosition(0)
        self.detail = QComboBox()
        self.detail.addItems(list(_DETAILS))
        self.region = QSpinBox(minimum=4, maximum=200, value=12, suffix=" px")
        self.device = combo_box("Where to compute; auto takes the fastest there is", 4)
        self.pretrained = True
        self.options = QWidget()
        self._form = QFormLayout(self.options)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.hub = QLabel(_HUB, wordWrap=True)
        self.backbone.currentTextChanged.connect(lambda _: self._show_options())
        for field in (self.backbone, self.detail):
            field.currentTextChanged.connect(lambda _: self.changed.emit())
        self.region.valueChanged.connect(lambda _: self.changed.emit())
        fields = (self.backbone, self.detail, self.region)
        for field, (label, tip) in zip(fields, _OPTIONS.items(), strict=True):
            field.setToolTip(tip)
            field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._form.addRow(label, field)
        self._form.insertRow(1, self.hub)
        fill(self, down(across((self.model, 1), self.device), self.options))
        self.model.model_chosen.connect(self._on_model)
        self._on_model()

    @property
    def chosen(self) -> Path | str:
        """What was chosen last besides the model in use: a file, or what a new model is called."""
        return self._chosen

    def recall(self, chosen: Path | str) -> bool:
        """Choose what was chosen once, if that is still offered; emits nothing."""
        if isinstance(chosen, Path) and self.model.offers(chosen):
            self.model.choose_path(chosen)
        elif chosen in _NEW:
            self.model.choose_other(str(chosen))
        else:
            return False
        self._chosen = chosen
        self._show_options()
        return True

    @property
    def path(self) -> Path | None:
        """File of the chosen model; None for a new one and for the model in use."""
        return self.model.path()

    @property
    def goes_on(self) -> bool:
        """Whether the model in use is chosen."""
        return self.model.is_current

    def start(self) -> Start:
        """Where a fit begins, if not with the model in use."""
        device = self.device.currentText()
        if isinstance(self._chosen, Path):
            return Start(file=self._chosen, device=device)
        return Start(new=self.new_model(_NEW[self._chosen]), device=device)

    def new_model(self, partition: Literal["grid", "superpixel"]) -> NewModel:
        """A new model of these cells, as the options say."""
        return NewModel(
            partition=partition,
            backbone=self.backbone.currentText().strip(),
            downsample=_DETAILS[self.detail.currentText()],
            region_size=self.region.value(),
            pretrained=self.pretrained,
        )

    @property
    def partition(self) -> Literal["grid", "superpixel"] | None:
        """Of a new model, if one is chosen."""
        new = self.model.other()
        return None if new is None else _NEW[new]

    def offer_devices(self, names: list[str], preferred: str) -> None:
        """Fill the list of devices; the chosen one stays."""
        chosen = self.device.currentText() or preferred
        self.device.clear()
        self.device.addItems(["auto", *names])
        self.device.setCurrentText(chosen)

    def choose_new(self, *, superpixels: bool = False) -> None:
        """Choose a new model."""
        self.model.choose_other(list(_NEW)[superpixels])
        self._on_model()

    def show_in_use(self, name: str | None, *, goes_on: bool) -> None:
        """Offer a model by what it is called, and say whether the next fit goes on from it.

        This is no choice of the person: nothing is emitted.
        """
        if (name, goes_on) != (self.model.current, self.goes_on):
            self.model.offer_current(name, choose=goes_on)
        if self.goes_on and not goes_on:
            if isinstance(self._chosen, Path):
                self.model.choose_path(self._chosen)
            else:
                self.model.choose_other(self._chosen)
        self._show_options()

    def hold(self, reason: str) -> None:
        """Let nothing be chosen, for a reason that tooltips say; without one everything can be."""
        hold(reason, self.model.combo, self.device, self.backbone, self.detail, self.region)

    def choose_path(self, path: Path) -> None:
        """Choose a file that is offered."""
        self.model.choose_path(path)
        self._on_model()

    def choose_file(self, path: Path) -> None:
        """Choose a file; what is no model is reported."""
        self.model.choose_file(path)

    def _on_model(self) -> None:
        self._chosen = self.path or self.model.other() or self._chosen
        self._show_options()
        self.changed.emit()

    def _show_options(self) -> None:
        new = self.model.other()
        self.options.setVisible(new is not None)
        fetched = self.pretrained and self.backbone.currentText().strip() not in _SHIPPED
        self._form.setRowVisible(self.hub, fetched)
        self._form.setRowVisible(self.region, new is not None and _NEW[new] == "superpixel")
