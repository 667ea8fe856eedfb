"""Tables of measurements of a batch, against those of `measure` over the same labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.jobs.batch.measure import MeasureRequest, measure_steps
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """Two photographs and a stack."""
    folder = tmp_path / "season"
    folder.mkdir()
    for seed, name in enumerate(("x.png", "y.png")):
        Image.fromarray(two_tone(48, 64, seed)[0]).save(folder / name)
    planes = np.stack([two_tone(48, 64, seed)[0] for seed in (5, 6)])
    about = {"metadata": {"axes": "ZYXS"}, "photometric": "rgb", "ome": True}
    tifffile.imwrite(folder / "z.ome.tif", planes, **about)
    return folder


def check_tables(model: PrototypeSegmenter, season: Path, out: Path) -> pd.DataFrame:
    """The tables are those of `measure`; of the objects."""
    found = find([season], out)
    wanted = run(measure_steps(MeasureRequest(model, found, labels=out, least_area=10)))
    assert not wanted.left_out
    for name, expected in (("objects", wanted.objects), ("areas", wanted.areas)):
        table = pd.read_csv(out / f"{name}.csv", keep_default_na=False)
        keys = ["image", "plane", *(["object"] if name == "objects" else ["class"])]
        expected = expected.sort_values(keys, ignore_index=True)
        table = table.sort_values(keys, ignore_index=True)
        pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6)
    return pd.read_csv(out / "objects.csv")


def test_tables_follow_the_labels(
    model: PrototypeSegmenter, season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    outputs = Outputs(tables=True, least_area=10)
    request = BatchRequest(model, find([season], out), out, outputs)
    run(batch_steps(BatchRequest(model, find([season / "x.png"], out), out)))
    assert not (out / "objects.csv").exists()
    result = run(batch_steps(request))
    assert result.segmented == 2 and not result.notes  # what was segmented is measured alone
    objects = check_tables(model, season, out)
    assert set(objects["image"]) == {"x.png", "y.png", "z.ome.tif"}
    assert set(objects["labels"]) == {"predicted"}
    before = (out / "y.areas.csv").stat().st_mtime_ns
    edited = np.ones((48, 64), np.uint8)
    edited[:10, :10] = 2
    tifffile.imwrite(out / "x.labels.ome.tif", edited)
    assert run(batch_steps(request)).segmented == 0
    objects = check_tables(model, season, out)
    own = objects[objects["image"] == "x.png"]
    assert own["area_px"].tolist() == [100, 48 * 64 - 100]
    assert set(own["labels"]) == {"with corrections"}
    assert (out / "y.areas.csv").stat().st_mtime_ns == before
    # What somebody removed is made again.
    (out / "y.objects.csv").unlink()
    assert run(batch_steps(request)).segmented == 0
    check_tables(model, season, out)
    # Large images are measured from their streamed labels.
    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.LARGE", 100)
    large = tmp_path / "large"
    request = BatchRequest(model, find([season / "x.png"], large), large, outputs)
    run(batch_steps(request))
    check_tables(model, season / "x.png", large)
