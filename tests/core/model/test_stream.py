"""Labels of large images fill in tile by tile: where one looks first, and going on after a stop."""

from __future__ import annotations

import errno
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging import label_pyramid
from napari_gaussproto.core.imaging.label_pyramid import LabelPyramid, NewLabels, open_pyramid
from napari_gaussproto.core.imaging.tiles import Focus
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import plane_sources
from napari_gaussproto.core.model.stream import stream_steps
from tests.core.builders import tiny_model, two_tone

SIDE = 128


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    made = tiny_model()
    made.receptive_radius = 32
    return made


def opened(folder: Path, model: PrototypeSegmenter, shape: tuple[int, ...], **more: Any) -> Any:
    about = {"image": "a", "work": "b"} | more
    return open_pyramid(folder, "field", NewLabels(shape, model.classes, about, SIDE))


@pytest.fixture
def field(model: PrototypeSegmenter, tmp_path: Path) -> Callable[[], LabelPyramid]:
    return lambda: opened(tmp_path, model, (1300, 700))


IMAGE = two_tone(1300, 700)[0]


def steps_of(model: PrototypeSegmenter, labels: LabelPyramid, focus: Focus | None = None) -> Any:
    sources = plane_sources(IMAGE, model, rgb=True)
    return stream_steps(sources, model, labels, focus or Focus())


def test_all_levels_are_those_of_the_image(
    model: PrototypeSegmenter, field: Callable[[], LabelPyramid]
) -> None:
    labels = field()
    run(steps_of(model, labels))
    expected = segment(IMAGE, model, tile=SIDE).labels
    assert [level.shape for level in labels.levels] == [(1300, 700), (650, 350), (325, 175)]
    for number, level in enumerate(labels.levels):
        step = 2**number
        np.testing.assert_array_equal(np.asarray(level[:]), expected[::step, ::step])
    counts = labels.counts.sum((0, 1, 2))
    np.testing.assert_array_equal(counts, np.bincount(expected.ravel(), minlength=3))
    labels.close()


def test_the_folder_is_ome_zarr_with_names_and_colours(
    model: PrototypeSegmenter, field: Callable[[], LabelPyramid]
) -> None:
    labels = field()
    about = dict(zarr.open_group(str(labels.path), mode="r").attrs)["ome"]
    assert about["version"] == "0.5"
    [scales] = about["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["y", "x"]
    assert [d["coordinateTransformations"][0]["scale"] for d in scales["datasets"]] == [
        [1, 1], [2, 2], [4, 4]
    ]  # fmt: skip
    assert [entry["name"] for entry in about["image-label"]["properties"]] == ["soil", "plant"]
    assert about["image-label"]["colors"][0]["rgba"][3] == 255
    labels.close()


def test_what_is_in_view_comes_first_wherever_one_looks(
    model: PrototypeSegmenter, field: Callable[[], LabelPyramid]
) -> None:
    labels, focus = field(), Focus()
    focus.view = (0, (700, 300, 800, 400))
    steps = steps_of(model, labels, focus)
    first = [next(steps).area for _ in range(4)]
    assert {area[:2] for area in first} == {(y, x) for y in (640, 768) for x in (256, 384)}
    focus.view = (0, (0, 0, 50, 50))
    assert next(steps).area[:2] == (0, 0)
    assert next(steps).area[:2] in {(0, 128), (128, 0)}
    labels.close()


def test_a_stop_keeps_what_is_done_and_a_later_run_does_the_rest(
    model: PrototypeSegmenter, field: Callable[[], LabelPyramid], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = field()
    steps = steps_of(model, labels)
    done = [next(steps) for _ in range(5)]
    steps.close()
    labels.close()
    assert (done[-1].done, done[-1].total) == (5, 11 * 6)
    again = field()
    assert again.path == labels.path and again.finished.sum() == 5
    rest = list(steps_of(model, again))
    assert [rest[0].done, rest[0].before, rest[-1].done, len(rest)] == [6, 5, 66, 61]
    np.testing.assert_array_equal(again.levels[0][:], segment(IMAGE, model, tile=SIDE).labels)
    again.close()
    complete = field()
    assert list(steps_of(model, complete)) == []
    complete.close()


def test_other_images_models_and_files_are_left_alone(
    model: PrototypeSegmenter, field: Callable[[], LabelPyramid], tmp_path: Path
) -> None:
    first = field()
    next(steps_of(model, first))
    with pytest.raises(ConfigError, match="Another program is writing"):
        field()
    first.close()
    other = opened(tmp_path, model, (1300, 700), work="another model")
    assert other.path.name == "field-2.labels.ome.zarr" and not other.finished.any()
    other.close()
    (tmp_path / "field-3.labels.ome.zarr").mkdir()
    third = opened(tmp_path, model, (1300, 700), image="another image")
    assert third.path.name == "field-4.labels.ome.zarr"
    third.close()
    again = field()
    assert again.path == first.path and again.finished.sum() == 1
    again.close()
    assert not list(tmp_path.glob(".*"))


def test_a_place_that_cannot_be_written_is_a_sentence(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"cannot be written .* choose another folder"):
        opened(tmp_path / "file", model, (1300, 700))


def test_a_full_disk_keeps_nobody_out_afterwards(
    model: PrototypeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(label_pyramid, "replacing", full)
        with pytest.raises(ConfigError, match="No space left") as kept:
            opened(tmp_path, model, (1300, 700))
    opened(tmp_path, model, (1300, 700)).close()
    assert kept.value.__cause__ is not None and not list(tmp_path.glob(".*"))


def test_little_memory_means_smaller_parts(
    model: PrototypeSegmenter,
    field: Callable[[], LabelPyramid],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, maps = field(), model.extractor.maps

    def limited(pixels: torch.Tensor) -> Any:
        if max(pixels.shape[-2:]) > 160:
            raise torch.OutOfMemoryError("x")
        return maps(pixels)

    monkeypatch.setattr(model.extractor, "maps", limited)
    next(steps_of(model, labels))
    monkeypatch.undo()
    expected = segment(IMAGE, model, tile=SIDE // 2).labels[:SIDE, :SIDE]
    np.testing.assert_array_equal(labels.levels[0][:SIDE, :SIDE], expected)
    labels.close()


def test_planes_of_a_stack_on_disk_are_read_by_windows(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    stack = np.stack([two_tone(300, 200, seed)[0] for seed in range(3)])
    stored = zarr.create_array(
        store=str(tmp_path / "s.zarr"), shape=stack.shape, chunks=(1, 64, 64, 3), dtype="uint8"
    )
    stored[:] = stack
    labels, focus = opened(tmp_path, model, (3, 300, 200)), Focus()
    focus.view = (1, (0, 0, 10, 10))
    sources = plane_sources(stored, model, rgb=True)
    steps = list(stream_steps(sources, model, labels, focus))
    assert [step.plane for step in steps[:6]] == [1] * 6 and len(steps) == 18
    for plane, image in zip(labels.levels[0][:], stack, strict=True):
        np.testing.assert_array_equal(plane, segment(image, model, tile=SIDE).labels)
    assert not isinstance(sources(0).array, np.ndarray)
    labels.close()


class Watched:
    """An array that notes the largest window that was asked for."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, window: Any) -> Any:
        values = self.array[window]
        self.largest = max(self.largest, values.size)
        return values


def test_memory_does_not_grow_with_the_image(model: PrototypeSegmenter, tmp_path: Path) -> None:
    tile, peaks, windows = two_tone(256, 256)[0], [], []
    for side in (768, 1536):
        path = str(tmp_path / f"{side}.zarr")
        stored = zarr.create_array(path, shape=(side, side, 3), chunks=(256, 256, 3), dtype="uint8")
        for y, x in np.ndindex(side // 256, side // 256):
            stored[256 * y : 256 * (y + 1), 256 * x : 256 * (x + 1)] = tile
        image = Watched(stored)
        new = NewLabels((side, side), model.classes, {"image": str(side)}, 256)
        labels = open_pyramid(tmp_path, str(side), new)
        tracemalloc.start()
        run(stream_steps(plane_sources(image, model, rgb=True), model, labels, Focus()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        windows.append(image.largest)
        labels.close()
    assert max(windows) == 3 * (256 + 2 * 32) ** 2
    # Four times the pixels: the labels alone would be 1.8 MB more, the image 5.
    assert peaks[1] <= peaks[0] + 1_400_000
