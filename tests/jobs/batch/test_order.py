"""What the Segment dock asks of a thread for many images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch.order import batch_job, open_items
from napari_gaussproto.jobs.requests import BatchOrder
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import tiny_model, two_tone
from tests.jobs.images import saved


def order(folder: Path, images: list[TrainImage], **changes: Any) -> BatchOrder:
    model = save_model(tiny_model(), folder / "tiny")
    settings = {
        "model_file": model, "device": "cpu", "known_key": None, "known_models": {},
        "cell_size": 16, "tile": "auto", "images": images, "folder": None,
        "out": folder / "out",
    }  # fmt: skip
    return BatchOrder(**(settings | changes))


def test_every_plane_of_every_open_image_has_a_row(tmp_path: Path) -> None:
    planes = np.stack([two_tone(48, 64, seed)[0] for seed in (0, 1)])
    images = [
        TrainImage("a", planes, True, name="time: a/b"),
        TrainImage("b", planes[0], True, name="one 1.5"),
        TrainImage("c", planes[1], True, name="One 1.5"),
    ]
    wanted = order(tmp_path, images)
    outcome = run(batch_job(wanted))
    names = ["time_ a_b/plane 1", "time_ a_b/plane 2", "one 1.5", "One 1.5-2"]
    assert list(outcome.result.images) == names
    assert [entry.name for entry in outcome.classes] == ["soil", "plant"]
    model = load_model_file(wanted.model_file)
    for name, pixels in zip(names[2:], planes, strict=True):
        labels, _ = read_labels(tmp_path / "out" / f"{name}.labels.ome.tif")
        assert np.array_equal(labels, segment(pixels, model).labels)


def drawn_on(*images: tuple[str, np.ndarray, str | None, np.ndarray]) -> Annotations:
    """Labels of soil and plant on images, given by name, pixels and file."""
    classes = tuple(tiny_model().config.classes)
    drawn = (
        Annotation(identify(pixels, name, file), labels) for name, pixels, file, labels in images
    )
    return Annotations(classes, tuple(drawn))


def test_what_is_drawn_on_open_images_overrules_plane_by_plane(tmp_path: Path) -> None:
    planes = np.stack([two_tone(48, 64, seed)[0] for seed in (0, 1)])
    labels = np.zeros((2, 48, 64), np.uint8)
    labels[1, :10] = 2
    given = drawn_on(("a", planes, None, labels))
    images = [TrainImage("a", planes, True, name="a")]
    outcome = run(batch_job(order(tmp_path, images, drawn=lambda: given)))
    entries = outcome.result.images
    assert [entries[n].corrected for n in ("a/plane 1", "a/plane 2")] == [False, True]
    written, _ = read_labels(tmp_path / "out" / "a" / "plane 2.labels.ome.tif")
    assert (written[:10] == 2).all()


def test_closed_images_of_a_project_are_segmented_with_the_open_ones(tmp_path: Path) -> None:
    pixels, file = saved(tmp_path, seed=1, name="closed.tif")
    open_pixels = two_tone(48, 64)[0]
    strokes = [np.zeros(array.shape[:2], np.uint8) for array in (open_pixels, pixels, pixels)]
    for labels in strokes:
        labels[:5] = 2
    given = drawn_on(
        ("open", open_pixels, None, strokes[0]),
        ("open", pixels, file, strokes[1]),  # another image of the same name
        ("gone", two_tone(seed=9)[0], "/gone.tif", strokes[2]),
    )
    images = [TrainImage("a", open_pixels, True, name="open")]
    wanted = order(tmp_path, images, drawn=lambda: given, closed=lambda: given)
    result = run(batch_job(wanted)).result
    assert [name for name, entry in result.images.items() if entry.corrected] == ["open", "open-2"]
    assert "open it, and it is segmented" in result.left_out["gone"]
    plain = order(tmp_path, images, closed=lambda: given, out=tmp_path / "plain")
    assert not any(entry.corrected for entry in run(batch_job(plain)).result.images.values())


def test_no_two_images_have_one_name(tmp_path: Path) -> None:
    pixels, file = saved(tmp_path, seed=1, name="closed.tif")
    given = drawn_on(("open-2", pixels, file, np.ones(pixels.shape[:2], np.uint8)))
    images = [TrainImage(n, two_tone(48, 64, n)[0], True, name="open") for n in (2, 3)]
    result = run(batch_job(order(tmp_path, images, closed=lambda: given))).result
    assert list(result.images) == ["open", "open-2", "open-2-2"]


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    pixels = two_tone(48, 64)[0]
    images = [TrainImage(n, pixels, True, name=n) for n in ("../x", "..", "C:\\x", "")]
    wanted = order(tmp_path, images)
    names = [item.name for item in open_items(wanted, tiny_model(), set())]
    assert names == ["_x", "image", "C__x", "image-2"]


def test_a_format_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    wanted = order(tmp_path, [], labels="jpeg")
    with pytest.raises(GaussProtoError, match="“jpeg” is no format"):
        run(batch_job(wanted))
    assert not (tmp_path / "out").exists()


def test_the_whole_is_segmented_of_which_windows_are_open_alone(tmp_path: Path) -> None:
    pixels, path = two_tone(96, 120)[0], tmp_path / "field.tif"
    tifffile.imwrite(path, pixels, photometric="rgb")
    windows = [
        TrainImage(key, pixels[y : y + 32, :40], True, file=str(path), window=(y, 0, y + 32, 40))
        for key, y in (("a", 0), ("b", 32))
    ]
    outcome = run(batch_job(order(tmp_path, windows)))
    assert list(outcome.result.images) == ["field.tif"]
    assert outcome.result.images["field.tif"].height == 96
    # Beside the whole there is nothing more to do, nor where it is in no file.
    whole = TrainImage("c", pixels, True, name="field", file=str(path))
    alone = replace(windows[0], file=None)
    outcome = run(batch_job(order(tmp_path, [*windows, whole, alone])))
    assert list(outcome.result.images) == ["field"]


def test_an_image_that_is_open_as_a_window_and_labelled_as_a_whole_is_segmented_once(
    tmp_path: Path,
) -> None:
    pixels, path, area = two_tone(96, 120)[0], tmp_path / "field.tif", (32, 0, 64, 40)
    tifffile.imwrite(path, pixels, photometric="rgb")
    window = TrainImage("a", pixels[32:64, :40], True, file=str(path), window=area)
    whole, part = np.zeros((96, 120), np.uint8), np.zeros((32, 40), np.uint8)
    whole[80:, 50:], part[:9] = 2, 1
    drawn = (
        Annotation(identify(pixels, "field", str(path)), whole),
        Annotation(identify(window.pixels, "a", str(path), area), part),
    )
    given = Annotations(tuple(tiny_model().config.classes), drawn)
    asked = order(tmp_path, [window], drawn=lambda: given, closed=lambda: given)
    result = run(batch_job(asked)).result
    assert list(result.images) == ["field"] and not result.left_out
    assert result.images["field"].corrected
    labels, _ = read_labels(tmp_path / "out" / "field.labels.ome.tif")
    assert (labels[80:, 50:] == 2).all() and (labels[32:41, :40] == 1).all()
