"""The start that the dock shows is where the next fit begins."""

from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import TINY_BACKBONE, tiny_model
from tests.reliability.connections import HUB, refused
from tests.widgets.train_dock import click, draw, quick, settled, stroke, tune

NEW = "A new model, on a grid"


def shown(train: Any) -> str:
    return str(train.start.model.combo.currentText())


def entries(train: Any) -> list[str]:
    combo = train.start.model.combo
    return [combo.itemText(i) for i in range(combo.count())]


def choose(train: Any, text: str) -> None:
    """As a person does who takes an entry of the list."""
    combo = train.start.model.combo
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def opened(viewer: Any, qtbot: Any) -> Any:
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Train", area="right")
    train.start.pretrained = False
    return train


def known_file(tmp_path: Path) -> Path:
    """A model that strokes may go on from, as after a fit."""
    model = tiny_model()
    model.card.name = "known"
    model.density_quantiles = np.linspace(-50, 10, 9, dtype=np.float32)
    return save_model(model, tmp_path / "known")


def test_after_a_run_of_the_segment_dock_a_fit_goes_on_from_its_model(
    viewer: Any, qtbot: Any, photo: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    assert dock.models.choose_file(known_file(tmp_path))
    run(dock)
    train = opened(viewer, qtbot)
    assert shown(train) == "known, in use" and not train.start.options.isVisibleTo(train)
    card = train.start.model.summary()
    assert train.start.model.info.isEnabled() and card.card.name == "known" and card.prototypes
    before = train.state.model
    draw(train)
    quick(train, qtbot)
    assert train.fits.beginning.base is before
    # The next one begins there too, though another model is in use now.
    assert shown(train) == "known, the start" and train.state.model is not before
    # Whoever chooses what is chosen changes nothing and is told nothing.
    beginning, said, made = train.fits.beginning, train.status.text(), train.state.model
    choose(train, shown(train))
    assert train.fits.beginning is beginning and train.status.text() == said
    quick(train, qtbot)
    assert train.fits.beginning.base is before and train.state.model is not made
    train.close_work()


def test_a_new_model_that_is_chosen_instead_begins_anew(
    viewer: Any, qtbot: Any, photo: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    assert dock.models.choose_file(known_file(tmp_path))
    run(dock)
    train = opened(viewer, qtbot)
    choose(train, NEW)
    train.start.backbone.setCurrentText(TINY_BACKBONE)
    train.start.detail.setCurrentText("fine")
    draw(train)
    quick(train, qtbot)
    assert not train.start.model.info.isEnabled() and train.start.model.summary() is None
    assert dock.models.combo.currentText() == "grid model, fitted"
    assert dock.models.info.isEnabled()
    assert dock.models.summary().card.name == "grid model, fitted"
    made = train.state.model
    assert made.card.name == "grid model, fitted" and len(made.prototypes) == 2
    assert entries(train)[0] == "grid model, fitted"
    choose(train, NEW)  # it is chosen already
    assert train.fits.model is made
    assert shown(train) == NEW and train.start.options.isVisibleTo(train)
    train.close_work()


def test_a_run_beside_the_dock_is_offered_and_not_taken(
    train: Any, viewer: Any, qtbot: Any, image: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    assert dock.models.choose_file(known_file(tmp_path))
    run(dock)
    assert shown(train) == NEW and entries(train)[:2] == ["known, in use", NEW]
    assert train.fits.going_on is None
    choose(train, "known, in use")
    assert train.fits.going_on is train.state.model and shown(train) == "known, in use"
    assert [c.name for c in train.annotations.classes] == ["soil", "plant"]


def test_fits_to_more_strokes_begin_anew_and_after_a_fine_tune_they_go_on(
    train: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    figures = chain([0.1], repeat(0.99))
    monkeypatch.setattr(
        "napari_gaussproto.core.measure.evaluation.mean_iou", lambda confusion: next(figures)
    )
    draw(train, 4)
    quick(train, qtbot)
    assert shown(train) == NEW and train.fits.going_on is None
    tune(train, qtbot, 2)
    assert train.fits.going_on is train.state.model
    assert shown(train) == "grid model, fitted"


def test_after_going_back_to_a_version_that_is_the_start(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    train.start.detail.setCurrentText("coarse")
    quick(train, qtbot)
    settled(train, qtbot)
    assert shown(train) == NEW
    older = train.version_panel.versions[-1]
    with qtbot.waitSignal(train.fits.used, timeout=60_000):
        train.versions.revert(older.id)
    assert shown(train) == "grid model, fitted" and train.fits.going_on is train.state.model
    qtbot.waitUntil(lambda: not train.busy, timeout=60_000)
    choose(train, NEW)
    assert train.fits.going_on is None and train.fits.model is None


def test_a_dock_that_is_opened_again_shows_what_the_former_one_began_with(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    train.start.choose_file(known_file(tmp_path))
    assert shown(train) == "known.safetensors"
    draw(train)
    quick(train, qtbot)
    assert shown(train) == "known.safetensors" and train.fits.going_on is None
    settled(train, qtbot)
    again = opened(viewer, qtbot)
    assert shown(again) == "known.safetensors" and again.fits.going_on is None
    click(again.quick)
    qtbot.waitUntil(lambda: again.fits.phase == "idle", timeout=60_000)
    assert again.fits.beginning.base is train.fits.beginning.base
    again.close_work()


def test_strokes_of_one_class_correct_a_fitted_model(
    train: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    train.start.choose_file(known_file(tmp_path))
    click(train.labels.new)
    stroke(train, 1)
    assert train.quick.isEnabled() and not train.budget.start.isEnabled()
    quick(train, qtbot)
    assert "Fitted" in train.status.text() and train.state.model.card.name == "known, fitted"
    assert train.quick.isEnabled()  # the next one begins there, too
    train.start.choose_new()
    assert not train.quick.isEnabled() and "paint another class" in train.quick.toolTip()


def test_it_is_said_first_that_weights_are_downloaded(train: Any, image: Any, qtbot: Any) -> None:
    choose(train, NEW)
    start = train.start
    start.pretrained = True
    draw(train)
    with refused() as attempts:
        for name, fetched in (("field", False), ("tf_efficientnet_lite0", False), (HUB, True)):
            start.backbone.setCurrentText(name)
            assert start.hub.isVisibleTo(start.options) == fetched
        assert attempts == []
        click(train.quick)
        qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=60_000)
    assert any("huggingface" in attempt for attempt in attempts)
    assert f"weights of the backbone “{HUB}” could not be fetched" in train.status.text()
    start.pretrained = False  # a file brings its own
    start.backbone.setCurrentText("resnet34")
    assert not start.hub.isVisibleTo(start.options)
