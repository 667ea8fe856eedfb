"""``export``: what predict wrote, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.io.batch.manifest import locked
from napari_gaussproto.io.batch.outputs import read_label_file
from napari_gaussproto.io.images import read_mask
from napari_gaussproto.io.mask_json import read_outlines
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch import export
from tests.commands.conftest import Cli
from tests.core.builders import tiny_model

_SMALL = """{"classes": [{"name": "soil", "color": "#999999"}],
 "images": {"x": {"results": "x", "labels": "x.png", "cover": {"soil": 1}}}}"""


def test_labels_of_results_go_into_other_formats(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    cli("predict", *photos, "--model", model_file, "--out", out)
    # What a person corrected counts.
    edited = np.ones((64, 96), np.uint8)
    edited[:12, 30:50] = 2
    tifffile.imwrite(out / "left" / "plot.labels.ome.tif", edited)
    labels, _ = read_labels(out / "right" / "plot.labels.ome.tif")
    result = cli("export", out, "--format", "coco", "--least-area", 1)
    assert result.code == 0 and f"2 images written as coco, into {out}/" in result.out
    content = json.loads((out / "coco.json").read_text("utf-8"))
    assert [i["file_name"] for i in content["images"]] == ["left/plot.png", "right/plot.png"]
    assert [c["name"] for c in content["categories"]] == ["soil", "plant"]
    content["images"], content["images"][0]["file_name"] = content["images"][1:], "x"
    (out / "right.json").write_text(json.dumps(content), "utf-8")
    assert np.array_equal(read_outlines(out / "right.json").values, labels)
    assert cli("export", out, "--format", "geojson").code == 0
    left = json.loads((out / "left" / "plot.labels.geojson").read_text("utf-8"))
    about = {f["properties"]["class"]: f["properties"]["area_px"] for f in left["features"]}
    assert about == {"soil": 64 * 96 - 240, "plant": 240}
    named = tmp_path / "new" / "all.json"
    result = cli("export", out, "--format", "coco", "--least-area", 1, "--out", named)
    assert result.code == 0 and f"written as coco, into {named}" in result.out
    assert len(json.loads(named.read_text("utf-8"))["images"]) == 2
    there = tmp_path / "pictures"
    assert cli("export", out, "--format", "png", "--out", there).code == 0
    assert np.array_equal(read_mask(there / "right" / "plot.labels.png"), labels)


def test_polygons_lie_in_the_world_after_the_mosaic_was_moved(
    cli: Cli, model_file: Path, tmp_path: Path
) -> None:
    place = [(33550, 12, 3, (0.5, 0.5, 0.0), True)]
    place.append((33922, 12, 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True))
    mosaic = tmp_path / "field.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    tifffile.imwrite(mosaic, pixels, extratags=place)
    for kind in ("tiff", "png"):
        options = ("--model", model_file, "--labels", kind, "--out", tmp_path / kind)
        assert cli("predict", mosaic, *options).code == 0
    mosaic.rename(tmp_path / "moved.tif")
    for kind in ("tiff", "png"):
        out = tmp_path / kind
        assert cli("export", out, "--format", "geojson", "--least-area", 1).code == 0
        [first, *_] = json.loads((out / "field.labels.geojson").read_text("utf-8"))["features"]
        ring = first["geometry"]["coordinates"][0]
        assert all(1000 <= x <= 1028 and 1980 <= y <= 2000 for x, y in ring)


def test_planes_of_a_stack_are_pictures_of_their_own(
    cli: Cli, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = np.random.default_rng(0).integers(0, 255, (3, 40, 56)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "z.ome.tif", planes, metadata={"axes": "ZYX"})
    out = tmp_path / "out"
    cli("predict", tmp_path / "z.ome.tif", "--model", model_file, "--out", out)
    read: list[Path] = []

    def reading(path: Path, ndim: int) -> np.ndarray:
        read.append(path)
        return read_label_file(path, ndim)

    monkeypatch.setattr(export, "read_label_file", reading)
    assert cli("export", out, "--format", "png").code == 0
    assert read == [out / "z.labels.ome.tif"]  # and not once for each plane
    labels, _ = read_labels(out / "z.labels.ome.tif")
    for number, plane in enumerate(labels, start=1):
        assert np.array_equal(read_mask(out / "z" / f"plane {number}.labels.png"), plane)


def test_what_another_run_wrote_until_the_lock_is_exported(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ("--model", model_file, "--out", out)
    cli("predict", photos[0], *options)

    @contextmanager
    def waited(folder: Path) -> Iterator[int]:
        cli("predict", *photos, *options)
        with locked(folder) as began:
            yield began

    monkeypatch.setattr(export, "locked", waited)
    assert "2 images written" in cli("export", out, "--format", "png").out


def test_a_label_file_that_is_gone_is_named(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    cli("predict", *photos, "--model", model_file, "--out", out)
    (out / "left" / "plot.labels.ome.tif").unlink()
    result = cli("export", out, "--format", "coco")
    assert result.code == 1 and "1 image written" in result.out
    assert "left out left/plot.png: There is no file" in result.out


def test_labels_that_do_not_fit_are_left_out(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    cli("predict", *photos, "--model", model_file, "--out", out)
    tifffile.imwrite(out / "left" / "plot.labels.ome.tif", np.full((64, 96), 7, np.uint8))
    tifffile.imwrite(out / "right" / "plot.labels.ome.tif", np.ones((64, 90), np.uint8))
    result = cli("export", out, "--format", "coco")
    assert result.code == 1 and "0 images written" in result.out
    assert "left out left/plot.png: The labels in “left/plot.labels.ome.tif” contain" in result.out
    assert "have shape (64, 90), the image has (64, 96)" in result.out


def test_what_makes_no_sense_is_a_sentence(cli: Cli, tmp_path: Path) -> None:
    sentence = cli("export", tmp_path, "--format", "x").one_sentence()
    assert (
        "give coco, geojson, png for a folder of results, or onnx or bioimageio for a model"
        in sentence
    )
    file = ("--format", "geojson", "--out", tmp_path / "x.json")
    (tmp_path / "manifest.json").write_text(_SMALL)
    assert "is the name of a file, and geojson has" in cli("export", tmp_path, *file).one_sentence()
    assert not (tmp_path / "x.json").exists()
    least = cli("export", tmp_path, "--format", "coco", "--least-area", -5).one_sentence()
    assert "Objects of -5 pixels cannot be: give --least-area 1 or more" in least
    (tmp_path / "manifest.json").unlink()
    empty = cli("export", tmp_path, "--format", "coco").one_sentence()
    assert "holds no results: give the folder that predict wrote" in empty


def test_a_model_goes_into_a_file(cli: Cli, model_file: Path, tmp_path: Path) -> None:
    result = cli("export", model_file, "--format", "onnx", "--out", tmp_path / "tiny.onnx")
    assert result.code == 0 and "tiny.onnx" in result.out
    assert (tmp_path / "tiny.onnx").stat().st_size > 1000


def test_labels_of_another_model_are_not_read_by_the_classes_of_the_last(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    other = save_model(tiny_model(classes=["plant", "soil"]), tmp_path / "other")
    out, made = tmp_path / "o", tmp_path / "made"
    assert cli("predict", *photos, "--model", model_file, "--out", out).code == 0
    assert cli("predict", photos[1], "--model", other, "--out", out).code == 0
    result = cli("export", out, "--format", "png", "--out", made)
    assert result.code == 1
    assert "left out left/plot.png: The labels of “left/plot.png” are by “tiny" in result.out
    assert [path.name for path in made.rglob("*.png")] == ["plot.labels.png"]
    more = ("--model", other, "--labels", out, "--out", tmp_path / "tables")
    result = cli("measure", *photos, *more)
    assert "left out left/plot.png: The labels of “left/plot.png” are by “tiny" in result.out
    assert set(pd.read_csv(tmp_path / "tables" / "areas.csv")["image"]) == {"right/plot.png"}


def test_pictures_that_a_person_corrected_are_kept(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    command = ("predict", photos[0], "--model", model_file, "--out", out, "--labels")
    assert cli(*command, "png").code == 0 and cli(*command, "tiff").code == 0
    Image.fromarray(np.full((64, 96), 2, np.uint8)).save(out / "plot.labels.png")
    result = cli("export", out, "--format", "png")
    assert "plot.labels.png was there and differs: kept as plot.labels.former-1.png" in result.out
    assert (read_mask(out / "plot.labels.former-1.png") == 2).all()
    assert np.array_equal(
        read_mask(out / "plot.labels.png"), read_labels(out / "plot.labels.ome.tif")[0]
    )
