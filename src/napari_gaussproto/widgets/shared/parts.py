"""What a model says about itself, in a dialog."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_gaussproto.core.model.summary import ModelSummary


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
