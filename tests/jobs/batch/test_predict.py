"""A run over many images: what is done is not done again, and nothing is ever torn."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import open_labels
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.batch.inputs import Item, find
from napari_gaussproto.io.batch.manifest import read_manifest
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.images import read_image, read_lying
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch.one_image import ImageWork
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from tests.core.builders import tiny_model, two_tone
from tests.core.killing import Killed, killed_after

NAMES = ["field_a/x.png", "field_a/y.png", "field_b/x.png"]


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """Two folders with photographs of which two have one name, and one that is torn."""
    for seed, name in enumerate(NAMES):
        path = tmp_path / "season" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(two_tone(48, 64, seed)[0]).save(path)
    whole = (tmp_path / "season" / NAMES[0]).read_bytes()
    (tmp_path / "season" / "field_b" / "torn.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "season"


def request_of(
    model: PrototypeSegmenter, season: Path, *given: object, **more: Any
) -> BatchRequest:
    out = season.parent / "out"
    return BatchRequest(model, find([str(one) for one in given or [season]], out), out, **more)


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "cover.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def check_rows(out: Path, season: Path, model: PrototypeSegmenter, names: list[str]) -> None:
    """Rows and label files are those of these images, and right."""
    rows = rows_of(out)
    assert list(rows) == names
    for name, row in rows.items():
        labels, _ = read_labels(out / row["labels"])
        assert row["labels"] == name.replace(".png", ".labels.ome.tif")
        with Image.open(season / name) as photo:
            assert np.array_equal(labels, segment(np.asarray(photo), model).labels)
        assert float(row["plant"]) == pytest.approx((labels == 2).mean(), abs=1e-6)


def test_photographs_of_one_name_are_told_apart_and_torn_ones_named(
    model: PrototypeSegmenter, season: Path
) -> None:
    result = run(batch_steps(request := request_of(model, season)))
    assert list(result.images) == NAMES and result.segmented == 3
    assert list(result.left_out) == ["field_b/torn.png"]
    check_rows(request.out, season, model, NAMES)
    assert "may be damaged" in read_manifest(request.out).left_out["field_b/torn.png"]


def changed(result: BatchResult) -> list[str]:
    return [name for name in result.images if name not in result.kept]


def test_a_second_run_does_what_is_missing_or_changed(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season)
    run(batch_steps(request))
    assert changed(run(batch_steps(request))) == []
    Image.fromarray(two_tone(48, 64, 7)[0]).save(season / NAMES[1])
    assert changed(run(batch_steps(request))) == [NAMES[1]]
    check_rows(request.out, season, model, NAMES)
    (request.out / "field_b" / "x.labels.ome.tif").unlink()
    assert changed(run(batch_steps(request))) == [NAMES[2]]
    with_pictures = request_of(model, season, season / "field_a", outputs=Outputs(overview=True))
    assert changed(run(batch_steps(with_pictures))) == NAMES[:2]
    assert changed(run(batch_steps(request))) == []
    assert changed(run(batch_steps(request_of(model, season, again=True)))) == NAMES
    other = tiny_model(seed=1)
    other.classes[0] = model.classes[0]
    assert changed(run(batch_steps(request_of(other, season)))) == NAMES
    check_rows(request.out, season, other, NAMES)


def test_rows_stay_right_when_a_part_is_done(model: PrototypeSegmenter, season: Path) -> None:
    out = season.parent / "out"
    run(batch_steps(request_of(model, season, season / "field_b")))
    # Names began below field_b; who then gives all of the season gets them below that.
    assert list(rows_of(out)) == ["x.png"]
    run(batch_steps(request_of(model, season)))
    assert list(rows_of(out)) == ["field_a/x.png", "field_a/y.png", "x.png"]
    before = rows_of(out)
    run(batch_steps(request_of(model, season, season / "field_b" / "x.png", again=True)))
    assert rows_of(out) == before


def test_a_photograph_that_is_torn_now_has_no_row_any_more(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season)
    run(batch_steps(request))
    (season / NAMES[0]).write_bytes(b"torn")
    result = run(batch_steps(request))
    assert NAMES[0] in result.left_out and list(rows_of(request.out)) == NAMES[1:]


def test_what_was_corrected_is_known_when_a_photograph_is_there_again(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season, outputs=Outputs(tables=True))
    run(batch_steps(request))
    edited = np.full((48, 64), 2, np.uint8)
    tifffile.imwrite(request.out / "field_a" / "x.labels.ome.tif", edited)
    run(batch_steps(request))
    photo, whole = season / NAMES[0], (season / NAMES[0]).read_bytes()
    photo.write_bytes(b"torn")
    run(batch_steps(request))
    run(batch_steps(request_of(model, season, season / "field_b", outputs=request.outputs)))
    for name in ("cover.csv", "areas.csv"):
        assert NAMES[0] not in (request.out / name).read_text("utf-8")
    photo.write_bytes(whole)
    result = run(batch_steps(request))
    assert NAMES[0] in result.kept and not result.notes
    row = rows_of(request.out)[NAMES[0]]
    assert row["corrected"] == "yes" and float(row["plant"]) == 1
    assert NAMES[0] in (request.out / "areas.csv").read_text("utf-8")


def test_workers_elsewhere_are_told_whole_paths(
    model: PrototypeSegmenter, season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_project(season, {NAMES[0]: np.ones((48, 64), np.uint8)}, ["soil"])
    monkeypatch.chdir(season.parent)
    told = []

    def do(work: ImageWork, *_: object) -> Iterator[Any]:
        told.extend([work.settings.out, work.settings.corrections])
        yield from ()

    out, project = Path("out"), Path("mine.gaussproto")
    run(batch_steps(BatchRequest(model, find([season], out), out, corrections=project), do))
    assert told == [season.parent / "out", season.parent / "mine.gaussproto"]


def test_a_cancel_keeps_what_is_done(model: PrototypeSegmenter, season: Path) -> None:
    request = request_of(model, season)
    steps = batch_steps(request)
    next(step for step in steps if step.done == 1)
    steps.close()
    check_rows(request.out, season, model, NAMES[:1])
    result = run(batch_steps(request))
    assert result.kept == NAMES[:1] and changed(result) == NAMES[1:]


def files(out: Path) -> Iterator[Path]:
    return (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))


@pytest.mark.parametrize("count", [3, 9, 14, 20, 27, 34])
def test_a_kill_leaves_nothing_torn_and_the_next_run_does_the_rest(
    model: PrototypeSegmenter, season: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    request = request_of(model, season)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, count)
        run(batch_steps(request))
        raise Killed  # where the run had ended before
    for path in files(request.out):
        if path.name == "cover.csv":
            assert all(row["model"] for row in rows_of(request.out).values())
        elif path.suffix == ".tif":
            assert read_labels(path)[0].shape == (48, 64)
        elif path.suffix == ".html":
            assert path.read_text("utf-8").endswith("</html>")
        else:
            assert read_manifest(request.out).program
    run(batch_steps(request))
    check_rows(request.out, season, model, NAMES)


def test_images_that_are_in_no_file_are_segmented_every_time(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    items = [Item(f"layer {n}", read=partial(lambda n: two_tone(48, 64, n)[0], n)) for n in (0, 1)]
    request = BatchRequest(model, items, tmp_path)
    for _ in range(2):
        result = run(batch_steps(request))
        assert changed(result) == ["layer 0", "layer 1"] and result.notes == []
    assert list(rows_of(tmp_path)) == ["layer 0", "layer 1"]


# -- corrections ------------------------------------------------------------------------------


def drawn_project(season: Path, names: dict[str, np.ndarray], classes: list[str]) -> Path:
    """A project in which these labels are drawn on some photographs."""
    table = tuple(SegmentationClass(name=c, color="#112233") for c in classes)
    annotations = Annotations(table)
    for name, labels in names.items():
        path = season / name
        identity = identify(read_image(path), path.stem, str(path))
        annotations = annotations.with_annotation(Annotation(identity, labels))
    folder = season.parent / "mine.gaussproto"
    with Project.create(folder) if not folder.exists() else Project.open(folder) as project:
        project.annotations.save(annotations)
    return folder


def test_what_a_person_saved_in_a_label_file_counts_and_stays(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season)
    run(batch_steps(request))
    before = rows_of(request.out)
    edited = np.ones((48, 64), np.uint8)
    edited[:12] = 2
    tifffile.imwrite(request.out / "field_a" / "x.labels.ome.tif", edited)
    for _ in range(2):
        result = run(batch_steps(request))
        assert changed(result) == [] and result.notes == []
        rows = rows_of(request.out)
        assert float(rows[NAMES[0]]["plant"]) == 0.25 and rows[NAMES[0]]["corrected"] == "yes"
        assert rows[NAMES[1]] == before[NAMES[1]]
    assert "With corrections." in (request.out / "report.html").read_text("utf-8")
    # A copy of the folder has other times, and is no correction.
    os.utime(request.out / "field_a" / "y.labels.ome.tif", ns=(1, 1))
    run(batch_steps(request))
    assert rows_of(request.out)[NAMES[1]]["corrected"] == ""
    # Another model does everything anew: only what a person made is kept beside it.
    result = run(batch_steps(request_of(tiny_model(seed=1), season)))
    assert result.notes == [
        "x.labels.ome.tif was there and differs: kept as x.labels.former-1.ome.tif"
    ]


def test_what_is_drawn_in_a_project_overrules_the_prediction(
    model: PrototypeSegmenter, season: Path
) -> None:
    drawn = np.zeros((48, 64), np.uint8)
    drawn[:10], drawn[10:20] = 1, 2  # in the table of the project: plant, then soil
    project = drawn_project(season, {NAMES[2]: drawn}, ["plant", "soil"])
    plain, request = request_of(model, season), request_of(model, season, corrections=project)
    run(batch_steps(plain))
    predicted, _ = read_labels(plain.out / "field_b" / "x.labels.ome.tif")
    result = run(batch_steps(request))
    assert changed(result) == [NAMES[2]] and result.notes == []
    expected = predicted.copy()
    expected[:10], expected[10:20] = 2, 1
    labels, _ = read_labels(plain.out / "field_b" / "x.labels.ome.tif")
    assert np.array_equal(labels, expected)
    row = rows_of(plain.out)[NAMES[2]]
    assert row["corrected"] == "yes"
    assert float(row["plant"]) == pytest.approx((expected == 2).mean(), abs=1e-6)
    assert changed(run(batch_steps(request))) == []
    # More is drawn, then the project is left out.
    drawn[20:30] = 1
    drawn_project(season, {NAMES[2]: drawn}, ["plant", "soil"])
    assert changed(run(batch_steps(request))) == [NAMES[2]]
    assert changed(run(batch_steps(plain))) == [NAMES[2]]
    assert rows_of(plain.out)[NAMES[2]]["corrected"] == ""


@pytest.mark.parametrize("file", [None, "/elsewhere/before.png"])
def test_a_drawing_is_found_by_pixels_after_a_run_without_it(
    model: PrototypeSegmenter, season: Path, file: str | None
) -> None:
    run(batch_steps(request_of(model, season)))
    identity = identify(read_image(season / NAMES[1]), "y", file)
    drawn = np.full((48, 64), 2, np.uint8)
    given = Annotations(tuple(model.classes), (Annotation(identity, drawn),))
    request = request_of(model, season, corrections=given)
    assert changed(run(batch_steps(request))) == [NAMES[1]]
    assert rows_of(request.out)[NAMES[1]]["corrected"] == "yes"
    # The others need not be read again.
    entries = read_manifest(request.out).images
    assert entries[NAMES[0]].compared and not entries[NAMES[0]].drawn
    assert changed(run(batch_steps(request))) == []
    given = Annotations(tuple(model.classes), (Annotation(identity, drawn - 1),))
    assert changed(run(batch_steps(request_of(model, season, corrections=given)))) == [NAMES[1]]


def test_what_was_drawn_on_a_photograph_as_it_lay_counts_upright(
    model: PrototypeSegmenter, season: Path
) -> None:
    path = season / NAMES[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    with Image.open(path) as photo:
        photo.save(path, exif=exif)
    lying = read_lying(path)
    drawn = np.zeros(lying.shape[:2], np.uint8)
    drawn[:5, :9] = 2
    identity = identify(lying, "x", str(path))
    given = Annotations(tuple(model.classes), (Annotation(identity, drawn),))
    request = request_of(model, season, corrections=given)
    assert not run(batch_steps(request)).notes
    labels, _ = read_labels(request.out / "field_a" / "x.labels.ome.tif")
    assert labels.shape == drawn.shape[::-1]
    assert (labels[upright(drawn, 6) > 0] == 2).all()
    assert rows_of(request.out)[NAMES[0]]["corrected"] == "yes"


def test_it_is_said_when_labels_are_of_other_pixels(
    model: PrototypeSegmenter, season: Path
) -> None:
    drawn = np.full((48, 64), 2, np.uint8)
    other = two_tone(48, 64, 9)[0]
    identity = identify(other, "x", str(season / NAMES[0]))
    given = Annotations(tuple(model.classes), (Annotation(identity, drawn),))
    request = request_of(model, season, corrections=given)
    result = run(batch_steps(request))
    assert result.notes == [f"{NAMES[0]} holds other pixels than were drawn on: predicted alone"]
    for _ in range(2):  # once done, it is said again and not done again
        again = run(batch_steps(request))
        assert again.kept == NAMES and again.notes == result.notes
    # A drawing on these pixels is noticed, and so is that it was erased.
    own = Annotation(identify(read_image(season / NAMES[0]), "x", str(season / NAMES[0])), drawn)
    other_twin = Annotation(identify(other, "x"), drawn)
    for images in ((own, other_twin), (other_twin,)):
        given = Annotations(tuple(model.classes), images)
        result = run(batch_steps(request_of(model, season, corrections=given)))
        assert result.segmented == 1 and not result.notes
    assert rows_of(request.out)[NAMES[0]]["corrected"] == ""


def test_labels_that_are_streamed_are_corrected_too(
    model: PrototypeSegmenter, season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.LARGE", 48 * 64 - 1)
    plain = request_of(model, season)
    run(batch_steps(plain))
    drawn = np.zeros((48, 64), np.uint8)
    drawn[:10] = 2
    project = drawn_project(season, {NAMES[0]: drawn}, ["soil", "plant"])
    predicted = np.asarray(read_image(plain.out / "field_a" / "x.labels.zarr"))
    run(batch_steps(request_of(model, season, corrections=project)))
    labels = np.asarray(read_image(plain.out / "field_a" / "x.labels.zarr"))
    assert np.array_equal(labels, np.where(drawn > 0, drawn, predicted))
    row = rows_of(plain.out)[NAMES[0]]
    assert row["corrected"] == "yes"
    assert float(row["plant"]) == pytest.approx((labels == 2).mean(), abs=1e-6)


def test_what_a_person_changed_in_streamed_labels_counts_and_stays(
    model: PrototypeSegmenter, season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.LARGE", 48 * 64 - 1)
    request = request_of(model, season)
    run(batch_steps(request))
    assert run(batch_steps(request)).segmented == 0
    labels = open_labels(request.out / "field_a" / "x.labels.zarr")
    labels[:] = 2
    assert run(batch_steps(request)).segmented == 0
    row = rows_of(request.out)[NAMES[0]]
    assert row["corrected"] == "yes" and float(row["plant"]) == 1
    assert rows_of(request.out)[NAMES[1]]["corrected"] == ""
    # With other settings it is done anew, and what was changed is kept beside it.
    result = run(batch_steps(request_of(model, season, tile=64)))
    assert result.segmented == 3
    former = request.out / "field_a" / "x.labels.former-1.zarr"
    assert (np.asarray(read_image(former)) == 2).all()
    # What holds numbers that are no classes is kept, too, and is no result.
    open_labels(request.out / "field_a" / "x.labels.zarr")[:5] = 9
    time.sleep(0.05)  # no person is as quick as the clock of a file system
    result = run(batch_steps(request_of(model, season, tile=64)))
    assert result.segmented == 1
    assert (np.asarray(read_image(former.with_name("x.labels.former-2.zarr"))[:5]) == 9).all()


@pytest.mark.parametrize("follow", [True, False])
def test_outlines_of_streamed_labels_are_as_asked(
    season: Path, monkeypatch: pytest.MonkeyPatch, follow: bool
) -> None:
    model = load_model("plants", "cpu")
    whole = segment(read_image(season / NAMES[0]), model)
    wanted = whole.with_outlines(follow).labels
    assert (wanted != whole.with_outlines(not follow).labels).any()
    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.LARGE", 48 * 64 - 1)
    request = request_of(model, season, season / NAMES[0], follow_edges=follow)
    run(batch_steps(request))
    assert np.array_equal(np.asarray(read_image(request.out / "x.labels.zarr")), wanted)


def test_an_array_of_one_axis_is_left_out_alone(model: PrototypeSegmenter, season: Path) -> None:
    np.save(season / "field_a" / "w.npy", np.arange(40))
    result = run(batch_steps(request_of(model, season)))
    assert sorted(result.images) == NAMES
    assert sorted(result.left_out) == ["field_a/w.npy", "field_b/torn.png"]


def test_an_image_with_a_class_that_the_model_does_not_know_is_left_out(
    model: PrototypeSegmenter, season: Path
) -> None:
    drawn = np.full((48, 64), 2, np.uint8)
    project = drawn_project(season, {NAMES[0]: drawn}, ["sky", "weed"])
    result = run(batch_steps(request_of(model, season, corrections=project)))
    assert "“weed” is drawn on it and is no class of the model: choose" in result.left_out[NAMES[0]]
    assert sorted(result.images) == NAMES[1:]
    with pytest.raises(ConfigError, match="is no project with drawings"):
        run(batch_steps(request_of(model, season, corrections=season)))
