"""The page of places to look at next has room for all that it holds."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QTabWidget

from napari_gaussproto.widgets.prototypes.places_panel import PlacesPanel


def test_no_list_lies_over_another_below_a_caution(qtbot: Any) -> None:
    tabs, panel = QTabWidget(), PlacesPanel()
    tabs.addTab(panel, "Look next")
    qtbot.addWidget(tabs)
    panel.show_strokes(2)
    tabs.show()
    tabs.resize(260, 200)
    qtbot.wait(50)
    caution, lists = panel.caution, list(panel.lists.values())
    assert caution.isVisible() and caution.height() >= caution.heightForWidth(caution.width())
    assert panel.height() >= panel.heightForWidth(panel.width())
    assert lists[0].geometry().bottom() < lists[1].geometry().top()
