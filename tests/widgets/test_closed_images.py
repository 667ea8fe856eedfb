"""Labelled images that are not open teach too: found again by their files, or kept when removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import imwrite

from napari_gaussproto.core.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.config import SegmentationClass
from napari_gaussproto.core.errors import ImageError
from napari_gaussproto.widgets.closed_images import ClosedImages
from napari_gaussproto.widgets.keep_job import Identities
from napari_gaussproto.widgets.train_request import TrainImage
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
        kept = kept.with_annotation(Annotation(identity, labels, labels > 0))
    return kept


def train_image(key: Any, pixels: Any, value: int = 1, file: str | None = None) -> TrainImage:
    codes = labels_like(pixels, value).astype(np.uint16)
    return TrainImage(key, pixels, True, codes, str(key), file)


@pytest.fixture
def shelf() -> ClosedImages:
    return ClosedImages(Identities())


def saved(folder: Path, seed: int = 0, name: str = "photo.tif") -> tuple[Any, str]:
    pixels = two_tone(seed=seed)[0]
    file = folder / name
    imwrite(file, pixels, photometric="rgb")
    return pixels, str(file)


def test_an_image_in_a_file_is_read_again(shelf: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    found = shelf.find(kept_of((pixels, file)), [], [])
    assert not found.lost
    (image,) = found.images
    assert image.rgb and image.name == "photo.tif"
    assert np.array_equal(np.asarray(image.pixels), pixels)
    assert np.array_equal(image.pixels[3:9, 5:7], pixels[3:9, 5:7])
    assert np.array_equal(image.codes, labels_like(pixels))
    shelf.put_away()
    assert np.array_equal(image.pixels[3:9, 5:7], pixels[3:9, 5:7])
    again = shelf.find(kept_of((pixels, file)), [], []).images[0]
    assert again.key == image.key and again.pixels is image.pixels  # features stay valid


def test_what_is_open_or_was_removed_is_taken_once(shelf: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    other = two_tone(seed=1)[0]
    kept = kept_of((pixels, file), (other, None))
    present, removed = train_image("open", pixels), train_image("removed", other, 2)
    twin = train_image("twin", pixels.copy(), 2)
    found = shelf.find(kept, [present], [removed, twin])
    assert [image.key for image in found.images] == ["removed"] and not found.lost


def test_an_image_that_was_erased_teaches_nothing(shelf: ClosedImages) -> None:
    erased = train_image("removed", two_tone()[0], value=0)
    assert shelf.find(Annotations(CLASSES), [], [erased]).images == []


def test_images_without_their_file_are_named(shelf: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    gone, no_file = two_tone(seed=1)[0], two_tone(seed=2)[0]
    kept = kept_of((pixels, file), (gone, str(tmp_path / "gone.tif")), (no_file, None))
    Path(file).write_bytes(b"no image")
    found = shelf.find(kept, [], [])
    assert found.images == [] and found.lost == ["photo.tif", "gone.tif", "photo"]
    imwrite(file, two_tone(seed=7)[0], photometric="rgb")  # another photo under its name
    os.utime(file, (1, 1))
    assert shelf.find(kept, [], []).lost == found.lost
    imwrite(file, pixels, photometric="rgb")
    os.utime(file, (2, 2))
    assert [image.name for image in shelf.find(kept, [], []).images] == ["photo.tif"]


def test_a_file_that_goes_away_during_a_fit_is_said(shelf: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    (image,) = shelf.find(kept_of((pixels, file)), [], []).images
    shelf.put_away()
    Path(file).unlink()
    with pytest.raises(ImageError, match="open the image"):
        np.asarray(image.pixels)


def test_memory_for_pixels_is_bounded(tmp_path: Path) -> None:
    photos = [saved(tmp_path, seed, f"{seed}.tif") for seed in range(4)]
    size = photos[0][0].nbytes
    shelf = ClosedImages(Identities(), most_bytes=2 * size)
    found = shelf.find(kept_of(*photos), [], [])
    assert sum(array.nbytes for array in shelf._arrays.values()) <= 2 * size
    for image, (pixels, _) in zip(found.images, photos, strict=True):
        assert np.array_equal(np.asarray(image.pixels), pixels)
    assert sum(array.nbytes for array in shelf._arrays.values()) <= 2 * size


# -- in the dock ------------------------------------------------------------------------------


def strokes_learned(train: Any) -> int:
    return int(train.history.model.versions[0].strokes)


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


def test_a_project_of_files_teaches_from_all_of_them(
    train: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    _, file = saved(tmp_path)
    (layer,) = viewer.open(file, plugin="napari")
    draw(train)
    settled(train, qtbot)
    folder = train.keeper.desk.project.folder
    viewer.layers.remove(layer)
    # As after a new start: nothing of the removed layer is known any more.
    train.project.new_asked.emit()
    settled(train, qtbot)
    viewer.add_image(two_tone(seed=4)[0], name="next")
    train.project.open_asked.emit(folder)
    qtbot.waitUntil(lambda: train.keeper.desk.project.folder == folder, timeout=60_000)
    settled(train, qtbot)
    assert not train.annotator.all_annotations
    qtbot.waitUntil(lambda: not train.labels.closed.isHidden(), timeout=60_000)
    quick(train, qtbot)
    settled(train, qtbot)
    assert strokes_learned(train) > 0
    Path(file).unlink()
    fitted(train, qtbot, lambda: draw(train) and click(train.quick))
    assert "Nothing was learned from “photo" in train.status.text()


def test_what_is_erased_in_a_reopened_image_stays_away(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    viewer.layers.remove(image)
    again = viewer.add_image(two_tone()[0], name="again")
    qtbot.waitUntil(lambda: train.annotator.find(again) is not None, timeout=60_000)
    annotation = train.annotator.find(again)
    qtbot.waitUntil(lambda: bool(annotation.labels.any()), timeout=60_000)
    annotation.apply(annotation.record.replace(np.zeros_like(annotation.labels)))
    settled(train, qtbot)
    assert train.keeper.desk.kept.images == ()
    assert train.labels.closed.isHidden()
    assert not annotation.labels.any()
