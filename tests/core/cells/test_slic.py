"""Region maps: whole, connected, deterministic, and the same however an image is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label as components
from skimage.segmentation import find_boundaries

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells import slic
from napari_gaussproto.core.cells.slic import SlicSettings, consecutive, region_map_steps
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.io.field import synthetic_field

FIELD = synthetic_field(310, 430)[0]
SETTINGS = SlicSettings(size=8, compactness=10.0, shrink=2)


def source(array: np.ndarray = FIELD, channels: int = 3) -> ImageSource:
    return ImageSource.from_array(array, channels)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(2, 9), st.sampled_from([1, 2, 3]))
def test_every_pixel_has_a_region_and_every_region_is_connected(
    height: int, width: int, size: int, shrink: int
) -> None:
    window = FIELD[40 : 40 + height, 60 : 60 + width]
    regions = run(region_map_steps(source(window), SlicSettings(size, 10.0, shrink)))
    assert regions.shape == (-(-height // shrink), -(-width // shrink))
    count = regions.max() + 1
    assert np.array_equal(np.unique(regions), np.arange(count))
    assert components(regions, connectivity=1, background=-1).max() == count


def test_regions_are_about_as_large_as_asked_for() -> None:
    for size in (4, 8, 16):
        regions = run(region_map_steps(source(), SlicSettings(size, 10.0, 2)))
        assert regions.size / (regions.max() + 1) == pytest.approx(size**2, rel=0.35)


def test_regions_follow_edges() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 29:] = 200
    regions = run(region_map_steps(source(picture), SlicSettings(8, 10.0, 1)))
    left, right = np.unique(regions[:, :29]), np.unique(regions[:, 29:])
    assert not set(left) & set(right)


def test_blocks_continue_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(region_map_steps(source(), SETTINGS))
    monkeypatch.setattr(slic, "BLOCK", 64)
    steps: list[slic.Block] = []
    blocks = run(region_map_steps(source(), SETTINGS), steps.append)
    assert steps[0].total == 3 * 4 and steps[-1].index == 12
    assert len(steps) >= 12 / torch.get_num_threads()
    differing = find_boundaries(whole) != find_boundaries(blocks)
    assert differing.mean() < 0.01
    assert abs(int(whole.max()) - int(blocks.max())) <= 4


@pytest.mark.parametrize("compactness", [1.0, 10.0])
def test_regions_are_connected_across_blocks(
    monkeypatch: pytest.MonkeyPatch, compactness: float
) -> None:
    # With a margin this small, blocks disagree along their seams.
    monkeypatch.setattr(slic, "BLOCK", 64)
    monkeypatch.setattr(slic, "MARGIN", 1)
    regions = run(region_map_steps(source(), SlicSettings(6, compactness, 2)))
    assert components(regions, connectivity=1, background=-1).max() == regions.max() + 1


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(30, 60, 30), (60, 30, 30), (8, 80, 8), (60, 60, 30), (21, 49, 7), (12, 60, 12)],
)
def test_small_images_have_the_regions_that_fit_in(height: int, width: int, size: int) -> None:
    noise = np.random.default_rng(0).integers(80, 100, (height, width, 3)).astype(np.uint8)
    regions = run(region_map_steps(source(noise), SlicSettings(size, 50.0, 1)))
    assert regions.max() + 1 == height * width // size**2


def test_a_window_is_cut_as_the_whole_is() -> None:
    whole = run(region_map_steps(source(), SETTINGS))
    part = run(region_map_steps(source(), SETTINGS, (64, 128, 256, 384)))
    expected = consecutive(whole[32:128, 64:192].astype(np.int64))
    inner = np.s_[16:-16, 16:-16]
    differing = find_boundaries(expected)[inner] != find_boundaries(part)[inner]
    assert part.shape == expected.shape
    assert differing.mean() < 0.01


def test_the_same_image_gives_the_same_regions() -> None:
    first = run(region_map_steps(source(), SETTINGS))
    assert np.array_equal(first, run(region_map_steps(source(), SETTINGS)))


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels: int) -> None:
    window = FIELD[:60, :50]
    array = window[..., 0] if channels == 1 else window[..., [0, 1, 2, 1, 0]]
    regions = run(region_map_steps(source(array, channels), SlicSettings(6, 10.0, 1)))
    assert regions.shape == (60, 50) and regions.max() > 20


def test_a_uniform_image_still_has_regions() -> None:
    regions = run(region_map_steps(source(np.full((48, 48, 3), 90, np.uint8)), SETTINGS))
    assert regions.max() + 1 == 9
