"""The parts of the Train dock: labels of the image, and where a fit begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.model.summary import list_models, model_path, read_summary
from napari_gaussproto.jobs.requests import Start
from napari_gaussproto.jobs.storage import Count
from napari_gaussproto.widgets.shared.preferences import recent_models, remember_model
from napari_gaussproto.widgets.train.fitting.sentences import counted_images

# Backbones of timm that suit a computer without a GPU; any other name can be typed.
_BACKBONES = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18", "convnext_tiny")
_ACCEPT = "Then click regions of the prediction that are right: they are labels"
_ACCEPT_ALL = "Make the whole prediction labels"
_DETAILS = (("fine", 1), ("normal", 2), ("coarse", 4))


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


class LabelsPanel(QWidget):
    """Begin, take over and accept labels of the chosen image.

    Signals
    -------
    new_asked()
    layer_chosen(int)
        A label layer of the menu, by its place in what `offer` was given.
    file_asked()
    accept_toggled(bool), accept_all_asked()
    corrections_toggled(bool)
    """

    new_asked = Signal()
    layer_chosen = Signal(int)
    file_asked = Signal()
    accept_toggled = Signal(bool)
    accept_all_asked = Signal()
    corrections_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.new = _button("Draw", "Paint labels on this image, in the class chosen above")
        self.use = _button("Use labels", "Take over labels that exist already")
        self.accept = _button("Accept region", _ACCEPT)
        self.accept.setCheckable(True)
        self.accept_all = _button("Accept image", _ACCEPT_ALL)
        self.corrections = QCheckBox("Show corrections")
        self.corrections.setToolTip("Mark labels for which the model predicts another class")
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.closed = QCheckBox()
        self.closed.setChecked(True)
        self.closed.setToolTip(
            "Labelled images of this project that are not open are read from their files, so "
            "that a fit does not forget them"
        )
        self.closed.hide()
        self._n_closed = 0
        self._menu = QMenu(self)
        self.use.setMenu(self._menu)
        grid = QGridLayout()
        for place, button in enumerate((self.new, self.use, self.accept, self.accept_all)):
            grid.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.corrections)
        layout.addWidget(self.note)
        layout.addWidget(self.closed)
        self.new.clicked.connect(self.new_asked)
        self.accept.toggled.connect(self.accept_toggled)
        self.accept_all.clicked.connect(self.accept_all_asked)
        self.corrections.toggled.connect(self.corrections_toggled)

    def allow_accepting(self, predicted: bool) -> None:
        """Let a prediction be accepted, or say why there is none."""
        for button, tip in ((self.accept, _ACCEPT), (self.accept_all, _ACCEPT_ALL)):
            button.setEnabled(predicted)
            button.setToolTip(tip if predicted else "Fit or run a model first")

    def show_count(self, count: Count) -> None:
        """Say how much is labelled."""
        self._n_closed = count.closed
        total = sum(count.pixels)
        self.note.setText(
            f"{total:,} pixels on {counted_images(count.open)} are labelled." if total else ""
        )
        are = "is" if count.closed == 1 else "are"
        self.closed.setText(f"Learn from {counted_images(count.closed)} that {are} closed")
        self.closed.setVisible(count.closed > 0)

    @property
    def learns_from_closed(self) -> bool:
        """Whether there are labelled images that are not open, and they should teach."""
        return self._n_closed > 0 and self.closed.isChecked()

    def offer(self, names: list[str]) -> None:
        """Fill the menu with the label layers that fit the image."""
        self._menu.clear()
        for place, name in enumerate(names):
            action = self._menu.addAction(f"Layer “{name}”…")
            action.triggered.connect(lambda _=False, i=place: self.layer_chosen.emit(i))
        if names:
            self._menu.addSeparator()
        self._menu.addAction("A mask file…").triggered.connect(self.file_asked)


class StartPanel(QWidget):
    """Which model a fit begins with, and what a new one is like.

    Signals
    -------
    changed()
        Another model was chosen, or a new one should be different.
    device_changed(str)
    """

    changed = Signal()
    device_changed = Signal(str)

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report
        self._paths: list[Path | None] = []
        self._chosen = 0
        self.model = QComboBox()
        self.model.setToolTip("The model that learns: one there is, or a new one")
        self.model.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.backbone = QComboBox()
        self.backbone.setEditable(True)
        self.backbone.addItems(_BACKBONES)
        self.backbone.setToolTip(
            "The network that looks at the image: the first comes with the plugin, "
            "others of timm are downloaded. Type any name"
        )
        self.backbone.setMinimumContentsLength(8)
        self.backbone.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.prototypes = QSpinBox()
        self.prototypes.setRange(1, 32)
        self.prototypes.setValue(5)
        self.prototypes.setToolTip("Prototypes for each class")
        self.detail = QComboBox()
        self.detail.addItems([name for name, _ in _DETAILS])
        self.detail.setCurrentText("normal")
        self.detail.setToolTip(
            "How closely the network looks: fine sees every pixel and is slow, "
            "coarse suits large photographs"
        )
        self.region = QSpinBox()
        self.region.setRange(4, 200)
        self.region.setValue(12)
        self.region.setSuffix(" px")
        self.region.setToolTip(
            "Side of a superpixel: smaller than the thinnest thing that matters; "
            "the Segment dock can preview it"
        )
        for field in (self.backbone, self.prototypes, self.detail, self.region):
            field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.backbone.lineEdit().setCursorPosition(0)
        self.device = QComboBox()
        self.device.setToolTip("Where to compute; auto takes the fastest there is")
        self.device.currentTextChanged.connect(self.device_changed)
        self.pretrained = True
        self._arrange()
        self._fill()
        self.model.activated.connect(self._on_model)
        for signal in (
            self.backbone.currentTextChanged,
            self.prototypes.valueChanged,
            self.detail.currentTextChanged,
            self.region.valueChanged,
        ):
            signal.connect(lambda _: self.changed.emit())

    def _arrange(self) -> None:
        self.options = QWidget()
        options = QFormLayout(self.options)
        options.setContentsMargins(0, 0, 0, 0)
        options.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        options.addRow("Backbone", self.backbone)
        options.addRow("Prototypes", self.prototypes)
        options.addRow("Detail", self.detail)
        options.addRow("Region size", self.region)
        self._options = options
        row = QHBoxLayout()
        row.addWidget(self.model, 1)
        row.addWidget(self.device)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.options)

    def _fill(self) -> None:
        self.model.clear()
        shipped = [*map(model_path, list_models())]
        recent = [path for path in recent_models() if path not in shipped]
        self._paths = [None, None, *shipped, *recent]
        self.model.addItems(
            [
                "A new model, on a grid",
                "A new model, on superpixels",
                *list_models(),
                *(path.name for path in recent),
                "Open a model file…",
            ]
        )
        self._show()

    # -- what is chosen ---------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """Whether a new model is to be begun."""
        return self._paths[self._chosen] is None

    @property
    def path(self) -> Path | None:
        """File of the chosen model, if it is not new."""
        return self._paths[self._chosen]

    def start(self) -> Start:
        """Where a fit begins."""
        device = self.device.currentText()
        if self.path is not None:
            return Start(file=self.path, device=device)
        new = NewModel(
            partition="grid" if self._chosen == 0 else "superpixel",
            backbone=self.backbone.currentText().strip(),
            prototypes_per_class=self.prototypes.value(),
            downsample=dict(_DETAILS)[self.detail.currentText()],
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

    def choose(self, path: Path | None, *, superpixels: bool = False) -> None:
        """Choose a model file, or a new model."""
        self._chosen = int(superpixels) if path is None else self._paths.index(path)
        self._show()
        self.changed.emit()

    def choose_file(self, path: Path) -> None:
        """Choose a file; what is no model is reported."""
        try:
            read_summary(path)
        except GaussProtoError as error:
            self._report(str(error))
            self._show()
            return
        remember_model(path)
        self._fill()
        self.choose(path)

    def _on_model(self, index: int) -> None:
        if index < len(self._paths):
            self._chosen = index
            self._show()
            self.changed.emit()
            return
        self._show()
        name, _ = QFileDialog.getOpenFileName(
            self, "Open a model", "", "Models (*.safetensors);;All files (*)"
        )
        if name:
            self.choose_file(Path(name))

    def _show(self) -> None:
        self.model.setCurrentIndex(self._chosen)
        self.options.setVisible(self.is_new)
        self._options.setRowVisible(self.region, self._chosen == 1)
