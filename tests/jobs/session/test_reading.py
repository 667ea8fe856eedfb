"""Images that are read again, and those that moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager
from tifffile import imwrite

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.labels.annotations import identify
from napari_gaussproto.core.project.session import SessionImage
from napari_gaussproto.io.samples import sample_photo
from napari_gaussproto.jobs.large.window import window_job
from napari_gaussproto.jobs.session.reading import find_moved, read_again
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone
from tests.jobs.images import saved


def entry(pixels: Any, file: str | Path | None, **more: Any) -> SessionImage:
    identity = identify(pixels, "photo", None if file is None else str(file))
    return SessionImage(image=identity, **more)


def test_an_image_is_read_again_from_its_file(tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    reading = read_again(entry(pixels, file))
    assert reading is not None and np.array_equal(reading.levels[0], pixels)


@pytest.mark.parametrize("what", ["gone", "other pixels", "no image", "no file"])
def test_what_is_not_there_is_not_read(tmp_path: Path, what: str) -> None:
    pixels, file = saved(tmp_path)
    if what == "gone":
        Path(file).unlink()
    elif what == "other pixels":
        saved(tmp_path, seed=1)
    elif what == "no image":
        Path(file).write_text("nothing")
    assert read_again(entry(pixels, None if what == "no file" else file)) is None


def test_channels_that_a_file_has_in_front_are_where_docks_know_them(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).random((5, 20, 30)).astype(np.float32)
    imwrite(tmp_path / "five.tif", channels)
    last = np.moveaxis(channels, 0, -1)
    reading = read_again(entry(last, tmp_path / "five.tif"))
    assert reading is not None and np.array_equal(reading.levels[0], last)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_window_is_read_again_also_where_it_was_scaled(
    tmp_path: Path, dtype: str, dark: bool
) -> None:
    pixels = two_tone(96, 120)[0].astype(dtype)
    if dtype != "uint8" and dark:
        pixels[80:] *= 50
    pixels[:20, :30] = pixels[:, :, 0].min()
    path, area = tmp_path / "field.tif", (10, 20, 42, 60)
    tag = (42113, "s", 0, str(pixels[0, 0, 0]), True)
    imwrite(path, pixels, photometric="rgb", extratags=[tag])
    image = TrainImage("a", pixels, True, file=str(path))
    window = run(window_job(image, area))
    is_scaled = dtype != "uint8" and dark
    assert window.is_stored != is_scaled and np.isnan(window.pixels[:10, :10]).all() == (
        window.pixels.dtype.kind == "f"
    )
    reading = read_again(SessionImage(image=identify(window.pixels, "w", str(path), area)))
    assert reading is not None
    np.testing.assert_array_equal(reading.levels[0], window.pixels)
    # What stands for "no data" in the file is data in floats that were scaled.
    again = replace(image, pixels=reading.levels[0], window=area)
    assert again.nodata == (None if dtype == "uint16" and dark else image.nodata)


def test_a_sample_is_made_again() -> None:
    PluginManager.instance().discover()  # as napari does
    known = entry(sample_photo("peanut_0077"), None, sample=("napari-gaussproto", "peanut_0077"))
    reading = read_again(known)
    assert reading is not None and reading.levels[0].shape == (720, 960, 3)


@pytest.mark.parametrize("where", ["together", "renamed folder", "beside"])
def test_images_that_moved_together_are_found_together(tmp_path: Path, where: str) -> None:
    before = [tmp_path / "old" / "season" / plot / f"{plot}.tif" for plot in ("a", "b", "c")]
    after = {
        "together": [tmp_path / "new" / "season" / p / f"{p}.tif" for p in ("a", "b", "c")],
        "renamed folder": [tmp_path / "old" / "2026" / p / f"{p}.tif" for p in ("a", "b", "c")],
        "beside": [tmp_path / "flat" / f"{p}.tif" for p in ("a", "b", "c")],
    }[where]
    entries = []
    for seed, (old, new) in enumerate(zip(before, after, strict=True)):
        new.parent.mkdir(parents=True, exist_ok=True)
        pixels, _ = saved(new.parent, seed=seed, name=new.name)
        entries.append(entry(pixels, old))
    first, *others = entries
    found = find_moved(first, after[0], others)
    assert [reading.entry.image.file for reading in found] == [str(path) for path in after]
    assert not find_moved(first, after[1], others)  # the wrong one leads nowhere


def test_two_dimensional_stacks_keep_their_levels(tmp_path: Path) -> None:
    stack = np.stack([two_tone()[0][..., 0], two_tone(seed=1)[0][..., 0]])
    imwrite(tmp_path / "stack.tif", stack)
    reading = read_again(entry(stack, tmp_path / "stack.tif"))
    assert reading is not None and reading.levels[0].shape == stack.shape
