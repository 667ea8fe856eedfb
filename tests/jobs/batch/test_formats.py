"""Labels in several formats, of several models, in one folder: none is lost or passes for new."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import open_labels
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.manifest import read_manifest
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.images import read_image, read_mask
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch import one_image
from napari_gaussproto.jobs.batch.one_image import ImageWork, Take, Task, finished, read
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from tests.core.builders import tiny_model, two_tone
from tests.io.test_geo import SCALE, TIE, geotiff

PNG, MAPS, OVERVIEW = Outputs(labels="png"), Outputs(maps=True), Outputs(overview=True)
SHAPE = (48, 64)


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture(scope="module")
def other() -> PrototypeSegmenter:
    return tiny_model(seed=1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "x.png"
    path.parent.mkdir()
    Image.fromarray(two_tone(*SHAPE, 0)[0]).save(path)
    return path


def request_of(
    model: PrototypeSegmenter, photo: Path, outputs: Outputs | None = None, **more: Any
) -> BatchRequest:
    out = photo.parent.parent / "out"
    return BatchRequest(model, find([str(photo)], out), out, outputs or Outputs(), **more)


def done(*about: Any, **more: Any) -> BatchResult:
    result: BatchResult = run(batch_steps(request_of(*about, **more)))
    assert not result.left_out
    return result


def row_of(photo: Path) -> dict[str, str]:
    with (photo.parent.parent / "out" / "cover.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    return row


def correct(path: Path, value: int = 2) -> None:
    """Save labels as a person does."""
    labels = np.full(SHAPE, value, np.uint8)
    if path.suffix == ".png":
        Image.fromarray(labels).save(path)
    else:
        tifffile.imwrite(path, labels)


def names(out: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in out.glob(pattern))


def test_labels_of_another_model_are_no_results(
    model: PrototypeSegmenter, other: PrototypeSegmenter, photo: Path
) -> None:
    out = photo.parent.parent / "out"
    done(model, photo, MAPS)
    told = done(other, photo, PNG).notes
    assert told == [
        "2 files of an earlier model, photograph or setting left in the folder, as "
        "x.labels.ome.tif: call for the same again, or remove what you do not need"
    ]
    assert done(other, photo, MAPS).segmented == 1
    labels, _ = read_labels(out / "x.labels.ome.tif")
    np.testing.assert_array_equal(labels, segment(read_image(photo), other).labels)
    with tifffile.TiffFile(out / "x.likelihood.ome.tif") as file:
        assert other.prototypes[0].name in str(file.ome_metadata)
    # Nobody touched them, so that there is nothing to keep; now all three are of one model.
    assert not names(out, "*former*")
    assert done(other, photo, PNG).segmented == 0 and row_of(photo)["labels"] == "x.labels.png"
    assert done(other, photo, MAPS).segmented == 0
    assert row_of(photo)["labels"] == "x.labels.ome.tif"
    # Of another photograph of the same name they are none, either.
    Image.fromarray(two_tone(*SHAPE, 7)[0]).save(photo)
    assert done(other, photo).segmented == 1 and done(other, photo, MAPS).segmented == 1


def test_maps_of_a_former_version_are_made_anew(model: PrototypeSegmenter, photo: Path) -> None:
    done(model, photo, MAPS)
    path = photo.parent.parent / "out" / "manifest.json"
    about = json.loads(path.read_text("utf-8"))
    for name in ("others", "also"):
        del about["images"]["x.png"][name]
    path.write_text(json.dumps(about), "utf-8")
    assert done(model, photo).segmented == 0
    assert done(model, photo, MAPS).segmented == 1 and done(model, photo, MAPS).segmented == 0


@pytest.mark.parametrize("knows", [True, False])
def test_corrected_labels_of_any_format_are_kept(
    model: PrototypeSegmenter, photo: Path, knows: bool
) -> None:
    out = photo.parent.parent / "out"
    done(model, photo)
    done(model, photo, PNG)
    correct(out / "x.labels.ome.tif")
    if not knows:  # a manifest that knows nothing of other formats
        path = out / "manifest.json"
        about = json.loads(path.read_text("utf-8"))
        about["images"]["x.png"]["others"] = {}
        path.write_text(json.dumps(about), "utf-8")
    result = done(model, photo, again=True)
    assert result.notes == [
        "x.labels.ome.tif was there and differs: kept as x.labels.former-1.ome.tif"
    ]
    assert (read_mask(out / "x.labels.former-1.ome.tif") == 2).all()


@pytest.mark.parametrize("noticed", [False, True])
def test_who_asks_for_more_keeps_what_was_corrected(
    model: PrototypeSegmenter, photo: Path, noticed: bool
) -> None:
    out = photo.parent.parent / "out"
    done(model, photo)
    labels = np.full(SHAPE, 2, np.uint8)
    labels[:5] = 0  # what a person has erased
    tifffile.imwrite(out / "x.labels.ome.tif", labels)
    written = (out / "x.labels.ome.tif").read_bytes()
    if noticed:
        assert done(model, photo).segmented == 0
    for outputs in (MAPS, OVERVIEW, Outputs(tables=True)):
        assert not done(model, photo, outputs).notes
        row = row_of(photo)
        assert row["corrected"] == "yes" and float(row["plant"]) == 1
        assert float(row["data"]) == pytest.approx(43 / 48, abs=1e-6)
    assert (out / "x.labels.ome.tif").read_bytes() == written
    assert (out / "x.overview.png").exists() and (out / "x.likelihood.ome.tif").exists()
    # In another format they are the same, and stay so when they are corrected further.
    assert not done(model, photo, PNG).notes
    np.testing.assert_array_equal(read_mask(out / "x.labels.png"), labels)
    assert row_of(photo)["corrected"] == "yes" and done(model, photo, PNG).segmented == 0
    correct(out / "x.labels.ome.tif", 1)
    assert done(model, photo).segmented == 0 and float(row_of(photo)["soil"]) == 1
    assert done(model, photo, PNG).segmented == 1
    assert (read_mask(out / "x.labels.png") == 1).all() and float(row_of(photo)["soil"]) == 1


def test_planes_that_were_corrected_stay_when_more_is_asked(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "s.ome.tif"
    path.parent.mkdir()
    planes = np.stack([two_tone(*SHAPE, seed)[0] for seed in range(2)])
    tifffile.imwrite(path, planes, ome=True, photometric="rgb", metadata={"axes": "TYXS"})
    done(model, path)
    labels = np.ones((2, *SHAPE), np.uint8)
    labels[1] = 2
    tifffile.imwrite(tmp_path / "out" / "s.labels.ome.tif", labels)
    zarr = Outputs(labels="zarr", maps=True, overview=True)
    assert not done(model, path, zarr).notes
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "s.labels.ome.zarr"), labels)
    entry = read_manifest(tmp_path / "out").images["s.ome.tif"]
    assert entry.edited and [plane.cover["plant"] for plane in entry.planes] == [0, 1]
    assert done(model, path, zarr).segmented == 0


@pytest.mark.parametrize("corrected", [False, True])
def test_labels_of_a_killed_run_are_no_correction(
    model: PrototypeSegmenter, other: PrototypeSegmenter, photo: Path, corrected: bool
) -> None:
    out = photo.parent.parent / "out"
    done(model, photo)
    if corrected:
        correct(out / "x.labels.ome.tif")
        assert done(model, photo).segmented == 0

    class Killed(BaseException):
        """Nothing is told any more."""

    def do(work: ImageWork, tasks: Sequence[Task], take: Take) -> Iterator[Any]:
        yield from ()
        for task in tasks:
            finished(run(work.segment(task, *read(task.item))))
        raise Killed

    with pytest.raises(Killed):
        run(batch_steps(request_of(other, photo), do))
    assert done(model, photo).segmented == 1 and row_of(photo)["corrected"] == ""
    labels, _ = read_labels(out / "x.labels.ome.tif")
    np.testing.assert_array_equal(labels, segment(read_image(photo), model).labels)
    # Who corrects them now is believed, also after a run of another model that was cancelled.
    correct(out / "x.labels.ome.tif")
    steps = batch_steps(request_of(other, photo))
    next(steps)
    next(steps)
    steps.close()
    assert done(model, photo).segmented == 0 and row_of(photo)["corrected"] == "yes"


def test_a_copied_folder_is_no_correction(
    model: PrototypeSegmenter, other: PrototypeSegmenter, photo: Path
) -> None:
    out = photo.parent.parent / "out"
    done(model, photo, PNG)
    done(model, photo)
    shutil.copytree(out, out.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(out)
    out.with_name("copy").rename(out)
    for file in out.glob("*.labels.*"):
        os.utime(file, ns=(1, 1))
    assert not done(other, photo).notes[1:] and not done(other, photo, PNG).notes
    assert not names(out, "*former*")


# -- large images -----------------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(one_image, "LARGE", 100)
    return monkeypatch


@pytest.mark.usefixtures("large")
def test_large_labels_that_nobody_touched_are_not_kept(
    model: PrototypeSegmenter, other: PrototypeSegmenter, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = geotiff(tmp_path / "in" / "x.tif", SCALE, TIE)
    for by in (model, other):
        done(by, path)
    done(other, path, again=True)
    assert done(other, path).segmented == 0
    assert names(tmp_path / "out", "x.*") == ["x.labels.ome.tif", "x.labels.zarr"]
    assert not names(tmp_path / "out", ".*.part")
    # What somebody drew into the GeoTIFF is not overwritten.
    shape = read_image(path).shape[:2]
    tifffile.imwrite(tmp_path / "out" / "x.labels.ome.tif", np.full(shape, 2, np.uint8))
    time.sleep(0.05)  # no person is as quick as the clock of a file system
    assert "kept as x.labels.former-1.ome.tif" in done(other, path, again=True).notes[1]


@pytest.mark.usefixtures("large")
def test_a_task_that_is_done_twice_at_once_leaves_its_labels(
    model: PrototypeSegmenter, photo: Path
) -> None:
    told = []

    def twice(work: ImageWork, tasks: Sequence[Task], take: Take) -> Iterator[Any]:
        yield from ()
        for task in tasks:
            ends = [run(work.segment(task, *read(task.item))) for _ in range(2)]
            told.extend(finished(end) for end in ends)
            take(task, told[-1])

    result = run(batch_steps(request_of(model, photo), twice))
    assert len(told) == 2 and not result.left_out
    out = photo.parent.parent / "out"
    labels = np.asarray(read_image(out / "x.labels.zarr"))
    np.testing.assert_array_equal(labels, segment(read_image(photo), model).labels)
    assert names(out, "x.*") == ["x.labels.zarr"] and not names(out, ".*.part")
    assert done(model, photo).segmented == 0


@pytest.mark.usefixtures("large")
def test_a_large_image_that_is_cancelled_keeps_its_labels(
    model: PrototypeSegmenter, other: PrototypeSegmenter, photo: Path
) -> None:
    done(model, photo)
    store = photo.parent.parent / "out" / "x.labels.zarr"
    open_labels(store)[:] = 2
    time.sleep(0.05)  # no person is as quick as the clock of a file system
    assert done(model, photo).segmented == 0
    row = row_of(photo)
    steps = batch_steps(request_of(other, photo, tile=32))
    next(step for step in steps if step.share > 0)
    steps.close()
    assert (np.asarray(read_image(store)) == 2).all() and row_of(photo) == row
    assert names(store.parent, "x.*") == ["x.labels.zarr"]
    # Once they are complete, what was changed is kept beside them.
    done(other, photo)
    assert (np.asarray(read_image(store.with_name("x.labels.former-1.zarr"))) == 2).all()


def test_an_image_that_was_large_once_gets_all_that_is_wanted(
    model: PrototypeSegmenter, photo: Path, large: pytest.MonkeyPatch
) -> None:
    done(model, photo)
    large.undo()
    Image.fromarray(two_tone(40, 40, 3)[0]).save(photo)
    done(model, photo)
    assert done(model, photo, MAPS).segmented == 1
    assert (photo.parent.parent / "out" / "x.likelihood.ome.tif").exists()
