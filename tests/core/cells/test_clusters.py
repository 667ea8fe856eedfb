"""SLIC's clustering: the nearest centre, and means that fit better with every round."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import slic

from napari_gaussproto.core.cells import clusters
from napari_gaussproto.core.cells.clusters import cluster
from napari_gaussproto.io.field import synthetic_field

SIZE, WEIGHT = 6, 10.0
COLOURS = synthetic_field(66, 90)[0].astype(np.float32) / 2.55


def places(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(range(height), range(width), indexing="ij"), -1) * WEIGHT / SIZE


def scatter(features: np.ndarray, numbers: np.ndarray) -> float:
    """Mean squared distance of pixels to the means of their clusters."""
    whole = np.concatenate([features, places(*features.shape[:2])], -1).reshape(-1, 5)
    flat = numbers.ravel()
    area = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, column) / area for column in whole.T], -1)
    return float(((whole - means[flat]) ** 2).sum(1).mean())


def test_without_rounds_a_pixel_goes_to_the_nearest_of_nine_squares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "ROUNDS", 0)
    colours, size = COLOURS[:65], 5
    found = cluster(colours, size, WEIGHT)
    whole = np.concatenate([colours, places(65, 90) * SIZE / size], -1)
    means = whole.reshape(13, size, 18, size, 5).mean((1, 3))
    for y, x in [(0, 0), (0, 89), (64, 0), (64, 89), (31, 40), (32, 47), (17, 6), (50, 71)]:
        row, column = y // size, x // size
        around = [
            (r, c)
            for r in range(max(0, row - 1), min(13, row + 2))
            for c in range(max(0, column - 1), min(18, column + 2))
        ]
        nearest = min(around, key=lambda at: ((whole[y, x] - means[at]) ** 2).sum())
        assert divmod(found[y, x], 18) == nearest


def test_rounds_bring_pixels_nearer_to_the_means(monkeypatch: pytest.MonkeyPatch) -> None:
    values = []
    for rounds in (0, 1, 3):
        monkeypatch.setattr(clusters, "ROUNDS", rounds)
        values.append(scatter(COLOURS, cluster(COLOURS, SIZE, WEIGHT)))
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize("size", [5, 6])
def test_clusters_are_nearly_those_of_scikit_image(size: int) -> None:
    colours = COLOURS[: 66 // size * size]
    span = float(colours.max() - colours.min())
    how = {"max_num_iter": 5, "convert2lab": False, "enforce_connectivity": False}
    count = colours.shape[0] * colours.shape[1] // size**2
    other = slic(colours, count, WEIGHT / span, start_label=0, channel_axis=2, **how)
    found = cluster(colours, size, WEIGHT)
    assert (found == other).mean() > 0.95
    assert scatter(colours, found) == pytest.approx(scatter(colours, other), rel=0.01)


def test_how_much_is_computed_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cluster(COLOURS[:61, :83], SIZE, WEIGHT)
    monkeypatch.setattr(clusters, "AT_A_TIME", 200)
    assert np.array_equal(cluster(COLOURS[:61, :83], SIZE, WEIGHT), whole)
    assert whole.shape == (61, 83) and whole.dtype == np.int32
