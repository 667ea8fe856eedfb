"""Versions: the list, what can be done with a version, and the comparison."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QMessageBox, QWidget

from napari_gaussproto.core.project.version import Version
from napari_gaussproto.widgets.train.versions.version_panel import VersionPanel
from napari_gaussproto.widgets.train.versions.version_words import (
    ago,
    beside,
    main_measure,
    version_html,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def version(id: str, parent: str | None = None, **changes: Any) -> Version:
    fields: dict[str, Any] = {
        "name": f"version {id}",
        "what": "quick fit",
        "created": NOW.isoformat(),
        "seconds": 1.5,
        "strokes": 12,
        "images": 1,
    }
    # Ids of one letter are not valid, but easier to read.
    return Version.model_construct(id=id, parent=parent, **(fields | changes))


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
    at = panel.tree.visualItemRect(panel.tree.item_of(version)).center()
    mouse = QTest.mouseDClick if double else QTest.mouseClick
    mouse(panel.tree.viewport(), Qt.MouseButton.LeftButton, pos=at)


def press(panel: VersionPanel, key: str) -> None:
    QTest.mouseClick(panel.buttons[key], Qt.MouseButton.LeftButton)


def asked(signal: Any) -> list[Any]:
    """Everything that a signal says from now on."""
    said: list[Any] = []
    signal.connect(lambda *values: said.append(values))
    return said


def editor(panel: VersionPanel) -> QLineEdit:
    found = panel.tree.findChild(QLineEdit)
    assert found is not None
    return found


def test_a_sentence_as_long_as_there_is_nothing(panel: VersionPanel) -> None:
    assert panel.tree.isVisible() and not panel.empty.isVisible()
    panel.set_versions([], None)
    assert panel.empty.isVisible() and not panel.tree.isVisible()
    assert not panel.buttons["compare"].isVisible()


def live(id: str, parent: str | None = "a", **changes: Any) -> Version:
    return version(id, parent, **({"name": f"v{ord(id)}", "settings": {"live": True}} | changes))


def test_live_fits_in_a_row_are_one_row(panel: VersionPanel) -> None:
    made = [version("a"), live("b"), live("c"), live("d", strokes=15), version("e", "a"), live("f")]
    panel.set_versions(made, "f")
    assert list(panel.tree.ids()) == ["a", "d", "e", "f"]
    assert panel.tree.item_of("d").made == "last of 3 live fits · 15 strokes"
    assert panel.tree.item_of("f").made == "current · quick fit · 12 strokes"
    assert [v.id for v in panel.versions] == ["f", "e", "d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("made", "current"),
    [
        ([live("b"), live("c")], "b"),
        ([live("b"), live("c"), version("d", "b")], "d"),
        ([live("b", name="the good one"), live("c")], "c"),
        ([live("b"), live("c", None)], "c"),
    ],
)
def test_a_live_fit_that_counts_keeps_its_row(
    panel: VersionPanel, made: list[Version], current: str
) -> None:
    panel.set_versions([version("a"), *made], current)
    assert {"b", "c"} <= set(panel.tree.ids())


def test_newest_first(panel: VersionPanel) -> None:
    assert [v.id for v in panel.versions] == ["c", "b", "a"]


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
    enabled = {a.text(): a.isEnabled() for a in panel.menu.actions() if a.text()}
    assert enabled["Rename"] and not enabled["Delete…"]
    panel.set_versions(LINE, "a")  # reverted elsewhere
    assert panel.tree.selected() == "c" and panel.buttons["revert"].isEnabled()


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
    assert panel.tree.selected() == "b"
    panel.set_versions([LINE[1], version("e", "b")], "e")  # another list altogether
    assert panel.tree.selected() == "b"
    panel.set_versions([version("e")], "e")
    assert panel.tree.selected() is None and not panel.buttons["save"].isEnabled()


def test_rename_in_place(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.rename_asked)
    click(panel, "b")
    click(panel, "b", double=True)
    box = editor(panel)
    assert box.text() == "version b"
    QTest.keyClicks(box, "with rain")
    QTest.keyClick(box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: said == [("b", "with rain")], timeout=5000)
    assert panel.versions[1].name == "version b"  # until the owner of the list says so


@pytest.mark.parametrize("typed", ["", "   ", "version b"])
def test_an_empty_or_unchanged_name_is_not_asked_for(panel: VersionPanel, typed: str) -> None:
    said = asked(panel.rename_asked)
    click(panel, "b")
    click(panel, "b", double=True)
    box = editor(panel)
    box.setText(typed)
    QTest.keyClick(box, Qt.Key.Key_Return)
    QTest.qWait(50)  # what is typed is taken a moment later
    assert said == [] and panel.tree.findChild(QLineEdit) is None


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
    next(a for a in panel.menu.actions() if a.text() == "Delete…").trigger()
    assert len(questions) == 1 and "version a" in questions[0]
    assert said == ([("a",)] if answer == "Yes" else [])


def test_the_menu_of_a_row_is_about_that_row(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.revert_asked)
    menu, at = panel.menu, panel.tree.visualItemRect(panel.tree.item_of("a")).center()
    panel.tree.customContextMenuRequested.emit(QPoint(at))
    qtbot.waitUntil(menu.isVisible, timeout=5000)
    entry = next(a for a in menu.actions() if a.text() == "Revert to")
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center())
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
        settings={"steps": 100, "loss": {"density": 0.5}, "looks": 7},
        measures={"held-out mIoU": 0.7123, "labelled IoU": 0.95},
    )
    text = version_html(full, {})
    for part in ("fine-tune", "deleted", "1 stroke on 3 images", "5 min", "0.712", "0.950"):
        assert part in text
    assert "steps 100" in text and "loss.density 0.5" in text
    assert "&lt;rain&gt;" in text and "+00:00" not in text
    panel.set_versions([full], "d")
    tip = panel.tree.item_of("d").toolTip(0)
    assert re.search(r"held-out mIoU: <b>0\.712</b>, best of 7 looks at these strokes", tip)
    assert "labelled IoU: <b>0.950</b><br>" in tip and "looks 7" not in tip


def test_the_measure_that_says_most() -> None:
    both = {"labelled accuracy": 0.97, "held-out mIoU": 0.712}
    assert main_measure(both) == "held-out mIoU .71"
    assert main_measure({"held-out mIoU": 1.0}) == "held-out mIoU 1.00"
    # How well strokes are told apart is no measure of the same kind.
    for other in ({"labelled accuracy": 0.97}, {"held-out mIoU": float("nan")}, {}):
        assert main_measure(other) == "–"
        assert "not known" in version_html(version("a", measures=other), {})
    assert "not known" not in version_html(version("a", measures=both), {})


def test_an_accuracy_says_that_it_is_over_the_strokes_of_its_version() -> None:
    few = version("a", strokes=9, measures={"held-out accuracy": 0.96})
    assert beside(few) == "held-out accuracy .96 on its 9 strokes"
    assert "does not say which is better" in version_html(few, {})
    aside = version("b", strokes=9, measures={"held-out mIoU": 0.96})
    assert beside(aside) == "held-out mIoU .96"
    assert "does not say" not in version_html(aside, {})


def test_a_figure_flatters_where_the_start_knows_strokes(panel: VersionPanel) -> None:
    accuracy = {"held-out accuracy": 0.64}
    shipped = version("s", what="start", strokes=0)
    first, again = version("a", "s", measures=accuracy), version("b", "a", measures=accuracy)
    edited = version("e", "b", what="edit", strokes=0)
    tuned = version("f", "e", measures={"held-out mIoU": 0.7})
    bare = version("g", "a")
    panel.set_versions([shipped, first, again, edited, tuned, bare], "f")
    items = [panel.tree.item_of(id) for id in "abfg"]
    assert [item.measure for item in items] == [
        "held-out accuracy .64 on its 12 strokes",
        "held-out accuracy .64 on strokes seen before",
        "held-out mIoU .70 on strokes seen before",
        "–",
    ]
    flatters = ["rather too high" in item.toolTip(0) for item in items]
    assert flatters == [False, True, True, False]


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


def test_times_grow_older_by_themselves(panel: VersionPanel, qtbot: Any) -> None:
    clock = panel.tree.clock
    assert clock.isActive() and clock.interval() <= 60_000
    painted = Painted(panel.tree.viewport())
    qtbot.wait(50)
    before = painted.count
    clock.timeout.emit()
    qtbot.waitUntil(lambda: painted.count > before, timeout=5000)


class Painted(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, widget: Any, event: Any) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


def outline(panel: VersionPanel) -> list[Any]:
    """Ids of the rows from above; those below another one are a list after it."""

    def below(item: Any) -> list[Any]:
        found: list[Any] = []
        for k in range(item.childCount()):
            child = item.child(k)
            assert child.isExpanded() or not child.childCount()
            found += [child.version.id, *([below(child)] if child.childCount() else [])]
        return found

    return below(panel.tree.invisibleRootItem())


def links(panel: VersionPanel, ids: str) -> list[tuple[bool, bool]]:
    """Whether the line of a version goes on above it, and below."""
    items = [panel.tree.item_of(id) for id in ids]
    return [(item.goes_on(up=True), item.goes_on(up=False)) for item in items]


def test_versions_in_a_row_are_one_line(panel: VersionPanel) -> None:
    assert outline(panel) == ["c", "b", "a"]
    assert links(panel, "cba") == [(False, True), (True, True), (True, False)]


def test_a_branch_stands_below_the_version_it_began_at(panel: VersionPanel) -> None:
    panel.set_versions([*LINE, version("d", "b")], "d")
    assert outline(panel) == ["d", "b", ["c"], "a"]
    assert links(panel, "dbca") == [(False, True), (True, True), (False, False), (True, False)]
    panel.set_versions([*LINE, version("d", "b"), version("e", "c")], "e")  # it goes on
    assert outline(panel) == ["e", "c", "b", ["d"], "a"]


def test_branches_of_branches(panel: VersionPanel) -> None:
    versions = [*LINE, version("d", "c"), version("e", "c"), version("f", "b"), version("g", "a")]
    panel.set_versions(versions, "g")
    assert outline(panel) == ["g", "a", ["f", "b", ["e", "c", ["d"]]]]


def test_a_lost_parent_ends_its_line(panel: VersionPanel) -> None:
    panel.set_versions([*LINE, version("d", "gone"), version("e", "d")], "e")
    assert outline(panel) == ["e", "d", "c", "b", "a"]
    assert links(panel, "dc") == [(True, False), (False, True)]


def test_the_current_version_is_marked(panel: VersionPanel) -> None:
    assert panel.tree.item_of("c").current and not panel.tree.item_of("b").current
    spoken = panel.tree.item_of("c").data(0, Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "version c, current · quick fit · 12 strokes, –"


def test_hundreds_of_versions_and_branches_are_drawn(panel: VersionPanel) -> None:
    many = [version("0")]
    many += [version(str(k), str(k // 3)) for k in range(1, 400)]
    panel.set_versions(many, "399")
    assert not panel.grab().toImage().isNull() and len(panel.versions) == 400
    panel.set_versions([v.model_copy(update={"name": f"{v.name}!"}) for v in many], "7")
    assert panel.tree.topLevelItem(0).text(0) == "version 399!"


def test_comparison_is_shown_and_hidden(panel: VersionPanel) -> None:
    assert not panel.comparison.isVisible()
    rows = [("#009e73", "soil → <weed>", 12_031, 0.0096), ("#d55e00", "weed → soil", 13, 1e-5)]
    panel.comparison.show_rows(rows, "version c and version b")
    texts = [label.text() for label in panel.comparison.findChildren(QLabel)]
    for part in ("version c and version b", "soil → <weed>", "12,031 px", "1.0%", "<0.1%"):
        assert part in texts
    QTest.mouseClick(panel.comparison.close_button, Qt.MouseButton.LeftButton)
    assert not panel.comparison.isVisible()
    panel.comparison.show_rows([])
    shown = [x.text() for x in panel.comparison.findChildren(QLabel) if x.isVisible()]
    assert shown[-1] == "No pixel is labelled differently."


def test_a_long_comparison_is_summed_up(panel: VersionPanel) -> None:
    panel.comparison.show_rows([("#009e73", f"{k} → soil", 100 - k, 0.01) for k in range(20)])
    texts = [label.text() for label in panel.comparison.findChildren(QLabel)]
    rest = sum(100 - k for k in range(8, 20))
    assert f"and 12 more, {rest:,} px" in texts and "8 → soil" not in texts


def test_f2_renames_the_chosen_version(panel: VersionPanel, qtbot: Any) -> None:
    said = asked(panel.rename_asked)
    click(panel, "a")
    QTest.keyClick(panel.tree, Qt.Key.Key_F2)
    QTest.keyClicks(editor(panel), "first")
    QTest.keyClick(editor(panel), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: said == [("a", "first")], timeout=5000)
