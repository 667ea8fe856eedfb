"""Which class is which value of a foreign mask: a row for each value, and a first guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QInputDialog,
    QLabel,
    QScrollArea,
    QWidget,
)

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.class_table import MOST_CLASSES, WantedClass, free_color
from napari_gaussproto.core.labels.mask_guess import (
    MANY_VALUES,
    TRANSPARENT,
    are_color_codes,
    guess_mapping,
    is_by_number,
    label_values,
)
from napari_gaussproto.widgets.shared.forms import across, button, down, enable, fill, wrapped_label
from napari_gaussproto.widgets.shared.pictures import pixmap_of
from napari_gaussproto.widgets.shared.share_table import ShareBar, percent_label, swatch
from napari_gaussproto.widgets.train.labelling.class_list import counted, grouped, plain_icon

_NOT_LABELLED, _NEW = "not labelled", "New class…"
_GREY = "#868e93"
_PICTURE = 420, 260
_MANY = (
    "There are {} different values: this looks like numbered objects or a grey picture, not like "
    "classes. Everything other than 0 can be one class."
)
_BY_NUMBER = (
    "The mask does not say what its values mean, so they were matched to the classes by their "
    "numbers: check in the picture that each is right."
)
Preview = Callable[[Mapping[int, int], Sequence[str]], npt.NDArray[np.uint8] | None]


@dataclass(frozen=True)
class _Group:
    """Values that mean the same class: one, or all but 0 when there are too many."""

    title: str
    values: tuple[int, ...]
    pixels: int
    color: str = ""


class MappingDialog(QDialog):
    """Let a person say which class each value of a mask is.

    Parameters
    ----------
    values : mapping of int to int
        Pixels of each value, as from `mask_values`.
    classes, parent
    colors : mapping of int to str, optional
        ``#rrggbb`` that the file gives to its values; see `CodedMask`.
    name : str
        What is imported, for the title.
    names : mapping of int to str, optional
        What the file calls its values.
    preview : callable, optional
        Gives a picture (h, w, 3) of what labels of values make of the photograph, in these colours.
    """

    def __init__(
        self,
        values: Mapping[int, int],
        classes: Sequence[SegmentationClass],
        parent: QWidget | None = None,
        colors: Mapping[int, str] | None = None,
        name: str = "",
        names: Mapping[int, str] | None = None,
        preview: Preview | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which class is each value?" + (f" – {name}" if name else ""))
        self._values, self._classes = dict(values), tuple(classes)
        self._colors, self._total = dict(colors or {}), max(1, sum(values.values()))
        self._called, self._preview = dict(names or {}), preview
        self._new: list[WantedClass] = []
        self._groups = self._grouped()
        # Of each group: 0 for not labelled, else its class among the known and the new ones.
        self._labels = [0] * len(self._groups)
        self.combos: list[QComboBox] = []
        self._bars: list[ShareBar] = []
        self._build()
        if len(self._values) > MANY_VALUES:
            self._note(_MANY.format(grouped(len(self._values))))
        else:
            guess = guess_mapping(self._values, self._classes, self._colors, self._called)
            self._labels = [guess.get(group.values[0], 0) for group in self._groups]
            if any(self._labels) and is_by_number(self._classes, self._colors, self._called):
                self._note(_BY_NUMBER)
        self._refresh()

    def _grouped(self) -> list[_Group]:
        values = self._values
        if len(values) <= MANY_VALUES:
            return [
                _Group(self._title(v), (v,), n, self._colors.get(v, ""))
                for v, n in sorted(values.items())
            ]
        others = tuple(sorted(value for value in values if value != 0))
        pixels = sum(values[value] for value in others)
        zero = [_Group("0", (0,), values[0])] if 0 in values else []
        title = f"all other than 0 ({grouped(len(others))} values)"
        return [*zero, _Group(title, others, pixels)]

    def _title(self, value: int) -> str:
        if self._called:
            return self._called.get(value, "outside of all outlines")
        if not are_color_codes(self._colors):
            return str(value)
        return "transparent" if value == TRANSPARENT else self._colors.get(value, str(value))

    # -- the window --------------------------------------------------------------------------

    def _build(self) -> None:
        self.note = wrapped_label()
        self.note.hide()
        self.each_button = button("New class for each value", "", self.add_class_for_each)
        self.each_button.setAutoDefault(False)
        self.picture = QLabel(toolTip="The photograph with the classes as they are chosen here")
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.left_over = wrapped_label()
        which = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(which.Ok | which.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.ok_button = self.buttons.button(which.Ok)
        each = across(self.each_button, None)
        parts = (self.note, (self._rows(), 1), each, self.picture, self.left_over, self.buttons)
        fill(self, down(*parts, spacing=10), 11, 11, 11, 11)
        self.each_button.setVisible(len(self._values) <= MANY_VALUES)
        self.setMinimumWidth(440)

    def _note(self, words: str) -> None:
        self.note.setText(words)
        self.note.show()

    def _rows(self) -> QWidget:
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 8, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(4, 1)
        for column, span, title in ((0, 2, "Value"), (2, 2, "Share"), (4, 1, "Class")):
            grid.addWidget(QLabel(title, enabled=False), 0, column, 1, span)
        for row, group in enumerate(self._groups):
            self._row(grid, row, group)
        grid.setRowStretch(len(self._groups) + 1, 1)
        area = QScrollArea(widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        return area

    def _row(self, grid: QGridLayout, row: int, group: _Group) -> None:
        color, percent = QLabel(), percent_label(_percent(group.pixels / self._total))
        if group.color:
            color.setPixmap(swatch(group.color, 14))
            color.setToolTip(f"{group.color} in the file")
        percent.setToolTip(f"{counted(group.pixels, 'pixel')} of {grouped(self._total)}")
        bar = ShareBar()
        bar.setFixedWidth(70)
        combo = _Choice()
        combo.setIconSize(QSize(14, 14))
        combo.setMinimumContentsLength(14)
        combo.setAccessibleName(f"Class of {group.title}")
        combo.setToolTip(f"What {group.title} means")
        combo.activated.connect(lambda index, row=row: self._on_activated(row, index))
        self.combos.append(combo)
        self._bars.append(bar)
        cells = (color, QLabel(group.title), percent, bar, combo)
        for column, widget in enumerate(cells):
            grid.addWidget(widget, row + 1, column)

    # -- what is chosen ----------------------------------------------------------------------

    def mapping(self) -> dict[int, int]:
        """Label of every value, for `import_mask`: 0 for not labelled, else class index + 1.

        The new classes follow the known ones, in the order of `new_classes`.
        """
        place = {label: len(self._classes) + i + 1 for i, label in enumerate(self._used())}
        return {
            value: place.get(label, label)
            for group, label in zip(self._groups, self._labels, strict=True)
            for value in group.values
        }

    def new_classes(self) -> list[WantedClass]:
        """Classes for `extend_table` to add, so that the labels of `mapping` are the table's."""
        return [self._new[label - len(self._classes) - 1] for label in self._used()]

    def _used(self) -> list[int]:
        """Labels of new classes that a value has, in the order they were made."""
        return sorted({label for label in self._labels if label > len(self._classes)})

    def _on_activated(self, row: int, index: int) -> None:
        group = self._groups[row]
        if index <= len(self._names()):
            self._labels[row] = index
        elif name := self.ask_name(group.title).strip():
            self._labels[row] = self._label_of(name, group.color)
        self._refresh()

    def _label_of(self, name: str, color: str) -> int:
        """Label of a class by name; a new one when there is none."""
        names = self._names()
        if name not in names:
            names.append(name)
            self._new.append(WantedClass(name, color))
        return names.index(name) + 1

    def _names(self) -> list[str]:
        """Of the known classes and the new ones."""
        return [entry.name for entry in self._classes] + [entry.name for entry in self._new]

    def add_class_for_each(self) -> None:
        """Make a class for every value that marks something and has none yet."""
        for row in self._unmapped():
            group = self._groups[row]
            name = self._called.get(group.values[0], f"class {group.title}")
            self._labels[row] = self._label_of(name, group.color)
        self._refresh()

    def _unmapped(self) -> list[int]:
        """Rows that could be classes and are none."""
        marking = set(label_values(self._values, self._colors))
        return [
            row
            for row, (group, label) in enumerate(zip(self._groups, self._labels, strict=True))
            if label == 0 and len(group.values) == 1 and group.values[0] in marking
        ]

    # -- what is shown -----------------------------------------------------------------------

    def _refresh(self) -> None:
        colors = self._shown_colors()
        rows = zip(self.combos, self._bars, self._groups, self._labels, strict=True)
        for combo, bar, group, label in rows:
            self._fill(combo, colors, label)
            color = colors[label - 1] if label else _GREY
            bar.show_parts((group.pixels / self._total, color))
        self._show_preview(colors)
        self._say()

    def _show_preview(self, colors: Sequence[str]) -> None:
        labels = {
            value: label
            for group, label in zip(self._groups, self._labels, strict=True)
            for value in group.values
        }
        picture = None if self._preview is None else self._preview(labels, colors)
        self.picture.setVisible(picture is not None)
        if picture is not None:
            keep = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.picture.setPixmap(pixmap_of(picture).scaled(QSize(*_PICTURE), *keep))

    def _fill(self, combo: QComboBox, colors: Sequence[str], label: int) -> None:
        combo.clear()
        combo.addItem(_NOT_LABELLED)
        for name, color in zip(self._names(), colors, strict=True):
            combo.addItem(plain_icon(color), name)
        combo.insertSeparator(combo.count())
        combo.addItem(_NEW)
        combo.setItemData(combo.count() - 1, "Type a name", Qt.ItemDataRole.ToolTipRole)
        combo.setCurrentIndex(label)

    def _shown_colors(self) -> list[str]:
        """Of the known classes and the new ones; these get theirs as `add_class` gives them."""
        colors = [entry.color for entry in self._classes]
        for entry in self._new:
            colors.append(entry.color or free_color(colors))
        return colors

    def _say(self) -> None:
        """Say what is left out, and why OK cannot be pressed yet."""
        pairs = list(zip(self._groups, self._labels, strict=True))
        left = [group for group, label in pairs if label == 0]
        count = sum(len(group.values) for group in left)
        share = sum(group.pixels for group in left) / self._total
        verb = "stays" if count == 1 else "stay"
        self.left_over.setText(
            f"{counted(count, 'value')}, {_percent(share)} of the pixels, {verb} not labelled."
            if left
            else "Every value is a class."
        )
        obstacle = ""
        if len(self._classes) + len(self._used()) > MOST_CLASSES:
            obstacle = f"There can be {MOST_CLASSES} classes at most: use fewer new ones"
        elif not any(self._labels):
            obstacle = "Choose a class for at least one value first"
        enable(self.ok_button, "Use the mask as labels", obstacle)
        unmapped = len(self._unmapped())
        added = (
            f"Add {counted(unmapped, 'class', 'classes')}, named after the values, to rename later"
        )
        nothing = "No value marks anything: 0 and numbers such as 255 mean “not labelled”"
        already = "Every value that marks something is a class already"
        none = "" if unmapped else already if any(self._labels) else nothing
        enable(self.each_button, added, none)

    def ask_name(self, value: str) -> str:
        """Ask for the name of a new class; empty when there is none."""
        name, agreed = QInputDialog.getText(self, "New class", f"Name of the class for {value}:")
        return str(name) if agreed else ""


class _Choice(QComboBox):
    """A combo box that lets the wheel scroll the rows instead of changing what is chosen."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave it to the rows."""
        event.ignore()


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or not share else "< 0.1%"
