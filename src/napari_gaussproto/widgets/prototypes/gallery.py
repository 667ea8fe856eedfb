"""The gallery of the Prototypes dock: a row for each prototype, grouped by class."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPaintEvent, QShowEvent
from qtpy.QtWidgets import QFrame, QLabel, QLineEdit, QScrollArea, QSizePolicy, QWidget

from napari_gaussproto.widgets.shared.forms import across, check_box, down, enable, fill, hold
from napari_gaussproto.widgets.shared.pictures import PatchStrip, faint
from napari_gaussproto.widgets.shared.share_table import ShareBar, percent_label, swatch
from napari_gaussproto.widgets.shared.workarounds import painting
from napari_gaussproto.widgets.shared.workers import single_shot

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.explain.gallery import Gallery, GalleryEntry, GalleryGroup
    from napari_gaussproto.core.explain.health import Mark

_PATCHES, _SIDE = 3, 36
_RENAME, _OFF = "Click to rename", "It is off: its switch takes it into use again"
# Three rows, also in a small window: the dock scrolls then.
_LEAST = 150


class PrototypeRow(QFrame):
    """One prototype: patches, name, share of the image, health, on or off."""

    def __init__(self, view: GalleryView) -> None:
        super().__init__()
        self._view = view
        self.index = -1
        self._name = ""
        self._color = QColor("#888888")
        self.selected = False
        self.patches = PatchStrip(_PATCHES, _SIDE)
        self.name = QLineEdit(frame=False, toolTip=_RENAME)
        self.name.setStyleSheet("QLineEdit { background: transparent; padding: 0; }")
        self.name.editingFinished.connect(self._on_name)
        self.name.installEventFilter(self)
        self.percent = percent_label()
        self.percent.setFixedWidth(44)
        self.bar = ShareBar(height=5)
        self.mark = QLabel("!", alignment=Qt.AlignmentFlag.AlignCenter)
        self.mark.setFixedSize(16, 16)
        self.mark.setStyleSheet(
            "QLabel { background: #e69f00; color: black; border-radius: 8px; font-weight: bold; }"
        )
        tip = "On: it takes part. Off: it explains nothing, as if it were not there"
        self.on = check_box("", tip)
        self.on.clicked.connect(lambda checked: view.switched.emit(self.index, checked))
        top = across((self.name, 1), self.mark, self.percent, spacing=4)
        words = down(top, self.bar, spacing=3)
        fill(self, across(self.patches, (words, 1), self.on, spacing=8), 6, 4, 6, 4)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_entry(
        self, entry: GalleryEntry, classes: list[SegmentationClass], share: float | None
    ) -> None:
        """Show a prototype and its share of the current image, if that is known."""
        prototype = entry.prototype
        color = classes[prototype.class_index].color
        self.index, self._name, self._color = entry.index, prototype.name, QColor(color)
        self.patches.show_prototype(prototype, classes)
        if not self.name.hasFocus():
            self.name.setText(prototype.name)
            self.name.setCursorPosition(0)  # a long name shows its beginning
        weight = f"weight in its class {entry.weight:.0%}"
        if share is None:
            self.percent.clear()
            self.percent.setToolTip(weight.capitalize())
            self.bar.show_parts()
        else:
            self.percent.setText(f"{share:.0%}" if share >= 0.1 else f"{share:.1%}")
            self.percent.setToolTip(f"Explains {share:.1%} of the current image; {weight}")
            self.bar.show_parts((share, color))
        self.on.setChecked(entry.active)
        for part in (self.patches, self.percent, self.bar):
            part.setEnabled(entry.active)
        enable(self.name, _RENAME, "" if entry.active else _OFF)
        self.mark.setVisible(bool(entry.marks))
        self.mark.setToolTip(marks_html(entry.marks))
        self.setAccessibleName(prototype.name)

    def allow_editing(self, obstacle: str) -> None:
        """Let a person rename and switch this prototype, or only look at it, and say why."""
        self.name.setReadOnly(bool(obstacle))
        hold(obstacle, self.on)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose this prototype."""
        self._view.chosen.emit(self.index)
        super().mousePressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Choose this prototype when its name is clicked."""
        if event.type() == QEvent.Type.FocusIn:
            self._view.chosen.emit(self.index)
        return bool(super().eventFilter(watched, event))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the class colour at the left, and all over when chosen."""
        with painting(self) as painter:
            if self.selected:
                painter.fillRect(self.rect(), faint(self._color, 70))
            painter.fillRect(0, 0, 3, self.height(), self._color)

    def _on_name(self) -> None:
        text = self.name.text().strip()
        if text == self._name:
            return
        self.name.setText(self._name)  # until the edit is accepted
        self.name.clearFocus()
        self._view.renamed.emit(self.index, text)


class GroupHeader(QWidget):
    """Class colour, name, how many prototypes, and the share of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.color, self.title, self.share = QLabel(), QLabel(), QLabel()
        fill(self, across(self.color, (self.title, 1), self.share), 2, 8, 36, 2)

    def show_group(self, group: GalleryGroup, share: float | None) -> None:
        """Show a class, and its share if that is known."""
        count, plural = len(group.prototypes), "" if len(group.prototypes) == 1 else "s"
        self.color.setPixmap(swatch(group.entry.color))
        self.title.setText(f"<b>{escape(group.entry.name)}</b>   {count} prototype{plural}")
        self.share.setText("" if share is None else f"<b>{share:.0%}</b>")
        self.share.setToolTip("What the prototypes of this class explain of the current image")


class GalleryView(QScrollArea):
    """All prototypes of a model."""

    chosen = Signal(int)
    renamed = Signal(int, str)
    switched = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[PrototypeRow] = []
        self._headers: list[GroupHeader] = []
        self._shape: list[int] = []
        self._chosen = 0
        self._scroller = single_shot(self, 0, self._scroll)
        self._layout = down(spacing=2)
        self.setWidget(fill(QWidget(), self._layout, 0, 0, 4, 0))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(_LEAST)

    def sizeHint(self) -> QSize:
        """Room for a few rows."""
        return QSize(340, 300)

    def show_gallery(
        self,
        gallery: Gallery,
        classes: list[SegmentationClass],
        share: list[float] | None,
        chosen: int,
    ) -> None:
        """Show a model's prototypes, with their shares of the current image if they are known."""
        shape = [len(group.prototypes) for group in gallery.groups]
        if shape != self._shape:
            self._rebuild(shape)
        rows = iter(self.rows)
        for header, group in zip(self._headers, gallery.groups, strict=True):
            own = [None if share is None else share[e.index] for e in group.prototypes]
            header.show_group(group, None if share is None else sum(filter(None, own)))
            for entry, part in zip(group.prototypes, own, strict=True):
                next(rows).show_entry(entry, classes, part)
        self.select(chosen)

    def allow_editing(self, obstacle: str) -> None:
        """Let a person edit the prototypes, or only look at them, and say why."""
        for row in self.rows:
            row.allow_editing(obstacle)

    def row(self, m: int) -> PrototypeRow | None:
        """The row of a prototype."""
        return next((row for row in self.rows if row.index == m), None)

    def select(self, m: int) -> None:
        """Mark a prototype as the chosen one."""
        for row in self.rows:
            row.selected = row.index == m
            row.update()
        self._chosen = m
        # New rows have no place yet, and neither have those of a dock that is not seen.
        self._scroller.start()

    def _scroll(self) -> None:
        chosen = self.row(self._chosen)
        if chosen is not None:
            self.ensureWidgetVisible(chosen, 0, 20)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring the chosen prototype into view once there is one."""
        super().showEvent(event)
        self._scroller.start()

    def _rebuild(self, shape: list[int]) -> None:
        while (item := self._layout.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()
        self.rows, self._headers, self._shape = [], [], shape
        for count in shape:
            self._headers.append(GroupHeader())
            rows = [PrototypeRow(self) for _ in range(count)]
            self.rows += rows
            for part in (self._headers[-1], *rows):
                self._layout.addWidget(part)
        self._layout.addStretch()


def marks_html(marks: list[Mark]) -> str:
    """Findings about a prototype: what they mean and what to do."""
    return "<br><br>".join(
        f"<b>{escape(mark.title)}</b><br>{escape(mark.meaning)}<br><i>{escape(mark.advice)}</i>"
        for mark in marks
    )
