"""Tiles: the plan, agreement with the whole image, memory, and very large images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import plan, round_up
from napari_gaussproto.core.model import encode
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import (
    segment,
    segment_steps,
    segment_to_zarr,
    segment_to_zarr_steps,
)
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.io.field import synthetic_field, synthetic_field_dask
from napari_gaussproto.io.samples import sample_photo
from tests.core.builders import tiny_model, two_tone


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 200), st.integers(0, 100))
def test_cores_cover_every_pixel_once(height: int, width: int, side: int, halo: int) -> None:
    seen = np.zeros((round_up(height, 32), round_up(width, 32)), int)
    for w in plan(height, width, side, halo, 32):
        seen[w.core_y0 : w.core_y1, w.core_x0 : w.core_x1] += 1
        assert w.y0 <= w.core_y0 < w.core_y1 <= w.y1 <= seen.shape[0]
        assert w.x0 <= w.core_x0 < w.core_x1 <= w.x1 <= seen.shape[1]
        assert all(v % 32 == 0 for v in (w.y0, w.x0, w.y1, w.x1, w.core_y0, w.core_x0))
        assert w.y0 == 0 or w.core_y0 - w.y0 >= halo
    assert (seen == 1).all()


@pytest.fixture(scope="module")
def shipped() -> PrototypeSegmenter:
    return load_model("peanut-grid", device="cpu")


@pytest.mark.parametrize(("height", "width", "tile"), [(720, 960, 256), (613, 857, 200)])
def test_tiled_and_untiled_labels_agree(
    shipped: PrototypeSegmenter, height: int, width: int, tile: int
) -> None:
    photo = sample_photo("peanut_0286")[:height, :width]
    whole = segment(photo, shipped, tile=None)
    tiled = segment(photo, shipped, tile=tile)
    assert whole.labels.shape == tiled.labels.shape == (height, width)
    assert (whole.labels == tiled.labels).mean() >= 0.999


def test_tiled_and_untiled_labels_agree_on_a_drawn_field(shipped: PrototypeSegmenter) -> None:
    # Sharp textures that no photograph has: here a halo of 448 pixels was too narrow.
    field = synthetic_field(1000, 1000, seed=1)[0]
    tiled, whole = (segment(field, shipped, tile=tile).labels for tile in (256, None))
    assert (tiled == whole).mean() >= 0.999


def test_streamed_labels_agree_with_labels_in_memory(
    shipped: PrototypeSegmenter, tmp_path: Path
) -> None:
    photo = sample_photo("peanut_0090")[:501, :733]
    whole = segment(photo, shipped, tile=256)
    for follow in (False, True):
        path = tmp_path / f"{follow}.zarr"
        run(segment_to_zarr_steps(photo, shipped, path, tile=256, follow_edges=follow))
        stored = zarr.open_array(str(path), mode="r")
        same = stored[:] == whole.with_outlines(follow).labels
        # What is flat is told by the variance of the image, of which a tile knows its window.
        assert same.mean() > 0.9999 if follow else same.all()
    names = [c["name"] for c in stored.attrs["napari-gaussproto"]["classes"]]
    assert names == ["soil", "crop", "weed"]


def test_labels_replace_nothing_but_labels(tmp_path: Path) -> None:
    image, model = two_tone()[0], tiny_model()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="another name"):
        segment_to_zarr(image, model, photos)
    assert (photos / "a.jpg").read_bytes() == b"x"
    stored = zarr.create_array(store=str(tmp_path / "p.zarr"), shape=image.shape, dtype="uint8")
    stored[:] = image
    with pytest.raises(ConfigError, match="no labels of this program"):
        segment_to_zarr(image, model, tmp_path / "p.zarr")
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "p.zarr"))[:], image)
    for place in (tmp_path / "p.zarr", tmp_path / "p.zarr" / "labels"):
        with pytest.raises(ConfigError, match="the image itself"):
            segment_to_zarr(stored, model, place)
    assert {entry.name for entry in tmp_path.iterdir()} == {"photos", "p.zarr"}


def test_former_labels_stay_until_the_new_ones_are_complete(tmp_path: Path) -> None:
    image, model = two_tone(128, 96)[0], tiny_model()
    path = segment_to_zarr(image, model, tmp_path / "labels.zarr")
    former = zarr.open_array(str(path), mode="r")[:]

    def stop(done: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_to_zarr(image[:64], model, path, tile=32, progress=stop)
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.zarr"]
    np.testing.assert_array_equal(zarr.open_array(str(path), mode="r")[:], former)
    segment_to_zarr(image[:64], model, path, tile=32)
    assert zarr.open_array(str(path), mode="r").shape == (64, 96)
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.zarr"]


def test_a_source_of_other_channels_is_refused() -> None:
    source = ImageSource.from_array(np.zeros((64, 64, 5), np.uint8))
    with pytest.raises(ImageError, match="5 channels"):
        segment(source, tiny_model())


@pytest.mark.parametrize("axis", [0, -1])
def test_channels_first_and_last_are_one_picture(axis: int) -> None:
    image = np.random.default_rng(0).random((40, 56, 5), np.float32)
    model = tiny_model(channels=5)
    expected = segment(image, model).labels
    placed = np.moveaxis(image, -1, axis)
    assert np.array_equal(segment(placed, model).labels, expected)
    assert np.array_equal(segment(placed, model, channel_axis=axis).labels, expected)
    with pytest.raises(ImageError, match="has 5 channels, the model was made for 3"):
        segment(placed, tiny_model())


def test_an_axis_that_is_named_overrules_the_shape() -> None:
    image = np.random.default_rng(0).random((3, 40, 3), np.float32)
    model = tiny_model()
    assert segment(image, model).labels.shape == (3, 40)
    assert segment(image, model, channel_axis=0).labels.shape == (40, 3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (33, 31), (32, 64)])
def test_images_of_any_size(shape: tuple[int, int]) -> None:
    assert segment(two_tone(*shape)[0], tiny_model()).labels.shape == shape


def test_one_step_a_tile_and_the_result_at_the_end() -> None:
    model = tiny_model()
    model.receptive_radius = 32
    steps = segment_steps(two_tone(128, 160)[0], model, tile=64)
    done = [next(steps) for _ in range(6)]
    assert [tile.index for tile in done] == [1, 2, 3, 4, 5, 6]
    assert {tile.total for tile in done} == {6}
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value.labels.shape == (128, 160)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("x"),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
        MemoryError("Unable to allocate 9 GiB for an array"),
    ],
)
def test_out_of_memory_halves_the_tile_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model = tiny_model()
    model.receptive_radius = 32
    image = two_tone(256, 320)[0]
    expected = segment(image, model, tile=64).labels
    maps = model.extractor.maps_and_context
    sizes = []

    def limited(pixels: torch.Tensor) -> list[torch.Tensor]:
        sizes.append(max(pixels.shape[-2:]))
        if sizes[-1] > 128:
            raise error
        return maps(pixels)

    monkeypatch.setattr(model.extractor, "maps_and_context", limited)
    np.testing.assert_array_equal(segment(image, model, tile=None).labels, expected)
    assert max(sizes) > 128 and sizes[-1] <= 128


def test_memory_that_is_never_enough_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()

    def never(pixels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(model.extractor, "maps_and_context", never)
    with pytest.raises(ConfigError, match="Memory is too short"):
        segment(two_tone()[0], model)


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()

    def broken(pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(model.extractor, "maps_and_context", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        segment(two_tone()[0], model)


def test_little_memory_means_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    model.receptive_radius = 32
    image = two_tone(512, 512)[0]
    assert len(list(segment_steps(image, model))) == 1
    monkeypatch.setattr(encode, "free_memory", lambda device: 8 * 480 * 200**2)
    assert len(list(segment_steps(image, model))) > 1


def test_only_windows_of_a_lazy_image_are_computed() -> None:
    image, _ = synthetic_field_dask(1024, 1024, chunk=256)
    model = tiny_model()
    model.receptive_radius = 32
    steps = segment_steps(image, model, tile=256)
    assert next(steps).total == 16  # a whole 1024 x 1024 image was not asked for


@pytest.mark.parametrize("tile", [0, -5])
def test_impossible_tiles_are_refused(tile: int) -> None:
    with pytest.raises(ConfigError, match="tile"):
        segment(two_tone()[0], tiny_model(), tile=tile)


def test_effective_radius_of_known_networks() -> None:
    pointwise = torch.nn.Conv2d(3, 4, 1, stride=32)
    wide = torch.nn.Conv2d(3, 4, 9, stride=32, dilation=16, padding=64)  # 64 px far, by nine rows
    assert effective_radius(pointwise, 3, 32) == 32
    assert 32 < effective_radius(wide, 3, 32) <= 96


@pytest.mark.parametrize(("far", "least"), [(64, 48), (128, 96), (256, 192)])
def test_effective_radius_of_fine_networks_that_look_far(far: int, least: int) -> None:
    """The first image reaches 128 px from its middle."""
    wide = torch.nn.Conv2d(3, 4, 9, stride=8, dilation=far // 4, padding=far)
    assert least < effective_radius(wide, 3, 8) <= far + 8


def test_effective_radius_of_a_network_that_sees_everything() -> None:
    local = torch.nn.Conv2d(3, 4, 1, stride=8)
    assert effective_radius(lambda image: local(image) * image.mean(), 3, 8) == 512
