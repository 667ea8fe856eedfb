"""What a model says about itself, in a dialog."""

from __future__ import annotations

from qtpy.QtGui import QColor, QTextCharFormat, QTextCursor, QTextDocument
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_gaussproto.core.model.card import ModelSummary, card_markdown


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
            card_markdown(summary), features.MarkdownDialectGitHub | features.MarkdownNoHTML
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
