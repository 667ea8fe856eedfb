"""Masks of other programs: numbers, palettes, colours, and what is none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.class_table import import_mask, mask_values
from napari_gaussproto.core.labels.mask_guess import TRANSPARENT
from napari_gaussproto.io.masks import read_coded_mask

MASK = np.random.default_rng(0).integers(0, 4, (22, 31)).astype(np.uint8)
PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]
COLORS = np.array(PALETTE, np.uint8).reshape(4, 3)
CODES = np.array([0, 0xFF0000, 0x00FF00, 0x0000FF])


def palette_image() -> Image.Image:
    image = Image.fromarray(MASK, mode="P")
    image.putpalette(PALETTE)
    return image


def test_numbers_are_those_stored(tmp_path: Path) -> None:
    Image.fromarray(MASK).save(tmp_path / "grey.png")
    Image.fromarray(MASK).save(tmp_path / "grey.bmp")
    Image.fromarray(MASK.astype(np.uint16) + 300).save(tmp_path / "deep.png")
    Image.fromarray(MASK > 1).save(tmp_path / "bits.png")
    tifffile.imwrite(tmp_path / "a.tif", MASK.astype(np.int32) - 1)
    tifffile.imwrite(tmp_path / "float.tif", MASK.astype(np.float32))
    tifffile.imwrite(tmp_path / "plane.tif", MASK[None, None], photometric="minisblack")
    np.save(tmp_path / "a.npy", MASK.astype(np.int64)[..., None])
    np.save(tmp_path / "yes.npy", MASK > 1)
    expected: dict[str, Any] = {
        "grey.png": MASK, "grey.bmp": MASK, "deep.png": MASK + 300.0, "bits.png": MASK > 1,
        "a.tif": MASK - 1.0, "float.tif": MASK, "plane.tif": MASK, "a.npy": MASK,
        "yes.npy": MASK > 1,
    }  # fmt: skip
    for name, values in expected.items():
        mask = read_coded_mask(tmp_path / name)
        assert mask.values.dtype.kind in "ui" and np.array_equal(mask.values, values), name
        assert mask.colors == {}
        mask_values(mask.values)  # what the dialog begins with


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_tiff_is_upright_as_its_tag_says(tmp_path: Path, orientation: int) -> None:
    turned = upright(MASK, orientation)
    tag = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "grey.tif", MASK, extratags=tag)
    tifffile.imwrite(tmp_path / "plane.tif", MASK[None], extratags=tag, metadata=None)
    tifffile.imwrite(tmp_path / "rgb.tif", COLORS[MASK], photometric="rgb", extratags=tag)
    about = Image.Exif()
    about[274] = orientation
    palette_image().save(tmp_path / "a.png", exif=about)
    for name in ("grey.tif", "plane.tif", "a.png"):
        assert np.array_equal(read_coded_mask(tmp_path / name).values, turned), name
    assert np.array_equal(read_coded_mask(tmp_path / "rgb.tif").values, CODES[turned])


def test_a_palette_gives_numbers_and_their_colours(tmp_path: Path) -> None:
    palette_image().save(tmp_path / "a.png")
    mask = read_coded_mask(tmp_path / "a.png")
    assert np.array_equal(mask.values, MASK)
    assert mask.colors == {0: "#000000", 1: "#ff0000", 2: "#00ff00", 3: "#0000ff"}


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "npy"])
def test_colours_become_values_that_are_the_same_in_every_file(tmp_path: Path, suffix: str) -> None:
    path, pixels = tmp_path / f"a.{suffix}", COLORS[MASK]
    if suffix == "npy":
        np.save(path, pixels)
    elif suffix == "tif":
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        Image.fromarray(pixels).save(path)
    mask = read_coded_mask(path)
    assert np.array_equal(mask.values, CODES[MASK])
    assert mask.colors[0x00FF00] == "#00ff00" and len(mask.colors) == 4
    labels = import_mask(mask.values, dict(zip(CODES.tolist(), range(4), strict=True)), 3)
    assert np.array_equal(labels, MASK)


def test_transparent_pixels_are_a_value_of_their_own(tmp_path: Path) -> None:
    alpha = np.where(MASK == 0, 0, 200).astype(np.uint8)[..., None]
    Image.fromarray(np.concatenate([COLORS[MASK], alpha], -1)).save(tmp_path / "a.png")
    mask = read_coded_mask(tmp_path / "a.png")
    assert np.array_equal(mask.values == TRANSPARENT, MASK == 0)
    assert np.array_equal(mask.values[MASK > 0], CODES[MASK[MASK > 0]])
    assert TRANSPARENT not in mask.colors
    opaque = np.full_like(alpha, 255)
    Image.fromarray(np.concatenate([COLORS[MASK], opaque], -1)).save(tmp_path / "b.png")
    assert np.array_equal(read_coded_mask(tmp_path / "b.png").values, CODES[MASK])


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    Image.fromarray(np.stack([MASK * 80] * 3, -1)).save(tmp_path / "a.png")
    Image.fromarray(np.stack([MASK, np.full_like(MASK, 255)], -1), mode="LA").save(
        tmp_path / "b.png"
    )
    assert np.array_equal(read_coded_mask(tmp_path / "a.png").values, MASK * 80)
    assert np.array_equal(read_coded_mask(tmp_path / "b.png").values, MASK)
    assert read_coded_mask(tmp_path / "a.png").colors == {}


def test_a_mask_is_turned_upright_as_its_photograph_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    palette_image().save(tmp_path / "palette.png", exif=exif)
    Image.fromarray(COLORS[MASK]).save(tmp_path / "colour.png", exif=exif)
    upright = np.rot90(MASK, -1)
    assert np.array_equal(read_coded_mask(tmp_path / "palette.png").values, upright)
    assert np.array_equal(read_coded_mask(tmp_path / "colour.png").values, CODES[upright])
    assert len(read_coded_mask(tmp_path / "palette.png").colors) == 4


def test_what_is_no_mask_is_refused_with_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "planes.npy": (np.zeros((5, 22, 31), np.uint8), "has the shape 5 × 22 × 31"),
        "row.npy": (np.zeros(4, np.uint8), "has the shape 4"),
        "part.npy": (rng.random((9, 9)), "not all whole numbers"),
        "hole.npy": (np.array([[0, np.nan]]), "not all whole numbers"),
        "text.npy": (np.array([["a"]]), "not all whole numbers"),
        "photo.npy": (rng.integers(0, 256, (99, 99, 3), np.uint8), "colours, as a photograph"),
        "deep.npy": (rng.integers(0, 9999, (9, 9, 3), np.uint16), "8 bits a channel"),
    }
    for name, (array, sentence) in arrays.items():
        np.save(tmp_path / name, array)
        with pytest.raises(ImageError, match=sentence) as caught:
            read_coded_mask(tmp_path / name)
        assert name in str(caught.value)
    Image.fromarray(MASK).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="JPEG, which blurs"):
        read_coded_mask(tmp_path / "a.jpg")
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("pickled.npy", "empty.png", "absent.png"):
        with pytest.raises(ImageError, match=name):
            read_coded_mask(tmp_path / name)


def test_a_large_colour_mask_takes_seconds_at_most(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COLORS[np.random.default_rng(0).integers(0, 4, (2000, 3000))])
    begin = time.process_time()
    read_coded_mask(tmp_path / "a.npy")
    assert time.process_time() - begin < 10
