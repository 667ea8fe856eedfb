"""Files of any name in a batch, and damaged ones: nothing but themselves is left out."""

from __future__ import annotations

import csv
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from PIL import Image

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import LARGE
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import Item, find
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.jobs.batch import one_image
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from tests.core.builders import tiny_model, two_tone


def picture(seed: int) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = two_tone(48, 64, seed)[0]
    return pixels


def photo(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path)


def done(model: PrototypeSegmenter, season: Path, **more: Any) -> BatchResult:
    out = season.parent / "out"
    result: BatchResult = run(batch_steps(BatchRequest(model, find([season], out), out, **more)))
    return result


def column(path: Path, name: str) -> set[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row[name] for row in csv.DictReader(file)}


# Only Linux lets such a file be made: macOS refuses a name that is not UTF-8, and names of Windows
# are no bytes. Elsewhere there is no file to test with, and none that a person could have.
@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a file have a name that is not UTF-8"
)
def test_a_name_that_is_no_text_ends_no_run(tmp_path: Path) -> None:
    season, model = tmp_path / "season", tiny_model()
    photo(season / "x.png")
    photo(Path(os.fsdecode(os.fsencode(season) + b"/caf\xe9.png")), 1)
    result = done(model, season)
    assert list(result.images) == ["x.png"] and len(result.left_out) == 1
    assert column(tmp_path / "out" / "cover.csv", "image") == {"x.png"}
    assert done(model, season).kept == ["x.png"]


@pytest.mark.parametrize("most", [10, LARGE])
def test_a_name_that_is_too_long_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(one_image, "LARGE", most)
    season, model = tmp_path / "season", tiny_model()
    # The first has results, with names of its length and a little; those of the second cannot be.
    fits, long = "\u00fc" * 119 + ".png", "\u00fc" * 125 + ".png"
    for seed, name in enumerate((fits, long, "x.png")):
        photo(season / name, seed)
    result = done(model, season)
    assert set(result.images) == {fits, "x.png"} and list(result.left_out) == [long]
    assert "too long for this disk: give the file a shorter one" in result.left_out[long]
    assert set(done(model, season).kept) == {fits, "x.png"}
    assert not list((tmp_path / "out").rglob("*.part"))


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    items = [Item(name, read=partial(picture, seed)) for seed, name in enumerate(("007", "1e3"))]
    outputs, model = Outputs(tables=True), tiny_model(classes=["01", "02"])
    run(batch_steps(BatchRequest(model, items, tmp_path, outputs)))
    for name in ("objects", "areas"):
        assert column(tmp_path / f"{name}.csv", "image") == {"007", "1e3"}
        assert column(tmp_path / f"{name}.csv", "class") == {"01", "02"}


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_damaged_array_on_disk_ends_no_run(tmp_path: Path, kind: str) -> None:
    season, model = tmp_path / "season", tiny_model()
    photo(season / "x.png")
    zarr.create_array(str(season / "w.zarr"), data=picture(1).astype(kind), chunks=(48, 64, 3))
    for chunk in (season / "w.zarr" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"torn")
    one = Annotation(identify(picture(0), "x"), np.ones((48, 64), np.uint8))
    for drawn in (None, Annotations(tuple(model.classes), (one,))):
        result = done(model, season, corrections=drawn)
        assert list(result.images) == ["x.png"] and list(result.left_out) == ["w.zarr"]
