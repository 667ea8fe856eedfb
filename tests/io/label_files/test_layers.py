"""Label layers go to files and come back with scale, units, names and colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Labels
from npe2 import PluginManager
from npe2.io_utils import write_get_writer
from PIL import Image
from tifffile import TiffFile, xml2dict

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError, LabelError
from napari_gaussproto.core.labels.class_table import label_colors, label_names
from napari_gaussproto.io.label_files import layers
from napari_gaussproto.io.label_files.ome_zarr import read_ome_zarr
from napari_gaussproto.io.ome import read_label_image
from napari_gaussproto.io.pixel_size import pixel_size_of
from napari_gaussproto.io.reader import read_layers
from tests.io.test_geo import SCALE, TIE, geotiff

CLASSES = [
    SegmentationClass(name="soil", color="#999999"),
    SegmentationClass(name="plant", color="#009e73"),
]
VALUES = np.random.default_rng(0).integers(0, 3, (600, 530)).astype(np.uint8)


def layer(values: np.ndarray = VALUES, **more: Any) -> Labels:
    about = {"colormap": label_colors(CLASSES), "features": label_names(CLASSES)}
    return Labels(values, name="x", **{**about, **more})


def check_same(found: Labels, written: Labels, unit: str) -> None:
    assert np.array_equal(found.data, written.data)
    assert tuple(found.scale) == tuple(written.scale)
    assert str(found.units[-1]) == unit
    assert list(found.features["class"]) == ["not labelled", "soil", "plant"]
    for value in (1, 2):
        assert np.allclose(found.get_color(value), written.get_color(value))


@pytest.fixture
def plugins() -> PluginManager:
    manager = PluginManager.instance()
    manager.discover()
    return manager


@pytest.mark.parametrize("unit", ["millimeter", "micrometer", "pixel"])
@pytest.mark.parametrize("shape", [(60, 53), (3, 60, 53)])
def test_ome_tiff_round_trip(
    tmp_path: Path, plugins: PluginManager, unit: str, shape: tuple[int, ...]
) -> None:
    scale = (5.0, 0.25, 0.5)[-len(shape) :]
    values = VALUES.ravel()[: np.prod(shape)].reshape(shape)
    written = layer(values, scale=scale, units=(unit,) * len(shape))
    path = str(tmp_path / "x.ome.tif")
    assert write_get_writer(path, [written.as_layer_data_tuple()])[1]
    [(data, about, kind)] = read_layers(path)
    assert kind == "labels" and about["name"] == "x"
    check_same(Labels(data, **about), written, unit)


def test_ome_tiff_says_the_size_of_square_pixels(tmp_path: Path) -> None:
    data, about, _ = layer(scale=(0.5, 0.5), units=("mm", "mm")).as_layer_data_tuple()
    [path] = layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, about)
    size = pixel_size_of(path)
    assert size is not None and (size.side, size.unit) == (0.5, "mm")


@pytest.mark.parametrize("shape", [(600, 530), (2, 300, 530)])
def test_ome_zarr_round_trip(tmp_path: Path, plugins: PluginManager, shape: Any) -> None:
    scale, moved = (5.0, 0.25, 0.5)[-len(shape) :], (10.0, 3.0, -2.5)[-len(shape) :]
    about = {"scale": scale, "translate": moved, "units": ("mm",) * len(shape)}
    written = layer(VALUES.reshape(shape), **about)
    path = str(tmp_path / "x.ome.zarr")
    assert write_get_writer(path, [written.as_layer_data_tuple()])[1]
    read = layers.get_zarr_reader(path)
    assert read is not None
    [(data, about, _)] = read(path)
    check_same(Labels(data, **about), written, "millimeter")
    assert tuple(Labels(data, **about).translate) == moved


@pytest.mark.parametrize("unit", ["pixel", "mm", "um"])
@pytest.mark.parametrize("shape", [(600, 530), (2, 300, 530), (2, 3, 100, 530)])
def test_ome_tiff_says_where_a_layer_lies(tmp_path: Path, shape: Any, unit: str) -> None:
    scale, moved = (7.0, 5.0, 0.25, 0.5)[-len(shape) :], (9.0, 10.0, 3.0, -2.5)[-len(shape) :]
    about = {"scale": scale, "translate": moved, "units": (unit,) * len(shape)}
    data, known, _ = layer(VALUES.reshape(shape), **about).as_layer_data_tuple()
    [path] = layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, known)
    [(data, known, _)] = read_layers(path)
    read = Labels(data, **known)
    # When a series begins, and its steps, are not told.
    expected = [(0.0, *moved[1:]), (1.0, *scale[1:])] if len(shape) == 4 else [moved, scale]
    assert [tuple(read.translate), tuple(read.scale)] == expected
    with TiffFile(path) as file:
        pixels = xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    planes = pixels["Plane"] if isinstance(pixels["Plane"], list) else [pixels["Plane"]]
    assert {(plane["PositionY"], plane["PositionX"]) for plane in planes} == {(3.0, -2.5)}
    if len(shape) == 3:
        assert [plane["PositionZ"] for plane in planes] == [10.0, 15.0]


def test_ome_tiff_of_a_layer_that_was_not_moved_is_as_before(tmp_path: Path) -> None:
    data, known, _ = layer(scale=(0.5, 0.5), units=("mm", "mm")).as_layer_data_tuple()
    [path] = layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, known)
    with TiffFile(path) as file:
        assert "Position" not in file.ome_metadata
    assert "translate" not in read_layers(path)[0][1]


def test_where_a_layer_lies_is_kept_or_said(tmp_path: Path) -> None:
    shift = np.array([[2.0, 0, 10], [0, 2, 20], [0, 0, 1]])
    moved = layer(scale=(0.5, 0.25), translate=(3, 4), affine=shift)
    data, about, _ = moved.as_layer_data_tuple()
    [path] = layers.write_layer_as_zarr(str(tmp_path / "x.zarr"), data, about)
    spacing = read_ome_zarr(Path(path)).spacing
    assert spacing.steps == (1, 0.5) and spacing.origin == (16, 28)
    for how in ({"rotate": 30}, {"shear": [0.2]}):
        data, about, _ = layer(scale=(0.5, 0.25), **how).as_layer_data_tuple()
        with pytest.warns(UserWarning, match="is rotated or sheared, which a file"):
            layers.write_layer_as_zarr(str(tmp_path / "turned.zarr"), data, about)
        assert read_ome_zarr(tmp_path / "turned.zarr").spacing.steps == (0.5, 0.25)


@pytest.mark.parametrize("leading", [(3,), (3, 2)])
@pytest.mark.parametrize("unit", ["second", "hour", "microsecond"])
def test_steps_in_time_are_kept(tmp_path: Path, leading: tuple[int, ...], unit: str) -> None:
    values = np.arange(np.prod(leading) * 63).reshape(*leading, 7, 9) % 3
    depth = len(leading) - 1
    scale = (30, *(2,) * depth, 0.5, 0.5)
    units = (unit, *("micrometer",) * (depth + 2))
    data, about, _ = layer(values, scale=scale, units=units).as_layer_data_tuple()
    tiff = Path(layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, about)[0])
    folder = Path(layers.write_layer_as_zarr(str(tmp_path / "x.zarr"), data, about)[0])
    for found in (read_label_image(tiff), read_ome_zarr(folder)):
        assert np.array_equal(found.values, values)
        assert found.spacing.steps == scale and found.spacing.units == units
    with tifffile.TiffFile(tiff) as file:
        assert file.series[0].axes == ("TZYX" if depth else "TYX")
        assert 'TimeIncrement="30' in str(file.ome_metadata)
    [about, *_] = zarr.open_group(str(folder), mode="r").attrs["ome"]["multiscales"]
    assert about["axes"][0] == {"name": "t", "type": "time", "unit": unit}


def test_an_ome_zarr_of_another_program_has_what_it_says(tmp_path: Path) -> None:
    """As version 0.4 of the format has it: nothing but colours, and no unit."""
    group = zarr.open_group(str(tmp_path / "x.zarr"), mode="w")
    group.create_array("0", data=VALUES)
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["image-label"] = {"colors": [{"label-value": 2, "rgba": [0, 158, 115, 255]}]}
    found = read_ome_zarr(tmp_path / "x.zarr")
    assert [(c.name, c.color) for c in found.classes] == [
        ("label 1", "#7f7f7f"),
        ("label 2", "#009e73"),
    ]
    assert found.spacing.steps == (1, 1) and found.spacing.units == ("pixel", "pixel")
    # What it says of all levels comes after what it says of each.
    level = [{"type": "scale", "scale": [2, 2]}, {"type": "translation", "translation": [1, 3]}]
    whole = [{"type": "scale", "scale": [0.25, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": level}]
    about = {"axes": axes, "datasets": datasets, "coordinateTransformations": whole}
    group.attrs["multiscales"] = [about]
    found = read_ome_zarr(tmp_path / "x.zarr")
    assert found.spacing.steps == (0.5, 1) and found.spacing.origin == (0.25, 1.5)
    zarr.open_group(str(tmp_path / "photo.zarr"), mode="w").create_array("0", data=VALUES)
    assert layers.get_zarr_reader(str(tmp_path / "photo.zarr")) is None
    with pytest.raises(ImageError, match="is no OME-Zarr of labels"):
        read_ome_zarr(tmp_path / "photo.zarr")


def test_other_formats_hold_numbers_names_and_colours(
    tmp_path: Path, plugins: PluginManager
) -> None:
    written = layer(VALUES[:40, :50]).as_layer_data_tuple()
    for name in ("x.labels.png", "x.coco.json", "x.geojson"):
        _, writer = write_get_writer(str(tmp_path / name), [written])
        assert writer.command.startswith("napari-gaussproto.write_")
    with Image.open(tmp_path / "x.labels.png") as picture:
        assert np.array_equal(np.asarray(picture), written[0])
        assert picture.getpalette()[6:9] == [0, 158, 115]
    coco = json.loads((tmp_path / "x.coco.json").read_text("utf-8"))
    assert coco["images"][0]["file_name"] == "x" and coco["categories"][1]["name"] == "plant"
    geojson = json.loads((tmp_path / "x.geojson").read_text("utf-8"))
    assert {f["properties"]["class"] for f in geojson["features"]} == {"soil", "plant"}


def test_a_layer_without_names_gets_numbers_and_keeps_its_colours(tmp_path: Path) -> None:
    plain = Labels(VALUES)
    data, about, _ = plain.as_layer_data_tuple()
    [path] = layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, about)
    [(_, found, _)] = read_layers(path)
    assert list(found["features"]["class"]) == ["not labelled", "label 1", "label 2"]
    assert np.allclose(Labels(data, **found).get_color(2), plain.get_color(2), atol=1 / 255)


def test_instances_are_numbers_without_classes(tmp_path: Path) -> None:
    numbers = np.arange(40 * 50).reshape(40, 50)
    data, about, _ = Labels(numbers).as_layer_data_tuple()
    [path] = layers.write_layer_as_tiff(str(tmp_path / "x.ome.tif"), data, about)
    [(found, about_found, kind)] = read_layers(path)
    assert kind == "labels" and np.array_equal(found, numbers) and "features" not in about_found
    with pytest.raises(LabelError, match="whole numbers from 0 to 65535"):
        layers.write_layer_as_png(str(tmp_path / "x.png"), data + 70000, about)
    with pytest.raises(LabelError, match="this format holds one plane: save it as OME-TIFF"):
        layers.write_layer_as_png(str(tmp_path / "x.png"), data[None], about)


def test_labels_of_a_geotiff_are_saved_where_they_lie(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif", SCALE, TIE)
    placed = layer(VALUES[:40, :48], metadata={layers.FILE: str(path)})
    data, about, _ = placed.as_layer_data_tuple()
    layers.write_layer_as_geojson(str(tmp_path / "x.geojson"), data, about)
    assert "EPSG::25832" in (tmp_path / "x.geojson").read_text("utf-8")
