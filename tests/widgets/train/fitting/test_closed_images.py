"""Labelled images that are not open teach too, when they were removed and from their files."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.imaging.on_disk import is_on_disk
from napari_gaussproto.core.labels.class_table import remove_class, rename_class
from tests.core.builders import two_tone
from tests.jobs.images import kept_of, saved
from tests.reliability.digests import of_model
from tests.widgets.train_dock import click, draw, fitted, quick, settled, stroke


def strokes_learned(train: Any) -> int:
    return int(train.version_panel.versions[0].strokes)


def exchanged(train: Any, viewer: Any, image: Any, qtbot: Any) -> None:
    """Strokes on an image, which is then removed for another one."""
    draw(train)
    settled(train, qtbot)
    viewer.layers.remove(image)
    viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)


def brought_back(train: Any, viewer: Any, qtbot: Any) -> Any:
    """The labels of the image that comes again, under another name."""
    again = viewer.add_image(two_tone()[0], name="again")
    qtbot.waitUntil(lambda: train.annotations.find(again) is not None, timeout=60_000)
    annotation = train.annotations.find(again)
    qtbot.waitUntil(lambda: bool(annotation.labels.any()), timeout=60_000)
    return annotation


def test_an_image_that_was_removed_still_teaches(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    alone = strokes_learned(train)
    assert train.labels.closed.isHidden()
    viewer.layers.remove(image)
    viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)
    assert not train.labels.closed.isHidden()
    assert train.labels.closed.text() == "Learn from 1 image that is closed"
    quick(train, qtbot)  # nothing is drawn on this one
    settled(train, qtbot)
    assert strokes_learned(train) == alone
    assert "Nothing was learned from" not in train.status.text()
    train.labels.closed.setChecked(False)
    click(train.labels.new)
    stroke(train, 1, 5)
    stroke(train, 2, 5)
    quick(train, qtbot)
    settled(train, qtbot)
    assert strokes_learned(train) == 2
    train.labels.closed.setChecked(True)
    quick(train, qtbot)
    settled(train, qtbot)
    assert strokes_learned(train) == alone + 2
    assert f"on {alone + 2} strokes of 2 images" in train.status.text()


def test_labels_that_come_back_show_what_the_model_makes_of_the_rest(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    viewer.layers.remove(image)
    again = brought_back(train, viewer, qtbot).image
    qtbot.waitUntil(lambda: again in train.state.results, timeout=60_000)
    assert train.state.results[again].model is train.fits.model


def project_of_a_closed_file(train: Any, viewer: Any, qtbot: Any, folder: Path) -> str:
    """As after a new start: of the labelled image only its file is known."""
    _, file = saved(folder)
    (layer,) = viewer.open(file, plugin="napari")
    draw(train)
    settled(train, qtbot)
    project = train.autosave.state.folder
    viewer.layers.remove(layer)
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    viewer.add_image(two_tone(seed=4)[0], name="next")
    train.autosave.bar.open_asked.emit(project)
    qtbot.waitUntil(lambda: train.autosave.state.folder == project, timeout=60_000)
    settled(train, qtbot)
    assert not train.annotations.all
    qtbot.waitUntil(lambda: not train.labels.closed.isHidden(), timeout=60_000)
    return file


def test_a_project_of_files_teaches_from_all_of_them(
    train: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    file = project_of_a_closed_file(train, viewer, qtbot, tmp_path)
    quick(train, qtbot)
    settled(train, qtbot)
    assert strokes_learned(train) > 0
    Path(file).unlink()
    fitted(train, qtbot, lambda: draw(train) and click(train.quick))
    assert "Nothing was learned from “photo" in train.status.text()


def test_a_change_of_the_table_just_before_a_fit_leaves_none_out(
    train: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    project_of_a_closed_file(train, viewer, qtbot, tmp_path)

    def change_and_press() -> None:
        train.change_classes(rename_class(train.annotations.classes, 1, "thistle"))
        click(train.quick)

    fitted(train, qtbot, change_and_press)
    settled(train, qtbot)
    assert strokes_learned(train) > 0
    assert [c.name for c in train.state.model.classes] == ["soil", "thistle"]


def test_what_is_erased_in_a_reopened_image_stays_away(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    viewer.layers.remove(image)
    annotation = brought_back(train, viewer, qtbot)
    annotation.apply(annotation.record.replace(np.zeros_like(annotation.labels)))
    settled(train, qtbot)
    assert train.autosave.state.kept.images == ()
    assert train.labels.closed.isHidden()
    assert not annotation.labels.any()


def test_undo_of_the_table_brings_labels_back_in_a_reopened_image(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    before = train.annotations.open[0].labels
    assert (before == 2).any()
    train.change_classes(remove_class(train.annotations.classes, 1))
    settled(train, qtbot)
    viewer.layers.remove(image)
    annotation = brought_back(train, viewer, qtbot)
    train.annotations.undo()
    settled(train, qtbot)
    assert np.array_equal(annotation.labels, before)
    (kept,) = train.autosave.state.kept.images
    assert np.array_equal(kept.labels, before)


def test_the_same_pixels_read_another_way_lose_nothing(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    before = train.annotations.open[0].labels
    viewer.layers.remove(image)
    named = ("plane", "row", "column")  # else the dock asks whether the last are channels
    planes = viewer.add_image(two_tone()[0], rgb=False, axis_labels=named)
    train.images.choose(planes)
    settled(train, qtbot)
    click(train.labels.new)
    annotation = train.annotations.find(planes)
    annotation.layer.paint((3, 3, 1), 1)
    annotation.settle()
    settled(train, qtbot)
    stored = {a.labels.shape: a.labels for a in train.autosave.state.kept.images}
    assert len(stored) == 2 and np.array_equal(stored[before.shape], before)


def test_the_choice_to_learn_from_closed_images_is_followed_at_once(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    exchanged(train, viewer, image, qtbot)
    assert train.quick.isEnabled()
    train.labels.closed.setChecked(False)
    assert not train.quick.isEnabled()
    train.labels.closed.setChecked(True)
    assert train.quick.isEnabled()


def test_closed_images_that_are_left_out_are_not_counted(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    exchanged(train, viewer, image, qtbot)
    draw(train, 1)
    settled(train, qtbot)
    everything = train.budget.advice.text()
    train.labels.closed.setChecked(False)
    assert train.budget.advice.text().startswith("With 2 strokes ")
    session = train.autosave.state.folder / "session.json"
    qtbot.waitUntil(lambda: '"closed": false' in session.read_text(), timeout=10_000)
    quick(train, qtbot)
    settled(train, qtbot)
    (version,) = train.version_panel.versions
    assert (version.strokes, version.images) == (2, 1)
    train.labels.closed.setChecked(True)
    assert train.budget.advice.text() == everything
    assert not everything.startswith("With 2 strokes ")


def test_nothing_that_can_be_read_is_said(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    pixels, file = saved(tmp_path)
    kept = kept_of((pixels, file))
    Path(file).unlink()
    asked = train.fits.closed_images(lambda: kept, [])
    with qtbot.waitSignal(train.messages.told, timeout=60_000) as said:
        train.fits.quick_fit(image, closed=asked)
    assert "cannot be read" in said.args[0] and "photo.tif" in said.args[0]
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=60_000)


def test_pixels_that_go_to_disk_teach_the_same(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    pixels = image.data
    draw(train)
    settled(train, qtbot)
    quick(train, qtbot)
    viewer.layers.remove(image)
    other = viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)
    train.fits.begin_with()
    quick(train, qtbot)
    digest = of_model(train.fits.model)
    assert image.data is pixels
    train.fits.closed_pixels.most_bytes = 0
    held = weakref.ref(pixels)
    del pixels
    viewer.layers.remove(other)  # it has no labels: nothing of it is kept
    qtbot.waitUntil(lambda: is_on_disk(image.data), timeout=60_000)
    other = viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)
    train.fits.begin_with()
    quick(train, qtbot)
    gc.collect()
    assert of_model(train.fits.model) == digest and held() is None
    viewer.layers.remove(other)
    brought_back(train, viewer, qtbot)
    assert not any(annotation.image is image for annotation in train.annotations.all)


def test_labels_of_a_closed_image_are_held_once_and_teach_the_same(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    digest = of_model(train.fits.model)
    codes = weakref.ref(train.annotations.find(image).layer.data)
    snapshot = weakref.ref(train.annotations.find(image).snapshot)
    viewer.layers.remove(image)
    other = viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)
    assert not train.annotations.all and train.annotations.closed == [image]
    qtbot.waitUntil(lambda: gc.collect() >= 0 and codes() is None, timeout=60_000)
    train.fits.begin_with()
    quick(train, qtbot)
    assert of_model(train.fits.model) == digest
    settled(train, qtbot)  # the last fit that was asked for held them until now
    qtbot.waitUntil(lambda: gc.collect() >= 0 and snapshot() is None, timeout=60_000)
    # The same layer again has its labels again.
    viewer.add_layer(image)
    qtbot.waitUntil(lambda: train.annotations.find(image) is not None, timeout=60_000)
    assert train.annotations.find(image).painted == (0, 1) and not train.annotations.closed
    settled(train, qtbot)
    viewer.layers.remove(other)


def test_strokes_just_before_a_change_of_the_table_come_back_in_a_closed_image(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    before = train.annotations.open[0].labels
    # Nothing of it was saved when the class goes.
    train.change_classes(remove_class(train.annotations.classes, 1))
    viewer.layers.remove(image)
    viewer.add_image(two_tone(seed=4)[0], name="next")
    settled(train, qtbot)
    settled(train, qtbot)
    assert not train.annotations.all
    train.annotations.undo()
    settled(train, qtbot)
    (kept,) = train.autosave.state.kept.images
    assert np.array_equal(kept.labels, before)
