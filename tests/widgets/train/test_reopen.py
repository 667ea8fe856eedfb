"""A project that is opened brings the work of its viewer back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from tifffile import imwrite

from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import TINY_BACKBONE, two_tone
from tests.widgets.train_dock import WAIT, click, draw, quick, settled


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """A folder with three photographs."""
    folder = tmp_path / "season"
    folder.mkdir()
    for seed in range(3):
        imwrite(folder / f"field-{seed}.tif", two_tone(seed=seed)[0], photometric="rgb")
    return folder


def open_photo(viewer: Any, path: Path) -> Any:
    return viewer.open(str(path), plugin="napari")[0]


def work(train: Any, viewer: Any, season: Path, qtbot: Any) -> np.ndarray:
    """Label the first of three photographs, fit, and keep a copy of the project beside them."""
    layers = [open_photo(viewer, season / f"field-{seed}.tif") for seed in range(3)]
    layers[0].scale = (2, 2)
    layers[1].visible = False
    layers[2].name = "the last one"
    train.images.choose(layers[0])
    draw(train)
    quick(train, qtbot)
    train.budget.amount.setValue(7)
    next(iter(train.budget.boxes.values())).setChecked(True)
    settled(train, qtbot)
    drawn: np.ndarray = train.annotations.open[0].labels
    train.autosave.bar.copy_asked.emit(season / "mine.gaussproto")
    settled(train, qtbot)
    return drawn


def another(make_napari_viewer: Any) -> tuple[Any, Any]:
    viewer = make_napari_viewer()
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Train", area="right")
    train.start.pretrained = False
    train.start.backbone.setCurrentText(TINY_BACKBONE)
    return viewer, train


def opened(train: Any, folder: Path, qtbot: Any) -> None:
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: train.autosave.state.folder == folder, timeout=WAIT)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)


def names(train: Any) -> list[str]:
    return [image.name for image in train.images.images()]


ALL = ["field-0", "field-1", "the last one"]


def test_a_project_brings_images_labels_version_and_settings(
    make_napari_viewer: Any, train: Any, viewer: Any, season: Path, qtbot: Any
) -> None:
    segment = SegmentWidget(viewer)
    viewer.window.add_dock_widget(segment, name="Segment")
    segment.batch.out.setText("results")
    segment.extras["novelty"].setChecked(True)
    drawn = work(train, viewer, season, qtbot)
    qtbot.waitUntil(lambda: not segment.busy, timeout=WAIT)
    other, again = another(make_napari_viewer)
    assert not again.autosave.bar.open.isHidden()
    opened(again, season / "mine.gaussproto", qtbot)
    assert names(again) == ALL and again.autosave.bar.open.isHidden()
    first, second, _ = again.images.images()
    assert again.images.image() is first
    assert tuple(first.scale) == (2, 2) and first.visible and not second.visible
    (annotation,) = again.annotations.open
    assert annotation.image is first and np.array_equal(annotation.labels, drawn)
    assert len(again.version_panel.versions) == 1 and again.fits.model is not None
    # Quick fits begin where they did, and not with what came of the last one.
    assert again.fits.going_on is None and again.start.partition == "grid"
    assert again.fits.beginning.start(again.state.model) == train.fits.beginning.chosen
    assert first in again.state.results
    assert again.budget.amount.value() == 7 and next(iter(again.budget.terms().values()))
    assert "with 3 images" in again.status.text() or again.fits.model is not None
    # The dock that is opened later is as it was, too.
    late = SegmentWidget(other)
    other.window.add_dock_widget(late, name="Segment")
    assert late.batch.out.text() == "results" and late.extras["novelty"].isChecked()
    qtbot.waitUntil(lambda: not late.busy and not again.busy, timeout=WAIT)


def test_a_season_that_moved_with_its_project_is_found(
    make_napari_viewer: Any, train: Any, viewer: Any, season: Path, qtbot: Any
) -> None:
    work(train, viewer, season, qtbot)
    moved = season.with_name("elsewhere")
    season.rename(moved)
    _, again = another(make_napari_viewer)
    opened(again, moved / "mine.gaussproto", qtbot)
    assert names(again) == ALL and again.autosave.bar.question.isHidden()
    assert again.autosave.state.kept.images[0].image.file == str(moved / "field-0.tif")


def test_images_that_moved_are_asked_for_and_nothing_is_lost(
    make_napari_viewer: Any,
    train: Any,
    viewer: Any,
    season: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = work(train, viewer, season, qtbot)
    project, moved = season / "mine.gaussproto", season.with_name("moved")
    moved.mkdir()
    for seed in (0, 2):
        shutil.move(season / f"field-{seed}.tif", moved / f"field-{seed}.tif")
    other, again = another(make_napari_viewer)
    opened(again, project, qtbot)
    question = again.autosave.bar.question
    assert names(again) == ["field-1"] and not question.isHidden()
    assert "“field-0” is not at" in question.words.text()
    assert "neither is another image: where is it?" in question.words.text()
    find, _, skip_all = question.buttons
    # A wrong file changes nothing.
    chosen = [str(season / "field-1.tif")]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (chosen[0], ""))
    with qtbot.waitSignal(again.messages.warned, timeout=WAIT) as said:
        click(find)
    assert "does not hold the pixels of “field-0”" in said.args[0]
    click(skip_all)
    assert question.isHidden()
    settled(again, qtbot)
    assert np.array_equal(again.autosave.state.kept.images[0].labels, drawn)
    # It asks again the next time, and one that is found leads to the others.
    opened(again, project, qtbot)
    qtbot.waitUntil(lambda: not question.isHidden(), timeout=WAIT)
    if "not open" in question.words.text():
        click(question.buttons[0])
        qtbot.waitUntil(lambda: "is not at" in question.words.text(), timeout=WAIT)
    chosen[0] = str(moved / "field-0.tif")
    click(question.buttons[0])
    qtbot.waitUntil(lambda: question.isHidden(), timeout=WAIT)
    qtbot.waitUntil(lambda: not again.busy, timeout=WAIT)
    assert sorted(names(again)) == sorted(ALL)
    (annotation,) = again.annotations.open
    assert np.array_equal(annotation.labels, drawn)
    settled(again, qtbot)
    assert again.autosave.state.kept.images[0].image.file == str(moved / "field-0.tif")
    for layer in list(other.layers):
        other.layers.remove(layer)
    settled(again, qtbot)
    opened(again, project, qtbot)
    assert len(names(again)) == 3 and question.isHidden()
