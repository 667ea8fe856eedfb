"""Labelled images that are not open teach too: found again by their files, or kept when removed."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import imwrite

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.labels.class_table import remove_class, rename_class
from napari_gaussproto.jobs.closed_images import ClosedImages
from napari_gaussproto.jobs.storage import Identities, ProjectSession
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone
from tests.widgets.train_dock import click, draw, fitted, quick, settled, stroke

CLASSES = (
    SegmentationClass(name="soil", color="#aa7744"),
    SegmentationClass(name="plant", color="#00aa55"),
)


def labels_like(image: Any, value: int = 1) -> Any:
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[10:14, 10:40] = value
    return labels


def kept_of(*images: tuple[Any, str | None]) -> Annotations:
    kept = Annotations(CLASSES)
    for pixels, file in images:
        labels = labels_like(pixels)
        name = "photo" if file is None else Path(file).name
        identity = identify(pixels, name, file)
        kept = kept.with_annotation(Annotation(identity, labels))
    return kept


def train_image(key: Any, pixels: Any, value: int = 1, file: str | None = None) -> TrainImage:
    codes = labels_like(pixels, value).astype(np.uint16)
    return TrainImage(key, pixels, True, codes, str(key), file)


def find(reader: ClosedImages, *what: Any) -> Any:
    return run(reader.find(*what))


@pytest.fixture
def reader() -> ClosedImages:
    return ClosedImages(Identities())


def saved(folder: Path, seed: int = 0, name: str = "photo.tif") -> tuple[Any, str]:
    pixels = two_tone(seed=seed)[0]
    file = folder / name
    imwrite(file, pixels, photometric="rgb")
    return pixels, str(file)


def test_an_image_in_a_file_is_read_again(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    found = find(reader, kept_of((pixels, file)), [], [])
    assert not found.lost
    (image,) = found.images
    assert image.rgb and image.name == "photo.tif"
    assert np.array_equal(np.asarray(image.pixels), pixels)
    assert np.array_equal(image.pixels[3:9, 5:7], pixels[3:9, 5:7])
    assert np.array_equal(image.codes, labels_like(pixels))
    reader.clear()
    assert np.array_equal(image.pixels[3:9, 5:7], pixels[3:9, 5:7])
    again = find(reader, kept_of((pixels, file)), [], []).images[0]
    assert again.key == image.key and again.pixels is image.pixels  # features stay valid


def test_what_is_open_or_was_removed_is_taken_once(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    other = two_tone(seed=1)[0]
    kept = kept_of((pixels, file), (other, None))
    present, removed = train_image("open", pixels), train_image("removed", other, 2)
    twin = train_image("twin", pixels.copy(), 2)
    found = find(reader, kept, [present], [removed, twin])
    assert [image.key for image in found.images] == ["removed"] and not found.lost


def test_an_image_that_was_erased_teaches_nothing(reader: ClosedImages) -> None:
    erased = train_image("removed", two_tone()[0], value=0)
    assert find(reader, Annotations(CLASSES), [], [erased]).images == []


def test_images_without_their_file_are_named(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    gone, no_file = two_tone(seed=1)[0], two_tone(seed=2)[0]
    kept = kept_of((pixels, file), (gone, str(tmp_path / "gone.tif")), (no_file, None))
    Path(file).write_bytes(b"no image")
    found = find(reader, kept, [], [])
    assert found.images == [] and found.lost == ["photo.tif", "gone.tif", "photo"]
    imwrite(file, two_tone(seed=7)[0], photometric="rgb")  # another photo under its name
    os.utime(file, (1, 1))
    assert find(reader, kept, [], []).lost == found.lost
    imwrite(file, pixels, photometric="rgb")
    os.utime(file, (2, 2))
    assert [image.name for image in find(reader, kept, [], []).images] == ["photo.tif"]


def test_a_file_that_goes_away_during_a_fit_is_said(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    (image,) = find(reader, kept_of((pixels, file)), [], []).images
    reader.clear()
    Path(file).unlink()
    with pytest.raises(ImageError, match="open the image"):
        np.asarray(image.pixels)


def test_memory_for_pixels_is_bounded(tmp_path: Path) -> None:
    photos = [saved(tmp_path, seed, f"{seed}.tif") for seed in range(4)]
    size = photos[0][0].nbytes
    reader = ClosedImages(Identities(), most_bytes=2 * size)
    found = find(reader, kept_of(*photos), [], [])
    assert reader.n_bytes <= 2 * size
    for image, (pixels, _) in zip(found.images, photos, strict=True):
        assert np.array_equal(np.asarray(image.pixels), pixels)
    assert reader.n_bytes <= 2 * size


# -- in the dock ------------------------------------------------------------------------------


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
    qtbot.waitUntil(lambda: again in train.state.outcomes, timeout=60_000)
    assert train.state.outcomes[again].model is train.fits.model


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


def test_undo_of_the_table_knows_images_that_came_since() -> None:
    first, second = two_tone()[0], two_tone(seed=1)[0]
    session = ProjectSession(Identities(), kept_of((first, None)))
    change = remove_class(CLASSES, 0)  # the one that everything is labelled as
    session.change(change)
    assert not session.kept.images[0].labels.any()
    labels = labels_like(second)
    drawn = Annotation(identify(second, "second"), labels)
    session.kept = Annotations(session.kept.classes, (drawn, *session.kept.images))
    session.revert(change)
    assert session.kept.classes == CLASSES
    came, stayed = session.kept.images
    assert np.array_equal(stayed.labels, labels_like(first))
    assert np.array_equal(came.labels, 2 * labels)  # "plant" is the second class again


def test_the_same_pixels_read_another_way_lose_nothing(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    before = train.annotations.open[0].labels
    viewer.layers.remove(image)
    planes = viewer.add_image(two_tone()[0], rgb=False, name="planes")
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


def test_nothing_that_can_be_read_is_said(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    pixels, file = saved(tmp_path)
    kept = kept_of((pixels, file))
    Path(file).unlink()
    asked = train.fits.closed_images(lambda: kept, [])
    with qtbot.waitSignal(train.messages.warned, timeout=60_000) as said:
        train.fits.quick_fit(image, closed=asked)
    assert "cannot be read" in said.args[0] and "photo.tif" in said.args[0]
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=60_000)


# -- what they cost, and what does not depend on them -------------------------------------------


def test_an_image_that_is_open_is_not_read_again(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    layer = TrainImage("layer", pixels.copy(), True)
    (image,) = find(reader, kept_of((pixels, file)), [], [], [layer]).images
    assert image.key == "layer" and np.array_equal(image.codes, labels_like(pixels))
    assert reader.n_bytes == 0


def test_the_order_does_not_depend_on_what_is_open(reader: ClosedImages, tmp_path: Path) -> None:
    photos = [saved(tmp_path, seed, f"{seed}.tif") for seed in range(3)]
    closed = find(reader, kept_of(*photos), [], []).images
    names = [image.name for image in reader.order(closed)]
    opened = train_image("layer", photos[1][0])
    mixed = reader.order([opened, *find(reader, kept_of(*photos), [opened], []).images])
    assert [image.name.replace("layer", "1.tif") for image in mixed] == names


def test_removed_images_need_no_memory() -> None:
    identities = Identities()
    pixels = two_tone()[0].copy()
    alive = weakref.ref(pixels)
    identities.of(TrainImage("key", pixels, True))
    del pixels
    gc.collect()
    assert alive() is None


def test_dark_16_bit_files_are_scaled_as_when_they_are_open(
    reader: ClosedImages, tmp_path: Path
) -> None:
    pixels = np.full((3000, 4000), 900, np.uint16)
    pixels[5, 5] = 4000  # where a look at a few patches misses it
    file = str(tmp_path / "dark.tif")
    imwrite(file, pixels)
    labels = labels_like(pixels)
    kept = Annotations(CLASSES).with_annotation(
        Annotation(identify(pixels, "dark.tif", file), labels)
    )
    (image,) = find(reader, kept, [], []).images
    whole, lazy = (
        np.asarray(ImageSource.from_array(array, 1).read(0, 0, 60, 60))
        for array in (pixels, image.pixels)
    )
    assert np.array_equal(whole, lazy)
