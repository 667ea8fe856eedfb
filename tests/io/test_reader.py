"""Photographs that napari opens by this plugin are upright, and show what they hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager
from npe2.io_utils import read
from PIL import Image

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.io.images import axes_of, read_image
from napari_gaussproto.io.reader import PHOTOGRAPH, get_reader, is_upright
from tests.io.test_images import AS_STORED, RGB, save

GREY = RGB[..., 0]


@pytest.fixture(autouse=True, scope="module")
def manager() -> None:
    """Plugins as napari finds them."""
    PluginManager.instance().discover()


def layer(path: Path) -> tuple[Any, dict[str, Any]]:
    """What napari gets when this reader is chosen."""
    [(data, about, kind)] = read([str(path)], stack=False, plugin_name="napari-gaussproto")
    assert kind == "image"
    return data, about


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "JPG"])
def test_a_layer_is_upright_and_says_so(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    stored = np.ascontiguousarray(AS_STORED[orientation](RGB))
    if suffix == "tif":
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, stored, photometric="rgb", extratags=tags)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(stored).save(path, exif=exif, **options)
    data, about = layer(path)
    assert np.array_equal(data, read_image(path)) and about["rgb"] is True
    if suffix != "JPG":
        assert np.array_equal(data, RGB)
    known = {"file": str(path), "orientation": orientation, "upright": True}
    assert about["metadata"] == {PHOTOGRAPH: known}
    assert is_upright(about["metadata"])


def test_it_stands_beside_the_reader_of_napari(tmp_path: Path) -> None:
    readers = PluginManager.instance().iter_compatible_readers
    for name in ("a.jpg", "a.JPEG", "a.png", "a.tif", "a.ome.tiff", "a.webp"):
        assert {r.plugin_name for r in readers([str(tmp_path / name)])} >= {
            "napari", "napari-gaussproto"
        }  # fmt: skip
    for name in ("a.csv", "a.npy", "a.mp4"):
        found = [r.plugin_name for r in readers([str(tmp_path / name)])]
        assert "napari-gaussproto" not in found


def test_channels_stand_where_napari_has_its_sliders(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (22, 31, 5), np.uint8)
    tifffile.imwrite(tmp_path / "last.tif", bands, photometric="minisblack", planarconfig="contig")
    first = np.ascontiguousarray(np.moveaxis(bands, -1, 0))
    tifffile.imwrite(tmp_path / "first.tif", first, metadata={"axes": "CYX"})
    for name in ("last.tif", "first.tif"):
        assert axes_of(tmp_path / name) == "YXC"
        data, about = layer(tmp_path / name)
        assert np.array_equal(data, first) and about["rgb"] is False
        assert about["axis_labels"] == ("channel", "y", "x")


def test_grey_alpha_and_stacks_are_shown(tmp_path: Path) -> None:
    data, about = layer(save(tmp_path / "grey.png", GREY))
    assert np.array_equal(data, GREY) and about["rgb"] is False
    Image.fromarray(GREY).convert("LA").save(tmp_path / "la.png")
    data, about = layer(tmp_path / "la.png")
    assert about["rgb"] is True and np.array_equal(data[..., 1], GREY)
    assert (data[..., 3] == 255).all()
    planes = np.stack([GREY, GREY // 2])
    tifffile.imwrite(tmp_path / "z.tif", planes, metadata={"axes": "ZYX"})
    data, about = layer(tmp_path / "z.tif")
    assert np.array_equal(data, planes) and about["rgb"] is False
    for colours in (np.stack([RGB, RGB // 2]), np.stack([RGB] * 6).reshape(2, 3, *RGB.shape)):
        axes = {"axes": "TZYXS"[-colours.ndim :]}
        tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb", metadata=axes)
        data, about = layer(tmp_path / "c.tif")
        assert np.array_equal(data, colours) and about["rgb"] is True


def test_several_photographs_become_a_stack(tmp_path: Path) -> None:
    paths = [str(save(tmp_path / f"{n}.png", RGB // n)) for n in (1, 2, 3)]
    [(data, about, _)] = read(paths, stack=True, plugin_name="napari-gaussproto")
    assert np.array_equal(data, np.stack([RGB, RGB // 2, RGB // 3])) and about["rgb"] is True
    assert [known["file"] for known in about["metadata"][PHOTOGRAPH]] == paths
    assert not is_upright(about["metadata"])  # nothing that could be turned as one photograph
    small = str(save(tmp_path / "small.png", RGB[:9]))
    with pytest.raises(ImageError, match=r"“small\.png” has the shape .* open these one by one"):
        get_reader([*paths, small])([*paths, small])


def test_a_value_without_data_stays_a_value(tmp_path: Path) -> None:
    path = tmp_path / "geo.tif"
    tifffile.imwrite(path, GREY, extratags=[(42113, "s", 0, str(int(GREY[0, 0])), True)])
    assert np.ma.is_masked(read_image(path))
    data, _ = layer(path)
    assert type(data) is np.ndarray and np.array_equal(data, GREY)


def test_a_file_that_is_no_photograph_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no photograph")
    with pytest.raises(ImageError, match="no image this program can read"):
        layer(tmp_path / "a.jpg")


def test_reading_and_writing_layers_loads_no_torch() -> None:
    code = (
        "import sys, napari_gaussproto.io.reader, napari_gaussproto.io.label_files.layers; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
