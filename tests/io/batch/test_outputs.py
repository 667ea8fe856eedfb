"""Labels in every format are read back as what they were, also by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.io.batch.manifest import Entry
from napari_gaussproto.io.batch.outputs import Outputs, make_folder, write_label_file
from napari_gaussproto.io.images import read_mask
from napari_gaussproto.io.label_files.label_image import Spacing
from napari_gaussproto.io.label_files.ome_zarr import write_ome_zarr
from napari_gaussproto.io.pixel_size import pixel_size_of
from tests.core.builders import tiny_model, two_tone

CLASSES = [
    SegmentationClass(name="soil", color="#999999"),
    SegmentationClass(name="plant", color="#009e73"),
]


def test_a_png_holds_numbers_and_shows_the_colours_of_the_classes(tmp_path: Path) -> None:
    photo, model = two_tone()[0], tiny_model()
    found = segment(photo, model)
    outputs = Outputs.checked("png", maps=False, overview=False)
    entry = Entry(results="a/x", labels="a/x.labels.png")
    about = (tmp_path, "a/x", found.labels, model.classes, outputs, "tiny")
    assert not outputs.are_there(tmp_path, entry)
    assert write_label_file(*about) == []
    assert outputs.are_there(tmp_path, entry)
    path = tmp_path / "a" / "x.labels.png"
    assert np.array_equal(read_mask(path), found.labels)
    with Image.open(path) as picture:
        seen = np.asarray(picture.convert("RGB"))
    for value, entry in enumerate(model.classes, start=1):
        colour = [int(entry.color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (seen[found.labels == value] == colour).all()
    # Labels that somebody changed are kept, the same ones are not.
    assert write_label_file(*about) == []
    Image.fromarray(np.full_like(found.labels, 2)).save(path)
    [note] = write_label_file(*about)
    assert note == "x.labels.png was there and differs: kept as x.labels.former-1.png"
    assert (read_mask(tmp_path / "a" / "x.labels.former-1.png") == 2).all()


def test_an_ome_zarr_is_read_by_its_own_library_with_names_and_colours(tmp_path: Path) -> None:
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    labels = np.random.default_rng(0).integers(0, 3, (700, 530)).astype(np.uint8)
    path = tmp_path / "x.labels.ome.zarr"
    spacing = Spacing((0.5, 0.25), ("millimeter", "millimeter"), (10.0, -2.0))
    write_ome_zarr(path, labels, CLASSES, spacing)
    [node] = list(Reader(parse_url(str(path)))())
    whole, half = node.data
    assert np.array_equal(np.asarray(whole), labels)
    assert np.array_equal(np.asarray(half), labels[::2, ::2])
    assert node.metadata["color"][2] == pytest.approx([0, 158 / 255, 115 / 255, 1])
    assert node.metadata["properties"][1] == {"name": "soil"}
    assert [axis["unit"] for axis in node.metadata["axes"]] == ["millimeter", "millimeter"]
    scales = [level[0]["scale"] for level in node.metadata["coordinateTransformations"]]
    assert scales == [[0.5, 0.25], [1.0, 0.5]]
    moved = [level[1]["translation"] for level in node.metadata["coordinateTransformations"]]
    assert moved == [[10, -2], [10, -2]]


def test_the_size_of_a_pixel_is_kept(tmp_path: Path) -> None:
    labels, size = np.ones((4, 5), np.uint8), PixelSize(0.5, "mm")
    write_label_file(tmp_path, "x", labels, CLASSES, Outputs(), "tiny", pixel_size=size)
    assert pixel_size_of(tmp_path / "x.labels.ome.tif") == size


def test_a_format_that_cannot_be_written_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="“jpeg” is no format of labels: give tiff, png or zarr"):
        Outputs.checked("jpeg", maps=False, overview=False)


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file: choose a folder for the results"):
        make_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be created"):
        make_folder(tmp_path / "file" / "below")
