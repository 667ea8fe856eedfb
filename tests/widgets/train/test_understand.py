"""What the dock says, so that a person understands what it does and why it does not."""

from __future__ import annotations

from typing import Any

import pytest
from napari.utils.notifications import notification_manager

from napari_gaussproto.jobs.train_image import Stage
from napari_gaussproto.widgets.train.fitting.curves import TrainingCurves
from napari_gaussproto.widgets.train.fitting.progress import TrainingProgress
from tests.core.builders import two_tone
from tests.widgets.train_dock import WAIT, click, draw, fitted, settled, stroke, tune


def test_a_fit_that_is_not_in_the_list_of_versions_yet_is_announced(
    train: Any, image: Any, qtbot: Any
) -> None:
    panel = train.version_panel
    draw(train)
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.quick)
    assert panel.coming.text() == "The fit in use is being added…" and not panel.versions
    qtbot.waitUntil(lambda: len(panel.versions) == 1, timeout=WAIT)
    assert panel.coming.isHidden()
    train.live.setChecked(True)
    fitted(train, qtbot, lambda: stroke(train, 1, seed=7))
    assert "becomes a version when you rest" in panel.coming.text()
    settled(train, qtbot)
    assert panel.coming.isHidden() and len(panel.versions) == 2


def test_the_image_that_is_drawn_on_is_the_one_that_a_fit_shows(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    other = viewer.add_image(two_tone(seed=3)[0], name="other")
    train.images.choose(other)
    click(train.labels.new)
    assert "Paint on “other”" in train.status.text()
    stroke(train, 1, seed=5)  # by a script, into a layer that nobody chose
    assert train.images.image() is other
    viewer.layers.selection.active = layer
    stroke(train, 1, seed=6)
    assert train.images.image() is image and "“field” is chosen above now" in train.status.text()


def test_a_wrong_name_of_features_is_said_in_the_dock_alone(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    train.start.backbone.setCurrentText("resnet1000")
    before = len(notification_manager.records)
    click(train.quick)
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=WAIT)
    assert "no backbone called “resnet1000”" in train.status.text()
    assert len(notification_manager.records) == before


def test_what_cannot_be_done_during_a_fine_tune_says_why(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    held = (train.quick, train.start.model.combo, train.start.detail, train.budget.amount)
    tips = [widget.toolTip() for widget in held]
    assert not train.cancel.isEnabled() and train.cancel.toolTip() == "Nothing is being computed"
    reasons: list[list[str]] = []

    def note(phase: str) -> None:
        if phase == "running":
            assert not any(widget.isEnabled() for widget in held)
            reasons.append([widget.toolTip() for widget in held])

    train.fits.phase_changed.connect(note)
    tune(train, qtbot)
    assert len(reasons) == 1 and all("fine-tuned" in reason for reason in reasons[0])
    assert all(widget.isEnabled() for widget in held)
    assert [widget.toolTip() for widget in held] == tips


@pytest.mark.parametrize(("done", "said"), [(2, "Reading… 10%"), (0, "Reading…")])
def test_progress_is_a_share(train: Any, done: int, said: str) -> None:
    progress = TrainingProgress(train.status, TrainingCurves(), train.budget)
    progress.show(Stage("Reading", done, 20 if done else 0))
    assert train.status.text() == said
