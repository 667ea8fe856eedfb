"""Photographs, scans and stored arrays as they come from cameras, microscopes and colleagues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.io.images import axes_of, read_image, read_mask

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (22, 31, 3), np.uint8)
GREY = RGB[..., 0]
MASK = RNG.integers(0, 4, (22, 31), np.uint8)

# How the stored pixels lie for the pixels to be RGB once they are upright (EXIF 2.32, tag 0x0112).
AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    Image.fromarray(np.ascontiguousarray(array)).save(path, **options)
    return path


def model_pixels(path: Path) -> Any:
    """What a model for colour photographs sees, (3, H, W) in [0, 1]."""
    image = read_image(path)
    source = ImageSource.from_array(image, channels=3)
    return source.read(0, 0, source.height, source.width).numpy()


# -- photographs ----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_photographs_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Smooth, so that JPEG leaves it nearly as it is.
    y, x = np.mgrid[:40, :56]
    upright = np.stack([4 * x, 5 * y, 255 - 4 * x], -1).astype(np.uint8)
    options = {"quality": 98} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    stored = AS_STORED[orientation](upright)
    read = read_image(save(tmp_path / f"a.{suffix}", stored, exif=exif, **options))
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= (12 if suffix == "jpg" else 0)


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize("upright", [RGB, GREY], ids=["RGB", "grey"])
def test_tiffs_are_upright_and_masks_are_as_they_are_stored(
    tmp_path: Path, orientation: int, upright: np.ndarray
) -> None:
    path = tmp_path / "a.tif"
    stored = np.ascontiguousarray(AS_STORED[orientation](upright))
    tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(read_image(path), upright)
    if upright is GREY:
        np.testing.assert_array_equal(read_mask(path), stored)


def test_a_damaged_exif_block_does_not_spoil_a_photograph(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", RGB, exif=b"Exif\0\0not a directory at all")
    assert read_image(path).shape == RGB.shape


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG", "Tiff"])
def test_colour_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix.lower().startswith("tif"):
        tifffile.imwrite(path, RGB, photometric="rgb")
    else:
        save(path, RGB)
    read = read_image(path)
    assert read.dtype == np.uint8 and np.array_equal(read, RGB)


def test_grey_and_alpha_stay_as_they_are(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, GREY])
    assert np.array_equal(read_image(save(tmp_path / "grey.png", GREY)), GREY)
    assert np.array_equal(read_image(save(tmp_path / "rgba.png", rgba)), rgba)
    grey_alpha = Image.fromarray(GREY).convert("LA")
    grey_alpha.save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").shape == (22, 31, 2)
    # A model sees the same colours whatever the alpha, where there is any.
    expected = RGB.transpose(2, 0, 1) / np.float32(255)
    assert np.allclose(model_pixels(tmp_path / "rgba.png")[:, GREY > 0], expected[:, GREY > 0])
    assert np.allclose(model_pixels(tmp_path / "la.png"), (GREY / np.float32(255))[None])


def test_black_and_white_scans_are_read(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert np.array_equal(read, GREY > 127)
    assert set(np.unique(model_pixels(tmp_path / "a.png"))) == {0.0, 1.0}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    deep = GREY.astype(np.uint16) * 16 + 3
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        save(path, deep)
    else:
        tifffile.imwrite(path, deep)
    read = read_image(path)
    assert read.dtype == np.uint16 and np.array_equal(read, deep)
    # 12-bit values in a 16-bit file are not shown nearly black.
    assert model_pixels(path).max() > 0.9


def test_sixteen_bit_colour_tiff_is_kept(tmp_path: Path) -> None:
    deep = RGB.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", compression="deflate")
    read = read_image(tmp_path / "a.tif")
    assert read.dtype == np.uint16 and np.array_equal(read, deep)


def test_palettes_become_their_colours(tmp_path: Path) -> None:
    palette = [10, 200, 30, 150, 120, 90, 0, 0, 255, 9, 9, 9]
    indexed = Image.fromarray(MASK, mode="P")
    indexed.putpalette(palette)
    colours = np.array(palette, np.uint8).reshape(4, 3)[MASK]
    indexed.save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), colours)
    indexed.save(tmp_path / "b.png", transparency=0)
    read = read_image(tmp_path / "b.png")
    assert read.shape == (22, 31, 4)
    assert np.array_equal(read[..., :3], colours)
    assert np.array_equal(read[..., 3] == 0, MASK == 0)


def test_print_colours_become_screen_colours(tmp_path: Path) -> None:
    green = Image.new("RGB", (40, 30), (70, 150, 60))
    green.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as file:
        assert file.mode == "CMYK"
    read = read_image(tmp_path / "a.jpg")
    assert read.shape == (30, 40, 3) and read.dtype == np.uint8
    assert np.abs(read.astype(int) - [70, 150, 60]).max() < 8


# -- stacks and stores ----------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_channels_that_are_stored_first_go_last(tmp_path: Path, channels: int) -> None:
    image = RNG.integers(0, 4096, (channels, 22, 31), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", image, ome=True, photometric="minisblack", metadata={"axes": "CYX"}
    )
    assert np.array_equal(read_image(tmp_path / "a.ome.tif"), image.transpose(1, 2, 0))


def test_separate_colour_planes_of_a_tiff_go_last(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
    )
    assert np.array_equal(read_image(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("TCYX", (1, 3, 22, 31)), ("TZCYX", (1, 1, 3, 22, 31)), ("ZYXS", (1, 22, 31, 3))],
)
def test_single_times_and_depths_are_dropped(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    image = RGB if axes.endswith("S") else RGB.transpose(2, 0, 1)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        image.reshape(shape),
        ome=True,
        photometric="rgb" if axes.endswith("S") else "minisblack",
        metadata={"axes": axes},
    )
    assert np.array_equal(read_image(tmp_path / "a.ome.tif"), RGB)


def test_images_one_pixel_wide_keep_both_axes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY[:, :1])
    assert np.array_equal(read_image(tmp_path / "a.tif"), GREY[:, :1])


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path: Path) -> None:
    large = np.tile(RGB, (4, 4, 1))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(large, subifds=1, photometric="rgb", tile=(32, 32))
        file.write(large[::2, ::2], subfiletype=1, photometric="rgb", tile=(32, 32))
    assert np.array_equal(read_image(tmp_path / "a.tif"), large)


def test_arrays_of_numbers_are_read_without_pickle(tmp_path: Path) -> None:
    values = RNG.random((22, 31), np.float32)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(read_image(tmp_path / "a.npy"), values)
    np.save(tmp_path / "b.npy", np.array([{"code": "runs"}], object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"“b\.npy” could not be read"):
        read_image(tmp_path / "b.npy")


def store(path: Path, array: np.ndarray) -> None:
    zarr.create_array(store=str(path), data=array, chunks=array.shape)


def test_a_zarr_array_stays_on_disk(tmp_path: Path) -> None:
    store(tmp_path / "a.zarr", RGB)
    read = read_image(tmp_path / "a.zarr")
    assert isinstance(read, zarr.Array)
    assert np.array_equal(read[:], RGB)


def test_of_a_zarr_group_the_largest_array_is_read(tmp_path: Path) -> None:
    group = zarr.create_group(store=str(tmp_path / "a.zarr"))
    group.create_array("0", data=RGB[::2, ::2])  # whatever the order of names
    group.create_array("1", data=RGB)
    assert np.array_equal(read_image(tmp_path / "a.zarr")[:], RGB)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 1, 22, 31), (3, 22, 31)),
        ((1, 1, 3, 22, 31), (3, 22, 31)),
        ((1, 1, 1, 66, 31), (1, 66, 31)),
        ((3, 22, 31), (3, 22, 31)),
    ],
)
def test_ome_zarr_is_read_lazily_without_empty_axes(
    tmp_path: Path, version: Any, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    values = RGB.transpose(2, 0, 1).reshape(shape)
    # As converters write it: image groups beside one for metadata.
    outer = zarr.create_group(store=str(tmp_path / "a.ome.zarr"), zarr_format=version)
    outer.create_group("OME")
    pyramid = outer.create_group("p0")
    pyramid.create_array("0", data=values, chunks=values.shape)
    pyramid.create_array("1", data=values[..., ::2, ::2], chunks=values[..., ::2, ::2].shape)
    read = read_image(tmp_path / "a.ome.zarr")
    assert isinstance(read, zarr.Array if len(shape) == 3 else da.Array)
    assert read.shape == expected
    assert np.array_equal(np.asarray(read), values.reshape(expected))


# -- what cannot be read --------------------------------------------------------------------


def write_text(path: Path) -> None:
    path.write_text("these are my field notes\n" * 20)


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_half(path: Path) -> None:
    """The first half of a file of this kind."""
    if path.suffix == ".npy":
        np.save(path, RGB)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib")
    else:
        save(path, RGB)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


@pytest.mark.parametrize("read", [read_image, read_mask])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif", "npy"])
@pytest.mark.parametrize("spoil", [write_text, write_nothing, write_half])
def test_a_file_that_is_damaged_or_something_else_is_a_sentence(
    tmp_path: Path, read: Callable[[Path], Any], suffix: str, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / f"field 7.{suffix}"
    spoil(path)
    with pytest.raises(ImageError) as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith("“field 7.") and sentence.endswith(".")
    assert "use JPEG, PNG, TIFF" in sentence or "open another copy" in sentence


def test_any_damage_inside_a_file_is_a_sentence(tmp_path: Path) -> None:
    refused = 0
    for kind in ("png", "jpg", "webp", "bmp"):
        path = save(tmp_path / f"a.{kind}", RGB)
        raw = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(raw)
            for place in RNG.integers(0, len(raw), 4):
                damaged[place] = RNG.integers(256)
            path.write_bytes(bytes(damaged))
            try:
                read_image(path)
            except ImageError:
                refused += 1
    assert refused > 40


@pytest.mark.parametrize("name", ["none.jpg", "none.tif", "none.npy", "none.zarr", "none"])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_missing_file_is_a_sentence(
    tmp_path: Path, name: str, read: Callable[[Path], Any]
) -> None:
    with pytest.raises(ImageError, match=rf"There is no file “.*{name}”: check the name"):
        read(tmp_path / name)


def test_a_folder_of_images_is_not_an_image(tmp_path: Path) -> None:
    folder = tmp_path / "photos.jpg"
    folder.mkdir()
    with pytest.raises(ImageError, match=r"“photos\.jpg” is a folder: give the images in it"):
        read_image(folder)


def test_a_store_without_an_array_is_a_sentence(tmp_path: Path) -> None:
    zarr.create_group(store=str(tmp_path / "a.zarr")).create_group("empty")
    with pytest.raises(ImageError, match=r"“a\.zarr” holds no array: choose a folder"):
        read_image(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(ImageError, match=r"“b\.zarr” could not be read"):
        read_image(tmp_path / "b.zarr")


# -- masks ----------------------------------------------------------------------------------


def test_numbers_of_a_mask_are_those_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    indexed = Image.fromarray(MASK, mode="P")
    indexed.putpalette(RNG.integers(0, 256, 12).tolist())
    indexed.save(tmp_path / "palette.png", exif=exif)
    save(tmp_path / "grey.png", MASK)
    save(tmp_path / "deep.png", MASK.astype(np.uint16) + 300)
    tifffile.imwrite(tmp_path / "a.tif", MASK.astype(np.int32) - 1)
    np.save(tmp_path / "a.npy", MASK.astype(np.int64))
    store(tmp_path / "a.zarr", MASK)
    for name, added in (
        ("palette.png", 0), ("grey.png", 0), ("deep.png", 300), ("a.tif", -1), ("a.npy", 0),
        ("a.zarr", 0),
    ):  # fmt: skip
        mask = read_mask(tmp_path / name)
        assert isinstance(mask, np.ndarray) and mask.dtype.kind in "ui"
        assert np.array_equal(mask.astype(int), MASK.astype(int) + added), name


def test_a_mask_of_yes_and_no_becomes_numbers(tmp_path: Path) -> None:
    Image.fromarray(MASK > 1).save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert mask.dtype == np.uint8 and np.array_equal(mask, MASK > 1)


@pytest.mark.parametrize(
    "array", [RGB, RNG.random((22, 31)), np.zeros((2, 22, 31), np.uint8)], ids=lambda a: f"{a.ndim}"
)
def test_what_is_no_mask_is_refused_with_shape_and_type(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=r"“a\.npy” is not a mask: one channel") as caught:
        read_mask(tmp_path / "a.npy")
    assert str(array.shape) in str(caught.value) and str(array.dtype) in str(caught.value)


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a mask"):
        read_mask(save(tmp_path / "a.png", RGB))


def test_a_thumbnail_in_front_is_not_the_image(tmp_path: Path) -> None:
    path = tmp_path / "thumb.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(RGB, photometric="rgb", subfiletype=0)
    assert np.array_equal(read_image(path), RGB)


@pytest.mark.parametrize(
    ("shape", "read"),
    [((1, 5, 20, 30), (5, 20, 30)), ((1, 20, 30, 3), (20, 30, 3)), ((1, 20, 30), (1, 20, 30))],
)
def test_empty_axes_of_an_array_are_dropped(
    tmp_path: Path, shape: tuple[int, ...], read: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, np.uint8))
    assert read_image(tmp_path / "a.npy").shape == read


@pytest.mark.parametrize(("mode", "clear"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_of_a_png_is_no_data(tmp_path: Path, mode: str, clear: Any) -> None:
    picture = Image.fromarray(np.where(GREY < 99, 7, GREY)).convert(mode)
    picture.save(tmp_path / "a.png", transparency=clear)
    assert axes_of(tmp_path / "a.png") == "YXC"
    source = ImageSource.from_array(read_image(tmp_path / "a.png"), 3)
    assert source.data_mask is not None and np.array_equal(source.data_mask, GREY >= 99)
