"""OME-Zarr folders as layers: every resolution, axes, scale and units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.label_pyramid import NewLabels, open_pyramid
from napari_gaussproto.io.label_files.layers import get_zarr_reader


def written(path: Path, array: np.ndarray, axes: str, scale: list[float], levels: int = 2) -> str:
    """An OME-Zarr as other programs write it."""
    group = zarr.create_group(store=str(path))
    datasets = []
    for level in range(levels):
        step = 2**level
        coarse = np.ascontiguousarray(array[..., ::step, ::step])
        group.create_array(str(level), shape=coarse.shape, dtype=coarse.dtype)[...] = coarse
        steps = [*scale[:-2], *(step * s for s in scale[-2:])]
        transforms = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    named: list[dict[str, str]] = [{"name": axis} for axis in axes]
    named[-1]["unit"] = named[-2]["unit"] = "millimeter"
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": named, "datasets": datasets}]}
    return str(path)


def layer_of(path: str) -> Any:
    read = get_zarr_reader(path)
    assert read is not None
    [layer] = read(path)
    return layer


def test_colours_of_8_bits_go_last(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 30, 40)).astype(np.uint8)
    levels, about, kind = layer_of(
        written(tmp_path / "field.ome.zarr", array, "tczyx", [1, 1, 1, 0.5, 0.5])
    )
    assert kind == "image" and about["rgb"] and about["multiscale"] and about["name"] == "field"
    assert [level.shape for level in levels] == [(30, 40, 3), (15, 20, 3)]
    np.testing.assert_array_equal(np.asarray(levels[0]), np.moveaxis(array[0, :, 0], 0, -1))
    assert about["scale"] == [0.5, 0.5] and about["units"] == ["millimeter"] * 2
    assert about["axis_labels"] == ["y", "x"]


def test_other_channels_come_first_by_name(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((5, 30, 40)).astype(np.float32)
    levels, about, _ = layer_of(written(tmp_path / "x.zarr", array, "cyx", [1, 2, 2]))
    assert not about["rgb"] and about["axis_labels"] == ["channel", "y", "x"]
    assert about["scale"] == [1, 2, 2] and levels[0].shape == (5, 30, 40)


def test_series_and_depth_keep_their_axes(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (4, 3, 30, 40)).astype(np.uint8)
    data, about, _ = layer_of(written(tmp_path / "x.zarr", array, "tcyx", [7, 1, 2, 2], levels=1))
    assert about["rgb"] and about["axis_labels"] == ["t", "y", "x"] and about["scale"] == [7, 2, 2]
    assert not about["multiscale"] and data.shape == (4, 30, 40, 3)


def test_labels_of_a_large_image_keep_their_resolutions(tmp_path: Path) -> None:
    classes = [SegmentationClass(name="soil", color="#112233")]
    new = NewLabels((10_001, 10_000), classes, {"image": "a"}, 2000, [0.5, 0.5], [1.0, 2.0])
    labels = open_pyramid(tmp_path, "mosaic", new)
    labels.write(0, 5, 4, np.ones((1, 2000), np.uint8))
    labels.close()
    levels, about, kind = layer_of(str(labels.path))
    assert kind == "labels" and about["multiscale"] and len(levels) == 6
    assert levels[0].shape == (10_001, 10_000) and levels[-1].shape == (313, 313)
    assert np.asarray(levels[0][10_000, 8_000:]).all() and about["scale"] == (0.5, 0.5)
    assert list(about["features"]["class"]) == ["not labelled", "soil"]


def test_other_folders_are_left_to_napari_and_damage_is_a_sentence(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "plain.zarr"), shape=(4, 4), dtype="uint8")
    assert get_zarr_reader(str(tmp_path / "plain.zarr")) is None
    array = np.zeros((30, 40), np.uint8)
    path = written(tmp_path / "x.zarr", array, "yx", [1, 1])
    group = zarr.open_group(path, mode="r+")
    facts = dict(group.attrs["ome"])
    facts["multiscales"][0]["axes"] = ["x"]
    group.attrs["ome"] = facts
    with pytest.raises(ImageError, match="could not be read as OME-Zarr"):
        layer_of(path)
