"""Images above a size are measured tile by tile, with the tables of an image at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import open_labels
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.images import read_image
from napari_gaussproto.jobs.batch.measure import MeasureRequest, measure_steps
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "season" / "x.png"
    path.parent.mkdir()
    Image.fromarray(two_tone(200, 310, 4)[0]).save(path)
    return path


def check_same(model: PrototypeSegmenter, photo: Path, **how: Any) -> Any:
    """Measure at once and by tiles: the tables agree, but for what a network sees in a tile."""
    found = find([str(photo)], photo.parent / "none")
    whole = run(measure_steps(MeasureRequest(model, found, None, **how)))
    parts = run(measure_steps(MeasureRequest(model, found, 96, most=100, **how)))
    assert not whole.left_out and not parts.left_out
    for one, other in ((whole.areas, parts.areas), (whole.objects, parts.objects)):
        said = [n for n in ("confidence", "novelty", "prototype", "likelihood") if n in one]
        pd.testing.assert_frame_equal(one.drop(columns=said), other.drop(columns=said))
    return parts


def test_what_overrules_does_so_in_tiles(
    model: PrototypeSegmenter, photo: Path, tmp_path: Path
) -> None:
    drawn = np.ones((200, 310), np.uint8)
    drawn[40:160, 50:250] = 2
    drawn[90:110] = 1
    classes = tuple(model.classes)
    with Project.create(tmp_path / "mine") as project:
        one = Annotation(identify(read_image(photo), "x"), drawn)
        project.annotations.save(Annotations(classes, (one,)))
    ring = [[20, 20], [180, 20], [180, 170], [20, 170], [20, 20]]
    (tmp_path / "plot.json").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    how = {
        "corrections": tmp_path / "mine.gaussproto",
        "regions": tmp_path / "plot.json",
        "pixel_size": PixelSize(0.5, "mm"),
    }
    measured = check_same(model, photo, **how)
    assert measured.objects["area_px"].tolist() == [200 * 310 - 20_000, 10_000, 10_000]
    assert set(measured.objects["labels"]) == {"with corrections"}
    given = np.zeros((200, 310), np.uint16)
    given[80:120, 80:120], given[5:9, 5:9], given[5:9, 300:] = 9, 700, 700
    (tmp_path / "objects").mkdir()
    tifffile.imwrite(tmp_path / "objects" / "x.tif", given)
    measured = check_same(model, photo, **how, instances=tmp_path / "objects", least_area=40)
    assert measured.objects["area_px"].tolist() == [1600, 56]


def test_streamed_labels_that_a_person_changed_are_measured(
    model: PrototypeSegmenter, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.LARGE", 100)
    out, found = tmp_path / "out", find([str(photo)], tmp_path / "out")
    run(batch_steps(BatchRequest(model, found, out)))
    predicted = check_same(model, photo, labels=out)
    assert set(predicted.objects["labels"]) == {"predicted"}
    labels = open_labels(out / "x.labels.zarr")
    labels[:] = 1
    labels[50:150, 60:260] = 2
    changed = check_same(model, photo, labels=out)
    assert changed.objects["area_px"].tolist() == [42_000, 20_000]
    assert set(changed.objects["labels"]) == {"with corrections"}
