"""Measuring tile by tile, against the whole image at once and against scikit-image."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table

from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.areas import area_table, table_of_counts
from napari_gaussproto.core.measure.objects import object_table, table_of
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.tiled import tiled_pieces
from napari_gaussproto.core.model.predict import segment, segmented_tiles
from tests.core.builders import tiny_model


def _picture() -> tuple[np.ndarray, np.ndarray]:
    """Noise of some size, and labels of three kinds in pieces of all sizes and shapes."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 3, (40, 52)).repeat(7, 0).repeat(7, 1)
    labels = blocks[:271, :363].astype(np.uint8)
    labels[rng.random(labels.shape) < 0.02] = 1
    return rng.integers(0, 255, (*labels.shape, 3)).astype(np.uint8), labels


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("least", [1, 40])
def test_tiles_give_what_the_whole_image_gives(tmp_path: Path, given: bool, least: int) -> None:
    image, labels = _picture()
    model = tiny_model()
    whole = segment(image, model, tile=None)
    half = np.zeros(labels.shape, np.bool_)
    half[:, :150] = True
    regions = {"left": RegionMask(half), "right": RegionMask(~half)}
    # Instances need not be connected, and one has pixels in all corners.
    instances = np.where(labels == 2, 5, np.where(labels == 1, components(labels) + 9, 0))
    pieces = large_enough(instances, least) if given else components(labels, least)
    expected = object_table(pieces, labels, whole.classes, whole, None, regions)
    names = [entry.name for entry in whole.prototypes]
    source = ImageSource.from_array(image, 3)
    with tiled_pieces(labels.shape, 2, list(regions), least, tmp_path) as made:
        for tile, at, found in segmented_tiles(source, model, 96):
            area = (tile.y0, tile.x0, tile.y1, tile.x1)
            own = (slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
            parts = {name: RegionMask(region.mask[own]) for name, region in regions.items()}
            ids = instances[own] if given else None
            start = (at[0].start, at[1].start)
            made.add(area, labels[own], found, start, parts, ids)
        numbers, sums = made.end()
    table = table_of(sums, numbers, whole.classes, names, None, list(regions))
    said = ["confidence", "novelty", "prototype", "likelihood"]
    pd.testing.assert_frame_equal(table.drop(columns=said), expected.drop(columns=said))
    # What the network says differs a little where it does not see beyond a tile's surroundings;
    # and novelty, before a training, compares with the cells of the tile.
    for name in ("confidence", "likelihood", "novelty"):
        assert abs(table[name] - expected[name]).mean() < 0.01
        np.testing.assert_allclose(table[name], expected[name], atol=0.15)
    assert (table["prototype"] == expected["prototype"]).mean() > 0.9
    areas = table_of_counts(made.counts, whole.classes, list(regions))
    pd.testing.assert_frame_equal(areas, area_table(labels, whole.classes, regions))
    assert not any(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    peaks = []
    tile = _picture()[1][:256, :256]
    for rows in (8, 32):
        tracemalloc.start()
        with tiled_pieces((256 * rows, 1024), 2, [], 200, tmp_path) as made:
            for y in range(0, 256 * rows, 256):
                for x in range(0, 1024, 256):
                    made.add((y, x, y + 256, x + 256), tile, None, (0, 0), {})
            assert len(made.end()[0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Four times the pixels; sums of what lies at the borders of tiles stay.
    assert peaks[1] < 1.2 * peaks[0]


def test_sizes_and_shapes_are_those_of_scikit_image() -> None:
    _, labels = _picture()
    pieces = components(labels)
    table = object_table(pieces, labels, tiny_model().classes)
    names = ("area", "perimeter", "eccentricity", "centroid")
    known = regionprops_table(pieces, properties=names)
    ours = ("area_px", "perimeter_px", "eccentricity", "y_px", "x_px")
    theirs = ("area", "perimeter", "eccentricity", "centroid-0", "centroid-1")
    for own, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(table[own], known[their], atol=1e-6)
