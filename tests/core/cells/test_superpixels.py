"""The superpixel partition, and everything that works on it without knowing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import label as components

from napari_gaussproto import fit, load_model, save_model, segment, segment_to_zarr
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partitioner import Partitioner
from napari_gaussproto.core.cells.superpixels import Superpixels
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.training.samples import CropSampler, prepare
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone

POOLINGS = ["mask_mean", "roi_align", "masked_roi_align"]
SUPERPIXELS = {"partition": "superpixel", "region_size": 8}
# Four regions that are no rectangles, on 10 x 14 shrunk pixels of an image of 19 x 27.
REGIONS = np.zeros((10, 14), np.int32)
REGIONS[:, 6:] = 1
REGIONS[4:, 3:9] = 2
REGIONS[8:, 9:] = 3


def partition(pooling: Any = "mask_mean", shrink: int = 2) -> Superpixels:
    shape = (10 * shrink - shrink // 2, 14 * shrink - shrink // 2)
    return Superpixels(shape, REGIONS, shrink=shrink, stride=4, region_size=6, pooling=pooling)


@pytest.mark.parametrize("size", [(3, 4), (4, 5), (7, 8)])
def test_mask_mean_is_the_mean_over_the_regions_pixels(size: tuple[int, int]) -> None:
    features = torch.randn(5, *size, generator=torch.Generator().manual_seed(0))
    upsampled = torch.nn.functional.interpolate(features[None], scale_factor=4, mode="bilinear")
    pixels = upsampled[0, :, :10, :14]
    pooled = partition().features(features)
    for cell in range(4):
        expected = pixels[:, torch.from_numpy(cell == REGIONS)].mean(1)
        torch.testing.assert_close(pooled[cell], expected)


def test_bands_do_not_change_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(3, 3, 4)
    whole = partition().features(features)
    monkeypatch.setattr("napari_gaussproto.core.cells.superpixels.PAINT_PIXELS", 14 * 3)
    torch.testing.assert_close(partition().features(features), whole)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_differentiable(pooling: str) -> None:
    features = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    cut = partition(pooling)
    assert torch.autograd.gradcheck(cut.features, (features,))
    assert torch.autograd.gradcheck(cut.latents, (features,), atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_constant_map_gives_constant_features(pooling: str) -> None:
    features = torch.full((3, 3, 4), 2.5)
    pooled = partition(pooling).features(features)
    torch.testing.assert_close(pooled, torch.full((4, 3), 2.5))


def test_a_masked_box_sees_less_of_its_neighbours_than_a_box() -> None:
    # Region 0 lies left, in an L around region 2, which fills the lower right of its box; a
    # feature that is on there must count little.
    features = torch.zeros(1, 3, 4)
    features[:, 1:, 1:] = 1
    leak = {p: float(partition(p).features(features)[0, 0]) for p in POOLINGS}
    assert leak["masked_roi_align"] < leak["roi_align"]
    assert leak["mask_mean"] < leak["roi_align"]


def test_targets_are_histograms_weighted_by_area() -> None:
    cut = partition()
    labels = torch.zeros(19, 27, dtype=torch.uint8)
    labels[:8, :12] = 1
    labels[:, 20:] = 2
    full = REGIONS.repeat(2, 0).repeat(2, 1)[:19, :27]
    target, weight = cut.targets(labels, 2)
    for cell in range(4):
        own = labels.numpy()[full == cell]
        counts = np.bincount(own, minlength=3)[1:]
        assert weight[cell] == pytest.approx(counts.sum() / 12**2)
        np.testing.assert_allclose(target[cell], counts / max(1, counts.sum()))


@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_areas_count_pixels_of_the_image(shrink: int) -> None:
    cut = partition(shrink=shrink)
    height, width = cut.shape
    full = REGIONS.repeat(shrink, 0).repeat(shrink, 1)[:height, :width]
    assert cut.areas.tolist() == np.bincount(full.ravel()).tolist()


def test_values_are_painted_where_their_region_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = partition()
    values = torch.arange(4.0)[:, None]
    full = REGIONS.repeat(2, 0).repeat(2, 1)[:19, :27]
    np.testing.assert_array_equal(cut.to_map(values)[0], REGIONS)
    monkeypatch.setattr("napari_gaussproto.core.cells.superpixels.PAINT_PIXELS", 60)
    np.testing.assert_array_equal(cut.to_pixels(values)[0], full)
    for cell in range(4):
        y, x = cut.center(cell)
        assert cut.cell_at(y, x) == cell
        y0, x0, mask = cut.cell_mask(cell)
        painted = np.zeros((19, 27), bool)
        painted[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] = mask
        np.testing.assert_array_equal(painted, full == cell)


def test_crops_carry_their_regions_and_none_is_empty() -> None:
    config = tiny_config(**SUPERPIXELS)
    image, labels = two_tone()
    data = prepare([image], [labels], config)
    sampler = CropSampler(data, 2, 64, tiny_training().augmentation, seed=0)
    crops = sampler.batch(3, 4)
    whole = data[0].guide[0].numpy()
    majority = {n: np.bincount(labels[whole == n], minlength=3).argmax() for n in np.unique(whole)}
    for label, guide in zip(crops.labels, crops.guides, strict=True):
        cut = Partitioner(config).crop((64, 64), guide)
        assert np.bincount(cut.regions.ravel()).min() > 0
        # A region's labels came along with it: its pixels have its former majority class.
        inside = (guide[0] > 0).numpy() & (label > 0).numpy()
        expected = np.vectorize(majority.get)(guide[0].numpy()[inside])
        assert (expected == label.numpy()[inside]).mean() > 0.93


@pytest.mark.parametrize("size", [(97, 131), (200, 140)])
def test_tiles_agree_with_the_whole(size: tuple[int, int], tmp_path: Path) -> None:
    model = tiny_model(**SUPERPIXELS, downsample=2)
    model.receptive_radius = 64
    image, _ = two_tone(*size)
    whole = segment(image, model, tile=None).labels
    tiled = segment(image, model, tile=64).labels
    assert (whole == tiled).mean() >= 0.999
    import zarr

    path = segment_to_zarr(image, model, tmp_path / "labels.zarr", tile=64)
    streamed = zarr.open_array(str(path))[:]
    assert streamed.shape == size and streamed.min() >= 1
    assert (whole == streamed).mean() >= 0.995


def test_a_model_is_trained_saved_and_used_like_any_other(tmp_path: Path) -> None:
    images, labels = zip(*(two_tone(seed=s) for s in range(2)), strict=True)
    model = fit(images, labels, tiny_config(**SUPERPIXELS), training=tiny_training())
    again = load_model(save_model(model, tmp_path / "model"), "cpu")
    result, expected = segment(images[0], again), segment(images[0], model)
    assert (result.labels == expected.labels).mean() > 0.99
    assert sum(result.cover().values()) == pytest.approx(1)
    responsibility = sum(result.responsibility(m) for m in range(len(result.prototypes)))
    np.testing.assert_allclose(responsibility, 1, atol=1e-5)
    assert result.likelihood(0, cells=True).shape == (96, 128)
    assert all(len(p.patches) for p in again.prototypes)


def test_gradients_reach_the_backbone() -> None:
    model = tiny_model(**SUPERPIXELS)
    image, _ = two_tone()
    source = as_source(image, model)
    cut = run(model.partitioner.steps(source))
    pixels = source.read(0, 0, 96, 128)[None]
    loss = model.layer(cut.latents(model.extract(pixels)[0]))[:, 0].sum()
    loss.backward()
    first = next(model.extractor.backbone.parameters())
    assert first.grad is not None and float(first.grad.abs().sum()) > 0


def test_regions_are_computed_once_an_image() -> None:
    model = tiny_model(**SUPERPIXELS)
    source = as_source(two_tone()[0], model)
    assert model.partition(source).regions is model.partition(source).regions


def test_outlines_are_one_pixel_wide_and_close_every_region() -> None:
    lines = partition(shrink=1).outlines()
    two_wide = lines[:, :-1] & lines[:, 1:] & lines[:, :-1]
    row = lines[1, :]
    assert row.sum() == 1 and row[5]  # between region 0 and 1
    assert not two_wide[1].any()
    whole = components(np.where(lines, -1, REGIONS), connectivity=1, background=-1)
    for part in np.unique(whole[whole > 0]):
        assert len(np.unique(REGIONS[whole == part])) == 1


def test_cells_of_a_window_are_those_of_the_image() -> None:
    image, _ = two_tone()
    model = tiny_model(**SUPERPIXELS)
    whole = model.partition(as_source(image, model))
    features = torch.randn(5, 24, 32, generator=torch.Generator().manual_seed(0))
    window = whole.window(16, 32, 80, 112)
    assert window.shape == (64, 80) and window.n_cells < whole.n_cells
    pooled, expected = window.features(features[:, 4:20, 8:28]), whole.features(features)
    for y, x in ((48, 72), (40, 60), (56, 90)):
        here = window.cell_at(y - 16, x - 32)
        torch.testing.assert_close(pooled[here], expected[whole.cell_at(y, x)])
