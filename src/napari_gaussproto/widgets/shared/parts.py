"""Small widgets that docks are made of."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import (
    QColor,
    QIcon,
    QImage,
    QPainter,
    QPaintEvent,
    QPixmap,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
)
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.card import ModelSummary, card_markdown


def swatch(color: str, size: int = 12) -> QPixmap:
    """A square of one colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(color))
    return pixmap


def picture_icon(patches: npt.NDArray[np.uint8], color: str, count: int = 3) -> QIcon:
    """An icon with a prototype's nearest patches (K, S, S, 3) in a row, framed in class colour."""
    shown = patches[:count]
    side, gap = 32, 2
    pixmap = QPixmap(count * (side + gap), side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    for slot, patch in enumerate(shown):
        data = np.ascontiguousarray(patch)
        height, width = data.shape[:2]
        image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        painter.drawImage(slot * (side + gap), 0, image.scaled(side, side))
    painter.setPen(QColor(color))
    for slot in range(len(shown)):
        painter.drawRect(slot * (side + gap), 0, side - 1, side - 1)
    painter.end()
    return QIcon(pixmap)


ICON_SIZE = QSize(102, 32)


class ShareBar(QWidget):
    """A horizontal bar whose length is a share of 1."""

    def __init__(self, share: float, color: str) -> None:
        super().__init__()
        self._share, self._color = share, QColor(color)
        self.setMinimumWidth(60)
        self.setFixedHeight(10)

    def set_share(self, share: float, color: str) -> None:
        """Show another share."""
        self._share, self._color = share, QColor(color)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(128, 128, 128, 50))
        painter.fillRect(0, 0, round(self.width() * self._share), self.height(), self._color)


class CoverTable(QWidget):
    """Cover of each class: colour, name, percent and a bar; to copy or to save."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[str, float]] = []
        self._image = ""
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(3, 1)
        self._copy = QPushButton("Copy")
        self._copy.setToolTip("Copy the table, to paste it into a spreadsheet")
        self._copy.clicked.connect(self._copy_table)
        self._save = QPushButton("Save CSV…")
        self._save.setToolTip("Save the table as a file")
        self._save.clicked.connect(self._ask_where)
        buttons = QHBoxLayout()
        buttons.addWidget(self._copy)
        buttons.addWidget(self._save)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._grid)
        layout.addLayout(buttons)
        self.hide()

    def show_cover(
        self, image: str, cover: dict[str, float], classes: Sequence[SegmentationClass]
    ) -> None:
        """Fill the table."""
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().deleteLater()
        self._image = image
        self._rows = [(entry.name, cover[entry.name]) for entry in classes]
        for row, entry in enumerate(classes):
            color = QLabel()
            color.setPixmap(swatch(entry.color))
            percent = QLabel(f"{cover[entry.name]:.1%}")
            percent.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._grid.addWidget(color, row, 0)
            self._grid.addWidget(QLabel(entry.name), row, 1)
            self._grid.addWidget(percent, row, 2)
            self._grid.addWidget(ShareBar(cover[entry.name], entry.color), row, 3)
        self.show()

    def text(self, delimiter: str) -> str:
        """The table as text, a header and a row per class."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(["image", "class", "cover"])
        for name, share in self._rows:
            writer.writerow([self._image, name, f"{share:.6f}"])
        return stream.getvalue()

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        path.write_text(self.text(","), encoding="utf-8")

    def _copy_table(self) -> None:
        QApplication.clipboard().setText(self.text("\t"))

    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save cover", f"{self._image}-cover.csv", "CSV (*.csv)"
        )
        if name:
            self.save(Path(name))


class CardDialog(QDialog):
    """What a model says about itself."""

    def __init__(self, summary: ModelSummary, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(summary.card.name)
        self.resize(640, 640)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(CardView(summary))
        layout.addWidget(buttons)


class CardView(QTextBrowser):
    """A model's card, with a swatch beside the colour of each class."""

    def __init__(self, summary: ModelSummary) -> None:
        super().__init__()
        features = QTextDocument.MarkdownFeature
        self.document().setMarkdown(
            card_markdown(summary),
            features.MarkdownDialectGitHub | features.MarkdownNoHTML,
        )
        for color in {entry.color for entry in summary.config.classes}:
            self._add_swatches(color)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _add_swatches(self, color: str) -> None:
        """Put a square of a colour in front of each place that names it."""
        drawn = QTextCharFormat()
        drawn.setForeground(QColor(color))
        found = self.document().find(color)
        while not found.isNull():
            found.setPosition(found.selectionStart())
            found.insertText("■ ", drawn)
            found.setPosition(found.position() + len(color))
            found = self.document().find(color, found)
