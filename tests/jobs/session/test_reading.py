"""Images that are read again, and those that moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager
from tifffile import imwrite

from napari_gaussproto.core.labels.annotations import identify
from napari_gaussproto.core.project.session import SessionImage
from napari_gaussproto.io.samples import sample_photo
from napari_gaussproto.jobs.session.reading import find_moved, read_again
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
