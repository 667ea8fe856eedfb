"""Widgets that the docks share."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QLabel

from napari_gaussproto.widgets.shared.forms import SlimBar, wrapped_label


class _Counting(SlimBar):
    drawn = 0

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.drawn += 1


@pytest.fixture
def bar(qtbot: Any) -> _Counting:
    """A bar on the screen, of work without an end."""
    bar = _Counting()
    qtbot.addWidget(bar)
    bar.resize(240, 6)
    bar.show()
    qtbot.waitExposed(bar)
    bar.setRange(0, 0)
    return bar


def middle_row(bar: SlimBar) -> list[str]:
    """Colours along a bar, from left to right."""
    image = bar.grab().toImage()
    y = image.height() // 2
    return [image.pixelColor(x, y).name() for x in range(4, image.width() - 4, 4)]


def test_a_bar_at_work_moves_but_seldom(bar: _Counting, qtbot: Any) -> None:
    qtbot.wait(300)  # until what showing it asked for is drawn
    first, before = middle_row(bar), bar.drawn
    qtbot.waitUntil(lambda: middle_row(bar) != first, timeout=5000)
    bar.drawn = before
    qtbot.wait(1500)
    assert 1 <= bar.drawn - before <= 5
    assert len(set(first)) > 1  # a piece is told from the rest


def test_a_bar_with_an_end_rests(bar: _Counting, qtbot: Any) -> None:
    qtbot.wait(600)
    bar.setRange(0, 10)
    bar.setValue(5)
    qtbot.wait(300)
    half, drawn = middle_row(bar), bar.drawn
    qtbot.wait(1200)
    assert half[0] != half[-1]
    assert bar.drawn <= drawn + 1  # grabbing it draws it


LONG = "DJI_202606121030_orthomosaic_transparent_mosaic"


@pytest.mark.parametrize(
    "text",
    [
        f"“{LONG}” stays in /home/someone/{LONG}/labels-of-everything.",
        f'<span style="color:#123456;background:#abcdef">■</span> <b>{LONG}</b>',
        "DJI202606121030orthomosaicoftransparentmosaics",
    ],
)
def test_long_names_are_broken_and_not_cut(qtbot: Any, text: str) -> None:
    label = wrapped_label(text)
    qtbot.addWidget(label)
    assert label.minimumSizeHint().width() <= 300 and label.text() == text
    assert "<span" not in text or "#123456;background:#abcdef" in QLabel.text(label)
    label.clear()
    assert label.text() == QLabel.text(label) == ""
