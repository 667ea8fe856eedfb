"""Stacks are told from pictures by what files say, or by shapes that allow nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.io.images import channel_axis_in, read_image
from napari_gaussproto.io.stacks import Stack, stack_in


def told(path: Path, channels: int = 3, **more: Any) -> Stack | None:
    return stack_in(path, read_image(path), channels, **more)


@pytest.mark.parametrize(
    ("shape", "axes", "want"),
    [
        ((5, 40, 50), "ZYX", ("Z", (5, 40, 50), False)),
        ((2, 5, 40, 50), "TZYX", ("TZ", (2, 5, 40, 50), False)),
        ((5, 40, 50, 3), "TYXS", ("T", (5, 40, 50), True)),
        ((5, 4, 40, 50), "TCYX", ("T", (5, 40, 50), True)),
        ((4, 40, 50), "CYX", None),
        ((40, 50, 3), "YXS", None),
    ],
)
def test_named_axes_are_believed(tmp_path: Path, shape: Any, axes: str, want: Any) -> None:
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), ome=True, metadata={"axes": axes})
    found = told(path)
    got = None if found is None else (found.axes, found.shape, found.has_channels)
    assert got == want


@pytest.mark.parametrize(
    ("shape", "more", "want"),
    [
        ((30, 40, 50), {}, ("Z", (30, 40, 50), False)),
        ((30, 40, 50), {"channels": 30}, None),
        ((5, 40, 50), {}, None),
        ((40, 50, 5), {}, None),
        ((5, 40, 50), {"grey": True}, ("Z", (5, 40, 50), False)),
        ((5, 40, 50, 3), {}, ("Z", (5, 40, 50), True)),
        ((5, 40, 50, 3), {"grey": True}, ("TZ", (5, 40, 50, 3), False)),
        ((5, 6, 40, 50), {}, ("TZ", (5, 6, 40, 50), False)),
        ((5, 6, 40, 50), {"axis": 0}, ("Z", (5, 40, 50), True)),
        ((5, 40, 50, 6), {"axis": -1}, ("Z", (5, 40, 50), True)),
        ((40, 50), {"grey": True}, None),
    ],
)
def test_shapes_tell_where_nothing_else_does(
    tmp_path: Path, shape: Any, more: dict[str, Any], want: Any
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    found = told(tmp_path / "x.npy", **more)
    got = None if found is None else (found.axes, found.shape, found.has_channels)
    assert got == want


def test_more_axes_are_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 2, 2, 20, 20), np.uint8))
    with pytest.raises(ImageError, match="has 5 axes"):
        told(tmp_path / "x.npy")


def test_ome_zarr_names_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    group = zarr.create_group(store=str(path))
    array = np.random.default_rng(0).integers(0, 255, (4, 3, 1, 30, 40)).astype(np.uint8)
    group.create_array("0", shape=array.shape, dtype="uint8")[:] = array
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes}]}
    found = told(path)
    assert found is not None and (found.axes, found.shape) == ("T", (4, 30, 40))
    np.testing.assert_array_equal(np.asarray(found.array), np.moveaxis(array[:, :, 0], 1, -1))


def test_ome_zarr_of_one_picture_says_where_its_channels_are(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    group = zarr.create_group(store=str(path))
    group.create_array("0", shape=(1, 3, 1, 20, 3), dtype="uint8")
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["multiscales"] = [{"axes": axes}]
    assert told(path) is None and channel_axis_in(path, None) == 0
