"""Budget of a fine-tune: what a person chooses, its state and its progress."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gaussproto.widgets.train.fitting.budget import BudgetPanel, time_left

TERMS = [
    ("soft_labels", "Soft labels", "From the model's own average", True),
    ("affinity", "Affinity", "Pixels like the strokes", False),
]


@pytest.fixture
def panel(qtbot: Any) -> BudgetPanel:
    widget = BudgetPanel(TERMS)
    qtbot.addWidget(widget)
    widget.resize(320, 300)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def click(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def asked(panel: BudgetPanel) -> list[str]:
    """Everything that the panel asks for from now on."""
    said: list[str] = []
    for name in ("start", "pause", "resume", "stop"):
        getattr(panel, f"{name}_asked").connect(lambda *_, name=name: said.append(name))
    return said


def test_minutes_by_default_and_steps_on_wish(panel: BudgetPanel) -> None:
    assert panel.minutes() == 5.0 and panel.steps() is None
    assert panel.amount.text() == "5"
    panel.amount.setValue(2.5)
    panel.unit.setFocus()
    QTest.keyClick(panel.unit, Qt.Key.Key_Down)
    assert panel.minutes() is None and panel.steps() == 300
    panel.amount.setValue(40)
    QTest.keyClick(panel.unit, Qt.Key.Key_Up)
    assert panel.minutes() == 2.5  # each unit remembers its number
    QTest.keyClick(panel.unit, Qt.Key.Key_Down)
    assert panel.steps() == 40


def test_typing_a_number(panel: BudgetPanel) -> None:
    panel.amount.selectAll()
    QTest.keyClicks(panel.amount, "12")
    QTest.keyClick(panel.amount, Qt.Key.Key_Return)
    assert panel.minutes() == 12.0


def test_buttons_by_state(panel: BudgetPanel) -> None:
    said = asked(panel)
    click(panel.start)
    assert said == ["start"] and panel.state == "idle"  # until the owner says so
    assert not panel.pause.isVisible() and not panel.progress.isVisible()
    panel.set_state("running")
    assert not panel.start.isEnabled() and not panel.amount.isEnabled()
    click(panel.start)
    click(panel.pause)
    panel.set_state("paused")
    assert panel.pause.text() == "Resume"
    click(panel.pause)
    panel.set_state("running")
    click(panel.stop)
    panel.set_state("finishing")
    click(panel.stop)
    click(panel.pause)
    assert said == ["start", "pause", "resume", "stop"]
    panel.set_state("idle")
    assert panel.start.isEnabled() and panel.amount.isEnabled()
    assert not panel.running.isVisible() and panel.note.text() == ""
    assert panel.stop.toolTip() == "Stop and keep what it has learned"


def test_start_says_why_it_cannot(panel: BudgetPanel) -> None:
    said = asked(panel)
    panel.set_reason("Draw some strokes first.")
    assert not panel.start.isEnabled() and panel.start.toolTip() == "Draw some strokes first."
    assert panel.note.text() == "Draw some strokes first."
    click(panel.start)
    assert said == []
    panel.set_state("running")
    panel.set_progress(3, 10, 20)
    panel.set_reason("Open an image first.")
    assert "30%" in panel.note.text()  # what runs is more important
    panel.set_state("idle")
    assert panel.note.text() == "Open an image first."
    panel.set_reason(None)
    assert panel.start.isEnabled() and panel.note.text() == ""


def test_progress_is_honest(panel: BudgetPanel) -> None:
    panel.set_state("running")
    assert panel.progress.maximum() == 0  # nothing is known yet
    panel.set_progress(1, 1, None)
    assert panel.note.text() == "just begun, time left not known yet"
    panel.set_progress(84, 300, 121)
    assert panel.note.text() == "28% done, 2 min left"
    assert panel.progress.value() / panel.progress.maximum() == pytest.approx(84 / 300)
    panel.set_state("paused")
    assert panel.note.text() == "Paused: 28% done"
    panel.set_state("running")
    assert panel.progress.value() / panel.progress.maximum() == pytest.approx(84 / 300)
    panel.set_state("finishing")
    panel.set_progress(85, 300, 119)  # came late
    assert panel.note.text().startswith("Finishing") and panel.progress.maximum() == 0


def test_a_number_of_steps_is_not_about(panel: BudgetPanel) -> None:
    panel.unit.setCurrentText("steps")
    panel.set_state("running")
    panel.set_progress(84, 1300, 4)
    assert panel.note.text() == "step 84 of 1,300, a few seconds left"


def test_two_trainings_share_one_bar_and_one_remaining_time(panel: BudgetPanel) -> None:
    panel.set_state("running")
    panel.set_progress(20, 120, 170, (1, 2))
    assert panel.note.text() == "part 1 of 2: 17% done, up to about 3 min left"
    assert panel.progress.value() / panel.progress.maximum() == pytest.approx(1 / 12, abs=1e-3)
    panel.set_progress(15, 60, 42, (2, 2))  # how long it is was found by the first
    assert panel.note.text() == "part 2 of 2: 25% done, 40 s left"
    assert panel.progress.value() / panel.progress.maximum() == pytest.approx(0.625)
    panel.set_state("paused")
    assert panel.note.text() == "Paused: part 2 of 2: 25% done"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "time left not known yet"),
        (0, "a few seconds left"),
        (42, "40 s left"),
        (88, "90 s left"),
        (121, "2 min left"),
        (3600, "60 min left"),
        (5400, "1 h 30 min left"),
        (7150, "2 h 0 min left"),
    ],
)
def test_time_left(seconds: float | None, text: str) -> None:
    assert time_left(seconds) == text


def test_terms_are_folded_away_and_counted(panel: BudgetPanel, qtbot: Any) -> None:
    box = panel.boxes["affinity"]
    assert panel.terms() == {"soft_labels": True, "affinity": False}
    header = panel.unlabelled.toggleButton()
    assert "1 on" in header.text() and not panel.unlabelled.isExpanded()
    click(header)
    qtbot.waitUntil(lambda: box.isVisible() and box.height() > 5, timeout=5000)
    QTest.qWait(50)
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=box.rect().center() * 0.2)
    assert panel.terms() == {"soft_labels": True, "affinity": True}
    assert "2 on" in header.text() and header.text().startswith("▾")
    for entry in panel.boxes.values():
        entry.setChecked(False)
    assert "off" in header.text()
    panel.set_state("running")
    assert not box.isEnabled()


def test_going_on_says_where_it_is(panel: BudgetPanel) -> None:
    panel.set_state("running")
    panel.set_progress(3, 10, 20.0)
    panel.set_state("paused")
    assert panel.note.text() == "Paused: 30% done"
    panel.set_state("running")
    assert panel.note.text() == "30% done"


def test_without_terms_there_is_no_section(qtbot: Any) -> None:
    panel = BudgetPanel()
    qtbot.addWidget(panel)
    panel.show()
    assert panel.minutes() == 5.0 and panel.terms() == {}
    assert not panel.unlabelled.isVisible()


def test_what_ends_a_training_says_what_is_kept(panel: BudgetPanel) -> None:
    given_up: list[str] = []
    panel.discard_asked.connect(lambda: given_up.append(panel.state))
    panel.set_state("running")
    assert panel.stop.text() == "Stop and keep" and panel.discard.text() == "Discard"
    assert "leaves the model as it was" in panel.ends.text() and panel.ends.isVisible()
    click(panel.discard)
    panel.set_state("finishing")  # it can still be given up, while the rest is done already
    assert not panel.stop.isEnabled() and "ends by itself" in panel.stop.toolTip()
    click(panel.discard)
    assert given_up == ["running", "finishing"]
