"""A model's card in a dock."""

from __future__ import annotations

from typing import Any

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.card import ModelCard, ModelSummary
from napari_gaussproto.widgets.shared.card_dialog import CardView
from tests.core.builders import tiny_config


def test_the_card_begins_at_its_top_and_shows_the_colours(qtbot: Any) -> None:
    classes = [
        SegmentationClass(name="<b>soil</b>", color="#123456"),
        SegmentationClass(name="leaf", color="#abcdef"),
    ]
    config = tiny_config(classes=[entry.model_dump() for entry in classes])
    view = CardView(ModelSummary(config, ModelCard(name="mine", not_for=["anything"]), []))
    qtbot.addWidget(view)
    text = view.toPlainText()
    assert text.startswith("mine") and "anything" in text
    assert "■ #123456" in text and "■ #abcdef" in text and text.count("■") == 2
    assert view.textCursor().atStart()
