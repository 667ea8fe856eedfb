"""Labelled images that are not open: found again by their files, and read once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.on_disk import is_on_disk, moved_to_disk
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.jobs.closed_images import ClosedImages
from napari_gaussproto.jobs.storage import Identities
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone
from tests.jobs.images import CLASSES, find, kept_of, labels_like, saved, train_image


@pytest.fixture
def reader() -> ClosedImages:
    return ClosedImages(Identities())


def test_an_image_in_a_file_is_read_again(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    found = find(reader, kept_of((pixels, file)), [], [])
    assert not found.lost
    (image,) = found.images
    assert image.rgb and image.name == "photo.tif"
    assert np.array_equal(np.asarray(image.pixels), pixels)
    assert np.array_equal(image.pixels[3:9, 5:7], pixels[3:9, 5:7])
    assert np.array_equal(image.codes.codes, labels_like(pixels))
    reader.reset()
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
    reader.reset()
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


def test_an_image_that_is_open_is_not_read_again(reader: ClosedImages, tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    layer = TrainImage("layer", pixels.copy(), True)
    (image,) = find(reader, kept_of((pixels, file)), [], [], [layer]).images
    assert image.key == "layer" and np.array_equal(image.codes.codes, labels_like(pixels))
    assert reader.n_bytes == 0


def test_the_order_does_not_depend_on_what_is_open(reader: ClosedImages, tmp_path: Path) -> None:
    photos = [saved(tmp_path, seed, f"{seed}.tif") for seed in range(3)]
    closed = find(reader, kept_of(*photos), [], []).images
    names = [image.name for image in reader.order(closed)]
    opened = train_image("layer", photos[1][0])
    mixed = reader.order([opened, *find(reader, kept_of(*photos), [opened], []).images])
    assert [image.name.replace("layer", "1.tif") for image in mixed] == names


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


def test_pixels_on_disk_are_the_same_and_leave_no_file(tmp_path: Path) -> None:
    kinds = (np.uint8, ">u2", np.float32)
    for number, kind in enumerate(kinds):
        pixels = two_tone()[0].astype(kind)[:, ::-1]
        found = run(moved_to_disk(pixels, tmp_path / str(number)))
        assert type(found) is np.ndarray and found.dtype == pixels.dtype
        assert np.array_equal(found, pixels)
        assert is_on_disk(found) and is_on_disk(found[3:]) and not is_on_disk(pixels)
        found[0] = 0  # may be changed, as any array
        if os.name == "posix":
            assert not list((tmp_path / str(number)).iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    with pytest.raises(OSError, match="no folder"):
        run(moved_to_disk(two_tone()[0], tmp_path / "no folder"))
