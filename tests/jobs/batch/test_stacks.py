"""Stacks on the command line: every plane a row, all labels in one file."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import open_labels
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch import one_image
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from tests.core.builders import tiny_model, two_tone

PHOTOS = np.stack([two_tone(48, 64, seed)[0] for seed in range(3)])
GREY = PHOTOS[..., 1]


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A folder with a series of three photographs in one file."""
    path = tmp_path / "in" / "series.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, PHOTOS, ome=True, photometric="rgb", metadata={"axes": "TYXS"})
    return path


def request_of(model: PrototypeSegmenter, path: Path, **more: Any) -> BatchRequest:
    out = path.parent.parent / "out"
    return BatchRequest(model, find([str(path)], out), out, **more)


def done(request: BatchRequest) -> BatchResult:
    result: BatchResult = run(batch_steps(request))
    assert result.left_out == {}
    return result


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "cover.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def expected(model: PrototypeSegmenter, planes: np.ndarray = PHOTOS) -> np.ndarray:
    return np.stack([segment(plane, model).labels for plane in planes])


def test_every_plane_is_a_row_and_labels_are_one_file(
    model: PrototypeSegmenter, series: Path
) -> None:
    request = request_of(model, series)
    done(request)
    labels, classes = read_labels(request.out / "series.labels.ome.tif")
    np.testing.assert_array_equal(labels, expected(model))
    assert classes == model.classes
    with tifffile.TiffFile(request.out / "series.labels.ome.tif") as file:
        assert file.series[0].axes == "TYX"
    rows = rows_of(request.out)
    assert [row["image"] for row in rows] == [f"series.ome.tif/plane {n}" for n in (1, 2, 3)]
    for row, plane in zip(rows, labels, strict=True):
        assert row["labels"] == "series.labels.ome.tif"
        assert float(row["plant"]) == pytest.approx((plane == 2).mean(), abs=1e-6)
    page = (request.out / "report.html").read_text("utf-8")
    assert page.count("<img ") == 3 and "series.ome.tif/plane 3" in page


def test_a_second_call_does_it_only_when_it_changed(
    model: PrototypeSegmenter, series: Path
) -> None:
    request = request_of(model, series, outputs=Outputs(maps=True, overview=True))
    assert done(request).segmented == 1
    maps = tifffile.imread(request.out / "series.likelihood.ome.tif")
    assert maps.shape == (3, len(model.prototypes), 12, 16)
    assert len(list((request.out / "series").glob("plane ?.overview.png"))) == 3
    assert done(request).segmented == 0
    (request.out / "series" / "plane 2.overview.png").unlink()
    assert done(request).segmented == 1
    # What a person saved in the label file counts, plane by plane.
    edited = np.ones((3, 48, 64), np.uint8)
    edited[1] = 2
    tifffile.imwrite(request.out / "series.labels.ome.tif", edited)
    assert done(request).segmented == 0
    rows = rows_of(request.out)
    assert [float(row["plant"]) for row in rows] == [0, 1, 0]
    assert {row["corrected"] for row in rows} == {"yes"}


def test_what_is_drawn_on_planes_overrules(model: PrototypeSegmenter, series: Path) -> None:
    drawn = np.zeros((3, 48, 64), np.uint8)
    drawn[2, :10] = 2
    identity = identify(read_image(series), "series", str(series))
    annotations = Annotations(tuple(model.classes)).with_annotation(Annotation(identity, drawn))
    folder = series.parent.parent / "mine.gaussproto"
    with Project.create(folder) as project:
        project.annotations.save(annotations)
    request = request_of(model, series, corrections=folder)
    done(request)
    labels, _ = read_labels(request.out / "series.labels.ome.tif")
    want = expected(model)
    want[2, :10] = 2
    np.testing.assert_array_equal(labels, want)


def test_a_cancel_leaves_no_half_of_a_stack(model: PrototypeSegmenter, series: Path) -> None:
    request = request_of(model, series)
    steps = batch_steps(request)
    next(step for step in steps if step.share > 0.5)
    steps.close()
    assert rows_of(request.out) == []
    assert not list(request.out.glob("*.labels*"))


@pytest.mark.parametrize("most", [one_image.LARGE, 48 * 64])
def test_a_cancel_leaves_former_pictures(
    model: PrototypeSegmenter, series: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(one_image, "LARGE", most)
    request = request_of(model, series, outputs=Outputs(overview=True))
    done(request)

    def content() -> dict[Path, bytes]:
        files = (*request.out.rglob("*.jpg"), *request.out.rglob("*.overview.png"))
        return {path: path.read_bytes() for path in files}

    before = content()
    other = request_of(tiny_model(seed=1), series, outputs=request.outputs)
    steps = batch_steps(other)
    next(step for step in steps if step.share > 0.5)
    steps.close()
    assert len(before) == 6 and content() == before
    assert not list(request.out.glob(".*.part"))
    done(other)
    after = content()
    assert after.keys() == before.keys() and all(after[path] != before[path] for path in after)


def test_a_png_holds_no_stack(model: PrototypeSegmenter, series: Path) -> None:
    result = run(batch_steps(request_of(model, series, outputs=Outputs(labels="png"))))
    assert result.left_out == {
        "series.ome.tif": "A PNG holds no stack: choose tiff or zarr for the labels."
    }


def test_a_large_stack_is_streamed(
    model: PrototypeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_image, "LARGE", 48 * 64)
    path = tmp_path / "in" / "big.zarr"
    stored = zarr.create_array(str(path), shape=PHOTOS.shape, chunks=(1, 48, 64, 3), dtype="uint8")
    stored[:] = PHOTOS
    request = request_of(model, path)
    result = done(request)
    assert result.notes == ["big.zarr is large: labels only, as zarr"]
    labels = zarr.open_array(str(request.out / "big.labels.zarr"), mode="r")
    np.testing.assert_array_equal(labels[:], expected(model))
    assert len(rows_of(request.out)) == 3
    monkeypatch.setattr(one_image, "LARGE", 1000)  # now a single plane is large, too
    again = request_of(model, path, again=True)
    done(again)
    labels = zarr.open_array(str(request.out / "big.labels.zarr"), mode="r")
    np.testing.assert_array_equal(labels[:], expected(model))
    assert done(request).segmented == 0


@pytest.mark.parametrize("edited", [False, True])
def test_pictures_of_a_large_stack_can_be_asked_for_later(
    model: PrototypeSegmenter, series: Path, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    monkeypatch.setattr(one_image, "LARGE", 48 * 64)
    request = request_of(model, series)
    done(request)
    labels = open_labels(request.out / "series.labels.zarr")
    if edited:
        labels[1, :20] = 2
        time.sleep(0.05)  # no person is as quick as the clock of a file system
    want = labels[:]
    with_pictures = request_of(model, series, outputs=Outputs(maps=True, overview=True))
    assert done(with_pictures).segmented == 1 and done(with_pictures).segmented == 0
    pictures = list((request.out / "series").glob("plane ?.overview.png"))
    assert len(pictures) == 3 and not list(request.out.glob("*former*"))
    again = open_labels(request.out / "series.labels.zarr")
    np.testing.assert_array_equal(again[:], want)
    rows = rows_of(request.out)
    assert {row["corrected"] for row in rows} == {"yes" if edited else ""}
    assert float(rows[1]["plant"]) == pytest.approx((want[1] == 2).mean(), abs=1e-6)
    pictures[0].unlink()
    assert done(request).segmented == 0 and done(with_pictures).segmented == 1


def test_grey_planes_that_nobody_named(model: PrototypeSegmenter, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    many = np.tile(GREY, (5, 1, 1))
    np.save(tmp_path / "in" / "many.npy", many)
    np.save(tmp_path / "in" / "three.npy", GREY)
    request = request_of(model, tmp_path / "in", grey=True)
    done(request)
    labels, _ = read_labels(request.out / "three.labels.ome.tif")
    np.testing.assert_array_equal(labels, expected(model, GREY))
    rows = rows_of(request.out)
    assert [row["image"] for row in rows] == [
        *(f"many.npy/plane {n:02}" for n in range(1, 16)),
        *(f"three.npy/plane {n}" for n in (1, 2, 3)),
    ]
    # Without a word fifteen planes can be no channels, and three are one picture.
    done(request_of(model, tmp_path / "in"))
    assert len(rows_of(request.out)) == 16
