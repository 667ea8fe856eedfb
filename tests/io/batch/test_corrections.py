"""What is drawn on an image is found by the pixels that a viewer showed of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.io.batch.corrections import Corrections
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.reader import read_layers

CLASSES = (
    SegmentationClass(name="soil", color="#8d6e63"),
    SegmentationClass(name="plant", color="#00ff00"),
)
GREY = np.random.default_rng(0).integers(1, 255, (48, 64, 2), np.uint8)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("area", [None, (8, 16, 40, 48)])
def test_grey_with_alpha_that_a_viewer_shows_as_colours(
    tmp_path: Path, area: tuple[int, int, int, int] | None, orientation: int
) -> None:
    path = tmp_path / "grey.png"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(GREY, "LA").save(path, exif=exif)
    [(shown, about, _)] = read_layers(str(path))
    assert about["rgb"] and shown.shape[-1] == 4
    y0, x0, y1, x1 = area or (0, 0, *shown.shape[:2])
    own = np.zeros((y1 - y0, x1 - x0), np.uint8)
    own[3:9, 4:12] = 2
    known = identify(shown[y0:y1, x0:x1], "grey", str(path), area)
    corrections = Corrections(Annotations(CLASSES, (Annotation(known, own),)), CLASSES)
    source = ImageSource.from_array(read_image(path), channels=3)
    found, digest = corrections.of(source, Item(path.name, path))
    assert found is not None and digest
    np.testing.assert_array_equal(found[y0:y1, x0:x1], own)


def test_other_pixels_of_the_same_size_are_no_such_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "bands.tif", GREY[::-1], planarconfig="contig")
    known = identify(GREY[..., [0, 0, 0, 1]], "grey")
    drawn = Annotation(known, np.ones(GREY.shape[:2], np.uint8))
    source = ImageSource.from_array(read_image(tmp_path / "bands.tif"), channel_axis=2)
    assert Corrections(Annotations(CLASSES, (drawn,)), CLASSES).of(source) == (None, "")
