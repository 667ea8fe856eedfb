"""Models that suit themselves to the size of a photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.base.config import shrinkage
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.explain.dependence import dependence
from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.predict import segment, segment_to_zarr
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.start import begin
from napari_gaussproto.io.images import read_image
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone

USUAL = 96 * 128


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    """Made for photographs of 96 x 128 pixels."""
    return tiny_model(photo_pixels=USUAL)


@pytest.mark.parametrize(
    ("pixels", "factor"), [(1, 1), (1_500_000, 1), (3_300_000, 1), (3_500_000, 2), (12_000_000, 3)]
)
def test_about_the_usual_pixels_stay(pixels: int, factor: int) -> None:
    assert shrinkage(pixels) == factor


def test_a_larger_photograph_is_seen_smaller(model: PrototypeSegmenter) -> None:
    image, _ = two_tone()
    large = np.kron(image, np.ones((3, 3, 1), np.uint8))
    small, big = segment(image, model), segment(large, model)
    assert big.encoding.partition.outlines()[12].all()  # cells are three times as wide
    assert (big.labels[1::3, 1::3] == small.labels).mean() > 0.95
    assert (big.encoding.latents - small.encoding.latents).abs().max() < 1e-3
    alone = segment(large, model.with_cells(4))
    assert alone.encoding.partition.outlines()[4].all()
    assert model.suited_to(9 * USUAL).config.downsample == 3 and model.config.downsample == 1


def test_tiles_and_explanations_see_the_same(model: PrototypeSegmenter, tmp_path: Path) -> None:
    large = np.kron(two_tone(100, 140)[0], np.ones((2, 2, 1), np.uint8))
    whole = segment(large, model)
    stored = read_image(segment_to_zarr(large, model, tmp_path / "labels.zarr", tile=128))
    assert (np.asarray(stored) == whole.labels).mean() > 0.999


@pytest.mark.parametrize("size", [None, 4, 16])
def test_a_dependence_is_that_of_the_cells_there_are(
    model: PrototypeSegmenter, size: int | None
) -> None:
    large = np.kron(two_tone()[0], np.ones((2, 2, 1), np.uint8))
    chosen = model.with_cells(size)
    found = segment(large, chosen)
    ours, theirs = (dependence(large, one, found, 40, 50) for one in (model, chosen))
    assert found.map_pixel_size == (size or 8) and ours.share.any()
    np.testing.assert_array_equal(ours.share, theirs.share)


def test_a_training_sees_all_photographs_alike(model: PrototypeSegmenter) -> None:
    chosen, _ = begin(model, device="cpu", pixels=4 * USUAL)
    assert chosen.config.downsample == 2 and chosen.config.photo_pixels is None
    again, _ = begin(chosen, device="cpu", pixels=100 * USUAL)
    assert again.config.downsample == 2


def test_a_mosaic_is_taken_as_it_is(model: PrototypeSegmenter) -> None:
    assert model.suited_to(65_000_000).config.downsample == 1


@pytest.mark.parametrize("name", ["plants", "peanut-grid"])
@pytest.mark.parametrize("megapixels", [1, 24, 64])
def test_what_a_fit_of_any_photograph_makes_can_be_kept(
    name: str, megapixels: int, tmp_path: Path
) -> None:
    suited = load_model(name, "cpu").suited_to(megapixels * 1_000_000)
    found = load_model(save_model(suited, tmp_path / "suited"), "cpu")
    assert found.receptive_radius == suited.receptive_radius
    assert found.config.downsample == suited.config.downsample


def test_a_fit_sees_all_its_photographs_alike() -> None:
    image, truth = two_tone()
    images, labels = (
        [one, np.kron(one, np.ones((2, 2) + (1,) * (one.ndim - 2), np.uint8))]
        for one in (image, truth)
    )
    config = tiny_config(photo_pixels=USUAL)
    found = fit(images, labels, config, training=tiny_training(), device="cpu")
    assert found.config.downsample == 2 and found.config.photo_pixels is None


def test_files_keep_it(model: PrototypeSegmenter, tmp_path: Path) -> None:
    found = load_model(save_model(model, tmp_path / "model"), "cpu")
    assert found.config.photo_pixels == USUAL


def test_superpixels_have_their_own_size() -> None:
    with pytest.raises(ConfigError, match="for grids"):
        tiny_config(partition="superpixel", photo_pixels=USUAL)
