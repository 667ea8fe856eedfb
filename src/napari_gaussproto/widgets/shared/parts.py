"""Small widgets that docks are made of."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPaintEvent, QPixmap
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
from napari_gaussproto.core.model.summary import ModelSummary


def swatch(color: str, size: int = 12) -> QPixmap:
    """A square of one colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(color))
    return pixmap


def picture_icon(patches: npt.NDArray[np.uint8], color: str, count: int = 3) -> QIcon:
    """An icon that shows a prototype's nearest patches in a row, framed in class colour."""
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
        self.resize(520, 560)
        text = QTextBrowser()
        text.setHtml(card_html(summary))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)


def card_html(summary: ModelSummary) -> str:
    """A model's card as HTML."""
    card, config = summary.card, summary.config
    facts = {
        "Model": f"{config.partition}, {config.backbone}, cells of {config.cell_size} px, "
        f"{len(summary.prototypes)} prototypes",
        "Data": card.data,
        "Licence of the data": " ".join((card.licence, card.attribution)).strip(),
        "Cite": card.citation,
        "Made": f"{card.created} {card.command}",
    }
    parts = [f"<h3>{escape(card.name)}</h3><p>{escape(card.description)}</p>"]
    parts += [
        f'<p><span style="color:{entry.color}">■</span> {escape(entry.name)}</p>'
        for entry in config.classes
    ]
    parts += [f"<p><b>{k}</b><br>{escape(v)}</p>" for k, v in facts.items() if v.strip()]
    parts += [_measure_html(split, values) for split, values in card.measures.items()]
    if card.not_for:
        items = "".join(f"<li>{escape(entry)}</li>" for entry in card.not_for)
        parts.append(f"<p><b>Not for</b></p><ul>{items}</ul>")
    return "".join(parts)


def _measure_html(split: str, values: dict[str, Any]) -> str:
    ious = ", ".join(f"{escape(k)} {v:.3f}" for k, v in values["iou"].items() if v is not None)
    return (
        f"<p><b>On {values['images']} {escape(split)} images</b><br>"
        f"mean IoU {values['miou']:.3f} ({ious}), calibration error {values['ece']:.3f}</p>"
    )
