"""Shares of a whole: a swatch, a name, a percentage and a bar, in docks and dialogs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPaintEvent, QPixmap
from qtpy.QtWidgets import QApplication, QFileDialog, QGridLayout, QLabel, QWidget

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.widgets.shared.forms import across, button, down, fill, heading
from napari_gaussproto.widgets.shared.workarounds import painting

_GROUND = QColor(128, 128, 128, 50)


def swatch(color: str, size: int = 12) -> QPixmap:
    """A square of one colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(color))
    return pixmap


def square_html(color: str) -> str:
    """The same in the middle of a text."""
    return f'<span style="color:{color}">■</span>'


def percent_label(text: str = "") -> QLabel:
    """A label for a percentage, at the right."""
    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    return QLabel(text, alignment=right)


class ShareBar(QWidget):
    """A horizontal bar of one share of 1, or of several side by side: ``parts``, with colours."""

    def __init__(self, share: float = 0.0, color: str = "#888888", height: int = 10) -> None:
        super().__init__()
        self.parts = [(share, color)]
        self.setMinimumWidth(60)
        self.setFixedHeight(height)

    @property
    def share(self) -> float:
        """All that is shown."""
        return sum(share for share, _ in self.parts)

    def show_parts(self, *parts: tuple[float, str]) -> None:
        """Show other shares."""
        self.parts = list(parts)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the parts side by side."""
        with painting(self) as painter:
            painter.fillRect(self.rect(), _GROUND)
            left = 0.0
            for share, color in self.parts:
                right = left + share * self.width()
                width = round(right) - round(left)
                painter.fillRect(round(left), 0, width, self.height(), QColor(color))
                left = right


class CoverTable(QWidget):
    """Cover of each class of an image, to copy or to save; ``shares`` are in the classes' order."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[float] = []
        self._names: list[str] = []
        self._image = ""
        self.heading = heading("Cover")
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(3, 1)
        tip = "Copy the table, to paste it into a spreadsheet"
        copy = button("Copy", tip, lambda: QApplication.clipboard().setText(self.text("\t")))
        save = button("Save CSV…", "Save the table as a file", self._ask_where)
        fill(self, down(self.heading, self._grid, across(copy, save, None)))
        self.hide()

    def show_cover(
        self,
        image: str,
        cover: dict[str, float],
        classes: Sequence[SegmentationClass],
        data_share: float = 1.0,
        so_far: float = 1.0,
        counted: str = "with data",
    ) -> None:
        """Fill the table with the cover of the share of an image that is counted.

        ``so_far`` is the share that was segmented yet.
        """
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().deleteLater()
        self._image = image
        over = "" if data_share == 1 else f", over the {data_share:.1%} {counted}"
        part = "" if so_far == 1 else f"{so_far:.0%} of "
        self.heading.setText(f"<b>Cover</b> of {part}{escape(image)}{over}")
        self._names = [entry.name for entry in classes]
        self.shares = [cover[name] for name in self._names]
        for row, (entry, share) in enumerate(zip(classes, self.shares, strict=True)):
            color, percent = QLabel(pixmap=swatch(entry.color)), percent_label(f"{share:.1%}")
            parts = (color, QLabel(entry.name), percent, ShareBar(share, entry.color))
            for column, part in enumerate(parts):
                self._grid.addWidget(part, row, column)
        self.show()

    def text(self, delimiter: str) -> str:
        """The table as text, a header and a row per class."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(["image", "class", "cover"])
        for name, share in zip(self._names, self.shares, strict=True):
            writer.writerow([self._image, name, f"{share:.6f}"])
        return stream.getvalue()

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        with replacing(path) as partial:
            partial.write_text(self.text(","), encoding="utf-8")

    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save cover", f"{self._image}-cover.csv", "CSV (*.csv)"
        )
        if name:
            self.save(Path(name))
