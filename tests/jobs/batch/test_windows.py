"""What is drawn in windows of a large image overrules predictions of all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.manifest import read_manifest
from napari_gaussproto.io.batch.outputs import read_label_file
from napari_gaussproto.io.images import read_image
from napari_gaussproto.jobs.batch import one_image
from napari_gaussproto.jobs.batch.measure import MeasureRequest, measure_steps
from napari_gaussproto.jobs.batch.order import batch_job
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from napari_gaussproto.jobs.large.window import window_job
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import tiny_model, two_tone
from tests.jobs.batch.test_order import order

FIRST, SECOND = (10, 20, 42, 60), (0, 40, 32, 80)


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture(params=["bytes", "words"])
def mosaic(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image; of 16 bits one whose windows are dark, so that they are scaled as the whole is."""
    pixels = two_tone(96, 120)[0]
    if request.param == "words":
        pixels = pixels.astype(np.uint16)
        pixels[80:] *= 100
    path = tmp_path / "in" / "field.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


def drawn_in(path: Path, *areas: Area, value: int = 2) -> tuple[Annotations, npt.NDArray[Any]]:
    """A few strokes in windows as the Train dock keeps them, and the same on all of the image."""
    pixels = tifffile.imread(path)
    whole, images = np.zeros(pixels.shape[:2], np.uint8), []
    for area in areas:
        y0, x0, y1, x1 = area
        cut = run(window_job(TrainImage("a", pixels, True, name="a", file=str(path)), area))
        labels = np.zeros((y1 - y0, x1 - x0), np.uint8)
        labels[3:9, 5:30] = value
        whole[y0:y1, x0:x1][labels > 0] = value
        images.append(Annotation(identify(cut.pixels, "w", str(path), area), labels))
    return Annotations(tuple(tiny_model().classes), tuple(images)), whole


def request_of(model: PrototypeSegmenter, mosaic: Path, drawn: Annotations | None) -> BatchRequest:
    out = mosaic.parent.parent / "out"
    return BatchRequest(model, find([mosaic], out), out, corrections=drawn)


def labels_in(out: Path, name: str = "field.tif") -> npt.NDArray[Any]:
    return read_label_file(out / read_manifest(out).images[name].labels)


@pytest.mark.parametrize("most", [one_image.LARGE, 100])
def test_a_run_knows_what_is_drawn_in_windows(
    model: PrototypeSegmenter, mosaic: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(one_image, "LARGE", most)
    plain = request_of(model, mosaic, None)
    run(batch_steps(plain))
    predicted = labels_in(plain.out)
    # One window, one more, other labels in both, and one of them erased.
    for areas, value in (((FIRST,), 2), ((FIRST, SECOND), 2), ((FIRST, SECOND), 1), ((SECOND,), 1)):
        drawn, whole = drawn_in(mosaic, *areas, value=value)
        request = request_of(model, mosaic, drawn)
        for segmented in (1, 0):
            result = run(batch_steps(request))
            assert result.segmented == segmented and result.images["field.tif"].corrected
        np.testing.assert_array_equal(labels_in(plain.out), np.where(whole > 0, whole, predicted))
    assert run(batch_steps(plain)).segmented == 1
    np.testing.assert_array_equal(labels_in(plain.out), predicted)


def test_what_is_drawn_on_all_of_an_image_counts_with_its_windows(
    model: PrototypeSegmenter, mosaic: Path
) -> None:
    drawn, whole = drawn_in(mosaic, FIRST)
    run(batch_steps(request_of(model, mosaic, drawn)))
    more = np.zeros_like(whole)
    more[60:70, :50] = 1
    pixels = identify(read_image(mosaic), "all")
    given = drawn.with_annotation(Annotation(pixels, more))
    for segmented in (1, 0):
        result = run(batch_steps(request_of(model, mosaic, given)))
        assert result.segmented == segmented
    labels = labels_in(mosaic.parent.parent / "out")
    assert (labels[whole > 0] == 2).all() and (labels[more > 0] == 1).all()


def test_windows_of_other_pixels_count_nowhere(model: PrototypeSegmenter, mosaic: Path) -> None:
    drawn, _ = drawn_in(mosaic, FIRST)
    pixels = tifffile.imread(mosaic)
    tifffile.imwrite(mosaic, pixels[::-1], photometric="rgb")
    result = run(batch_steps(request_of(model, mosaic, drawn)))
    assert not result.images["field.tif"].corrected
    assert result.notes == [f"{mosaic.name} holds other pixels than were drawn on: predicted alone"]


@pytest.mark.parametrize("most", [one_image.LARGE, 100])
def test_windows_count_in_tables(model: PrototypeSegmenter, mosaic: Path, most: int) -> None:
    drawn, _ = drawn_in(mosaic, FIRST, SECOND)
    run(batch_steps(request_of(model, mosaic, drawn)))
    labels = labels_in(mosaic.parent.parent / "out")
    with Project.create(mosaic.parent / "mine") as project:
        project.annotations.save(drawn)
    request = MeasureRequest(
        model, find([mosaic], mosaic.parent), most=most, corrections=project.folder
    )
    measured = run(measure_steps(request))
    assert set(measured.areas["labels"]) == {"with corrections"}
    assert (
        measured.areas["pixels"].tolist() == np.bincount(labels.ravel(), minlength=3)[1:].tolist()
    )


@pytest.mark.parametrize("is_open", [True, False])
def test_the_batch_section_knows_windows(tmp_path: Path, mosaic: Path, is_open: bool) -> None:
    drawn, whole = drawn_in(mosaic, FIRST, SECOND)
    image = TrainImage("a", tifffile.imread(mosaic), True, name="field.tif", file=str(mosaic))
    images = [image] if is_open else []
    wanted = order(tmp_path, images, drawn=lambda: drawn, closed=lambda: drawn)
    result = run(batch_job(wanted)).result
    assert list(result.images) == ["field.tif"] and result.images["field.tif"].corrected
    labels = labels_in(tmp_path / "out")
    assert (labels[whole > 0] == 2).all()
