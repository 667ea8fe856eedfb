"""History of versions: the list, what can be done with a version, and the comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QMessageBox

from napari_gaussproto.widgets.train.versions.version_panel import VersionPanel
from napari_gaussproto.widgets.train.versions.version_rows import (
    ago,
    lanes,
    main_measure,
    version_html,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Fake:
    id: str
    parent: str | None = None
    name: str = ""
    what: str = "quick fit"
    created: str = NOW.isoformat()
    seconds: float = 1.5
    strokes: int = 12
    images: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)


def version(id: str, parent: str | None = None, **changes: Any) -> Fake:
    return Fake(id, parent, **({"name": f"version {id}"} | changes))


LINE = [version("a"), version("b", "a"), version("c", "b")]


@pytest.fixture
def panel(qtbot: Any) -> VersionPanel:
    widget = VersionPanel()
    qtbot.addWidget(widget)
    widget.resize(320, 420)
    widget.show()
    qtbot.waitExposed(widget)
    widget.set_versions(LINE, "c")
    return widget


def click(panel: VersionPanel, version: str, double: bool = False) -> None:
    """Click a row, as with the mouse."""
    row = panel.model.row_of(version)
    assert row is not None
    at = panel.view.visualRect(panel.model.index(row)).center()
    mouse = QTest.mouseDClick if double else QTest.mouseClick
    mouse(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=at)


def press(panel: VersionPanel, key: str) -> None:
    QTest.mouseClick(panel.buttons[key], Qt.MouseButton.LeftButton)


def asked(signal: Any) -> list[Any]:
    """Everything that a signal says from now on."""
    said: list[Any] = []
    signal.connect(lambda *values: said.append(values))
    return said


def editor(panel: VersionPanel) -> QLineEdit:
    found = panel.view.findChild(QLineEdit)
    assert found is not None
    return found


def test_a_sentence_as_long_as_there_is_nothing(panel: VersionPanel) -> None:
    assert panel.view.isVisible() and not panel.empty.isVisible()
    panel.set_versions([], None)
    assert panel.empty.isVisible() and not panel.view.isVisible()
    assert not panel.buttons["compare"].isVisible()


def test_newest_first(panel: VersionPanel) -> None:
    assert [v.id for v in panel.model.versions] == ["c", "b", "a"]


def test_actions_of_the_chosen_version(panel: VersionPanel) -> None:
    compared, reverted = asked(panel.compare_asked), asked(panel.revert_asked)
    saved = asked(panel.save_asked)
    assert not panel.buttons["save"].isEnabled()
    assert panel.buttons["save"].toolTip() == "Choose a version first"
    click(panel, "b")
    for key in ("compare", "revert", "save"):
        press(panel, key)
    assert compared == reverted == saved == [("b",)]
    assert "newer versions stay" in panel.buttons["revert"].toolTip()


def test_the_current_version_can_only_be_saved_and_renamed(panel: VersionPanel) -> None:
    click(panel, "c")
    assert not panel.buttons["compare"].isEnabled()
    assert "another one" in panel.buttons["compare"].toolTip()
    assert not panel.buttons["revert"].isEnabled() and panel.buttons["save"].isEnabled()
    enabled = {a.text(): a.isEnabled() for a in panel.menu().actions() if a.text()}
    assert enabled["Rename"] and not enabled["Delete…"]
    panel.set_versions(LINE, "a")  # reverted elsewhere
    assert panel.selected() == "c" and panel.buttons["revert"].isEnabled()


def test_while_a_model_is_fitted(panel: VersionPanel) -> None:
    click(panel, "a")
    panel.set_busy("A model is being fitted")
    assert not panel.buttons["revert"].isEnabled() and panel.buttons["save"].isEnabled()
    assert panel.buttons["revert"].toolTip() == "A model is being fitted"
    panel.set_busy(None)
    assert panel.buttons["revert"].isEnabled()


def test_the_choice_outlives_new_and_deleted_versions(panel: VersionPanel) -> None:
    click(panel, "b")
    panel.set_versions([*LINE, version("d", "c")], "d")
    assert panel.selected() == "b"
    panel.set_versions([LINE[1], version("e", "b")], "e")  # another list altogether
    assert panel.selected() == "b"
    panel.set_versions([version("e")], "e")
    assert panel.selected() is None and not panel.buttons["save"].isEnabled()


def test_rename_in_place(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.rename_asked)
    click(panel, "b")
    click(panel, "b", double=True)
    box = editor(panel)
    assert box.text() == "version b"
    QTest.keyClicks(box, "with rain")
    QTest.keyClick(box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: said == [("b", "with rain")], timeout=5000)
    assert panel.model.versions[1].name == "version b"  # until the owner of the list says so


@pytest.mark.parametrize("typed", ["", "   ", "version b"])
def test_an_empty_or_unchanged_name_is_not_asked_for(panel: VersionPanel, typed: str) -> None:
    said = asked(panel.rename_asked)
    click(panel, "b")
    click(panel, "b", double=True)
    box = editor(panel)
    box.setText(typed)
    QTest.keyClick(box, Qt.Key.Key_Return)
    QTest.qWait(50)  # what is typed is taken a moment later
    assert said == [] and panel.view.findChild(QLineEdit) is None


def test_a_new_version_does_not_disturb_who_is_typing(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.rename_asked)
    click(panel, "b")
    click(panel, "b", double=True)
    QTest.keyClicks(editor(panel), "half a na")
    panel.set_versions([*LINE, version("d", "c")], "d")
    QTest.keyClicks(editor(panel), "me")
    QTest.keyClick(editor(panel), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: said == [("b", "half a name")], timeout=5000)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_deleting_asks_first(panel: VersionPanel, monkeypatch: Any, answer: str) -> None:
    said, questions = asked(panel.delete_asked), []

    def question(_: Any, __: str, text: str) -> Any:
        questions.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "question", question)
    click(panel, "a")
    next(a for a in panel.menu().actions() if a.text() == "Delete…").trigger()
    assert len(questions) == 1 and "version a" in questions[0]
    assert said == ([("a",)] if answer == "Yes" else [])


def test_the_menu_of_a_row_is_about_that_row(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.revert_asked)
    at = panel.view.visualRect(panel.model.index(2)).center()
    opened: list[Any] = []
    original = panel.menu

    def menu(*keys: Any) -> Any:
        opened.append(original(*keys))
        return opened[0]

    panel.menu = menu  # type: ignore[method-assign]
    panel.view.customContextMenuRequested.emit(QPoint(at))
    qtbot.waitUntil(lambda: opened and opened[0].isVisible(), timeout=5000)
    entry = next(a for a in opened[0].actions() if a.text() == "Revert to")
    QTest.mouseClick(
        opened[0], Qt.MouseButton.LeftButton, pos=opened[0].actionGeometry(entry).center()
    )
    assert said == [("a",)]


def test_a_row_says_everything_in_its_tooltip(panel: VersionPanel) -> None:
    full = version(
        "d",
        "gone",
        name="<rain>",
        what="fine-tune",
        seconds=310.0,
        strokes=1,
        images=3,
        settings={"steps": 100, "loss": {"density": 0.5}},
        measures={"held-out IoU": 0.7123, "labelled IoU": 0.95},
    )
    text = version_html(full, {})
    for part in ("fine-tune", "deleted", "1 stroke on 3 images", "5 min", "0.712", "0.950"):
        assert part in text
    assert "steps 100" in text and "loss.density 0.5" in text
    assert "&lt;rain&gt;" in text and "+00:00" not in text
    panel.set_versions([full], "d")
    tip = panel.model.index(0).data(Qt.ItemDataRole.ToolTipRole)
    assert re.search(r"held-out IoU: <b>0\.712</b>", tip)


def test_the_measure_that_says_most() -> None:
    both = {"labelled accuracy": 0.97, "held-out IoU": 0.712}
    assert main_measure(both) == "held-out IoU .71"
    assert main_measure({"labelled accuracy": 0.97}) == "labelled accuracy .97"
    assert main_measure({"labelled accuracy": 1.0}) == "labelled accuracy 1.00"
    assert main_measure({"held-out IoU": float("nan"), "labelled": 0.5}) == "labelled .50"
    assert main_measure({}) == "no measure"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (10, "just now"),
        (50, "1 min ago"),
        (130, "2 min ago"),
        (3590, "1 h ago"),
        (7300, "2 h ago"),
        (86000, "1 day ago"),
        (200_000, "2 days ago"),
        (90 * 86400, "2026-02-03"),
    ],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    then = NOW - timedelta(seconds=seconds)
    assert ago(then.isoformat(), NOW) == text
    assert ago(then.replace(tzinfo=None).isoformat(), NOW) == text
    assert ago("once upon a time", NOW) == "once upon a time"


def test_times_grow_older_by_themselves(panel: VersionPanel) -> None:
    assert panel._timer.isActive() and panel._timer.interval() <= 60_000


def test_a_line_of_versions_needs_one_column() -> None:
    rows = lanes(LINE[::-1])
    assert [row.lane for row in rows] == [0, 0, 0]
    assert [(row.up, row.down) for row in rows] == [(False, True), (True, True), (True, False)]
    assert all(row.width == 1 for row in rows)


def test_a_branch_stands_beside_and_joins_its_parent() -> None:
    newest_first = [version("d", "b"), version("c", "b"), version("b", "a"), version("a")]
    d, c, b, a = lanes(newest_first)
    assert (d.lane, c.lane, b.lane, a.lane) == (0, 1, 0, 0)
    assert c.through == (0,) and not c.up and c.down
    assert b.joining == (1,) and b.through == () and b.up
    assert a.width == 1


def test_a_column_is_used_again_and_a_lost_parent_ends_its_line() -> None:
    newest_first = [
        version("f", "b"),
        version("e", "d"),
        version("d", "gone"),
        version("c", "b"),
        version("b"),
    ]
    rows = lanes(newest_first)
    assert [row.lane for row in rows] == [0, 1, 1, 1, 0]
    assert not rows[2].down and rows[3].through == (0,)


def test_hundreds_of_versions_and_branches_are_drawn(panel: VersionPanel) -> None:
    many = [version("0")]
    many += [version(str(k), str(k // 3)) for k in range(1, 400)]
    panel.set_versions(many, "399")
    picture = panel.grab().toImage()
    assert not picture.isNull() and panel.model.rowCount() == 400
    panel.set_versions([replace(v, name=f"{v.name}!") for v in many], "7")
    assert panel.model.index(0).data() == "version 399!"


def test_comparison_is_shown_and_hidden(panel: VersionPanel) -> None:
    assert not panel.comparison.isVisible()
    rows = [("#009e73", "soil → <weed>", 12_031, 0.0096), ("#d55e00", "weed → soil", 13, 1e-5)]
    panel.show_comparison(rows, "version c and version b")
    texts = [label.text() for label in panel.comparison.findChildren(QLabel)]
    for part in ("version c and version b", "soil → <weed>", "12,031 px", "1.0%", "<0.1%"):
        assert part in texts
    QTest.mouseClick(panel.comparison.close_button, Qt.MouseButton.LeftButton)
    assert not panel.comparison.isVisible()
    panel.show_comparison([])
    shown = [x.text() for x in panel.comparison.findChildren(QLabel) if x.isVisible()]
    assert shown[-1] == "No pixel is labelled differently."


def test_a_long_comparison_is_summed_up(panel: VersionPanel) -> None:
    panel.show_comparison([("#009e73", f"{k} → soil", 100 - k, 0.01) for k in range(20)])
    texts = [label.text() for label in panel.comparison.findChildren(QLabel)]
    rest = sum(100 - k for k in range(8, 20))
    assert f"and 12 more, {rest:,} px" in texts and "8 → soil" not in texts
