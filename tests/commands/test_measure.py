"""``measure``: tables of objects and areas, by regions, with what a person corrected."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.images import read_image, read_mask
from tests.commands.conftest import Cli
from tests.core.builders import two_tone

LEFT = [[-0.5, -0.5], [47.5, -0.5], [47.5, 63.5], [-0.5, 63.5], [-0.5, -0.5]]


def test_tables_have_cover_and_objects_of_all_images(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "left" / "torn.png").write_text("torn")
    plots = tmp_path / "plots.geojson"
    plots.write_text(json.dumps({"type": "Polygon", "coordinates": [LEFT]}))
    out = tmp_path / "tables"
    result = cli(
        "measure", tmp_path / "left", tmp_path / "right", "--model", model_file, "--out", out,
        "--pixel-size", "0.5mm", "--regions", plots, "--least-area", 30,
    )  # fmt: skip
    assert result.code == 1 and "left out left/torn.png: “torn.png” is no image" in result.out
    areas = pd.read_csv(out / "areas.csv", keep_default_na=False)
    objects = pd.read_csv(out / "objects.csv", keep_default_na=False)
    assert f"{len(objects)} objects in 2 of 3 images" in result.out
    assert (objects["area_px"] >= 30).all() and set(objects["labels"]) == {"predicted"}
    assert set(objects["region"]) <= {"", "1"}
    model = load_model_file(model_file)
    for name, photo in (("left/plot.png", photos[0]), ("right/plot.png", photos[1])):
        labels = segment(read_image(photo), model).labels
        own = areas[areas["image"] == name]
        assert own["region"].tolist() == ["", "", "1", "1"]
        counts = [(part == v).sum() for part in (labels, labels[:, :48]) for v in (1, 2)]
        assert own["pixels"].tolist() == counts
        assert own["area_mm2"].tolist() == [0.25 * count for count in counts]
        found = objects[objects["image"] == name]
        assert found["area_px"].sum() <= labels.size and len(found)
    about = json.loads((out / "measurements.json").read_text())
    assert about["settings"]["pixel_size"] == "0.5mm" and "left/torn.png" in about["left_out"]


def test_exported_polygons_of_a_geotiff_are_taken_back_as_regions(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "maps").mkdir()
    for name, left in (("a.tif", 400_000.0), ("b.tif", 500_000.0)):
        place = geotiff_tags(32632, left)
        tifffile.imwrite(
            tmp_path / "maps" / name, read_image(photos[0]), photometric="rgb", extratags=place
        )
    tifffile.imwrite(tmp_path / "maps" / "plain.tif", read_image(photos[0]), photometric="rgb")
    results, out = tmp_path / "results", tmp_path / "tables"
    about = (tmp_path / "maps", "--model", model_file, "--out")
    assert cli("predict", *about, results).code == 0
    assert cli("export", results, "--format", "geojson", "--least-area", 1).code == 0
    plots = results / "a.labels.geojson"
    features = json.loads(plots.read_text())["features"]
    result = cli("measure", *about, out, "--regions", plots)
    assert result.code == 1
    assert "left out plain.tif: The regions in “a.labels.geojson” are in EPSG:32632" in result.out
    assert "b.tif: regions that hold none of its pixels with data: 1" in result.out
    areas = pd.read_csv(out / "areas.csv", keep_default_na=False)
    own = areas[(areas["image"] == "a.tif") & (areas["region"] != "")]
    for number, feature in enumerate(features, start=1):
        known, region = feature["properties"], own[own["region"] == str(number)]
        pixels = dict(zip(region["class"], region["pixels"], strict=True))
        assert pixels.pop(known["class"]) == known["area_px"] and not any(pixels.values())
    # In a folder each image finds its own.
    result = cli("measure", *about, out, "--regions", results)
    assert result.code == 0 and "hold none" not in result.out
    (results / "plain.labels.geojson").unlink()
    result = cli("measure", *about, out, "--regions", results)
    assert f"plain.tif: “{results}” holds no regions for it" in result.out


def geotiff_tags(code: int, left: float) -> list[tuple[int, str, int, tuple[float, ...], bool]]:
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, code)
    return [
        (33550, "d", 3, (0.1, 0.1, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, left, 5_000_000.0, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]


def test_what_a_person_corrected_counts_and_is_told(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    results, out = tmp_path / "results", tmp_path / "tables"
    options = ("--model", model_file, "--out")
    assert cli("predict", *photos, *options, results).code == 0
    corrected = np.ones((64, 96), np.uint8)
    corrected[10:20, 10:30] = 2
    # As a viewer saves it: without the names of the classes.
    tifffile.imwrite(results / "left" / "plot.labels.ome.tif", corrected)
    assert cli("measure", *photos, *options, out, "--labels", results).code == 0
    objects = pd.read_csv(out / "objects.csv")
    mine = objects[objects["image"] == "left/plot.png"]
    assert set(mine["labels"]) == {"with corrections"}
    assert mine["area_px"].tolist() == [64 * 96 - 200, 200]
    assert set(objects[objects["image"] == "right/plot.png"]["labels"]) == {"predicted"}
    corrected[0, 0] = 9
    tifffile.imwrite(results / "left" / "plot.labels.ome.tif", corrected)
    result = cli("measure", *photos, *options, out, "--labels", results)
    assert result.code == 1 and "left out left/plot.png: The labels in “plot.labels" in result.out


def test_labels_of_another_model_are_told_apart(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert cli("predict", *photos, "--model", model_file, "--out", results).code == 0
    more = ("--model", "peanut-grid", "--labels", results, "--out", tmp_path / "tables")
    assert "give --model the one that made them" in cli("measure", *photos, *more).one_sentence()


def test_what_was_drawn_in_a_project_overrules(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    drawn = np.ones((64, 96), np.uint8)
    drawn[10:20, 10:30] = 2
    classes = tuple(load_model_file(model_file).classes)
    identity = identify(read_image(photos[0]), "plot")
    with Project.create(tmp_path / "mine") as project:
        project.annotations.save(Annotations(classes, (Annotation(identity, drawn),)))
    out = tmp_path / "tables"
    options = ("--model", model_file, "--corrections", tmp_path / "mine.gaussproto")
    assert cli("measure", *photos, *options, "--out", out).code == 0
    objects = pd.read_csv(out / "objects.csv")
    mine = objects[objects["labels"] == "with corrections"]
    assert set(mine["image"]) == {"left/plot.png"}
    assert mine["area_px"].tolist() == [64 * 96 - 200, 200]
    assert cli("predict", *photos, *options, "--out", out).code == 0
    assert np.array_equal(read_mask(out / "left" / "plot.labels.ome.tif"), drawn)


def test_objects_that_were_given_take_the_place_of_pieces(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    given = np.zeros((64, 96), np.uint16)
    given[5:15, 5:25], given[40:50, 60:80] = 300, 7
    (tmp_path / "objects" / "left").mkdir(parents=True)
    Image.fromarray(given).save(tmp_path / "objects" / "left" / "plot.png")
    out = tmp_path / "tables"
    options = ("--model", model_file, "--out", out, "--instances", tmp_path / "objects")
    result = cli("measure", *photos, *options)
    assert result.code == 1 and "holds no objects for it" in result.out
    (tmp_path / "objects" / "right").mkdir()
    Image.fromarray(given[:32]).save(tmp_path / "objects" / "right" / "plot.png")
    result = cli("measure", *photos, *options)
    assert result.code == 1 and "32 × 96 pixels and the image 64 × 96" in result.out
    objects = pd.read_csv(out / "objects.csv")
    assert objects["image"].tolist() == ["left/plot.png"] * 2
    assert objects["area_px"].tolist() == [200, 200] and objects["x_px"].tolist() == [69.5, 14.5]


def test_every_plane_of_a_stack_has_its_rows(cli: Cli, model_file: Path, tmp_path: Path) -> None:
    planes = np.stack([two_tone(64, 96, seed)[0] for seed in (3, 4, 5)])
    path = tmp_path / "series.ome.tif"
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "TYXS"}, photometric="rgb")
    drawn = np.zeros((3, 64, 96), np.uint8)
    drawn[1] = 1
    classes = tuple(load_model_file(model_file).classes)
    with Project.create(tmp_path / "mine") as project:
        one = Annotation(identify(read_image(path), "series"), drawn)
        project.annotations.save(Annotations(classes, (one,)))
    options = ("measure", path, "--model", model_file, "--out", tmp_path / "tables")
    assert cli(*options).code == 0
    objects, areas = (pd.read_csv(tmp_path / "tables" / f"{n}.csv") for n in ("objects", "areas"))
    assert set(objects["image"]) == {"series.ome.tif"} and set(objects["plane"]) == {1, 2, 3}
    model = load_model_file(model_file)
    for number, plane in enumerate(planes, start=1):
        labels = segment(plane, model).labels
        own = areas[areas["plane"] == number]
        assert own["pixels"].tolist() == [(labels == 1).sum(), (labels == 2).sum()]
    assert cli(*options, "--corrections", tmp_path / "mine.gaussproto").code == 0
    areas = pd.read_csv(tmp_path / "tables" / "areas.csv")
    assert areas[areas["plane"] == 2]["pixels"].tolist() == [64 * 96, 0]
    (tmp_path / "objects").mkdir()
    given = np.zeros((3, 64, 96), np.uint16)
    given[2, :20, :20], given[0, 30:50, :40] = 4, 9
    tifffile.imwrite(tmp_path / "objects" / "series.tif", given)
    assert cli(*options, "--instances", tmp_path / "objects").code == 0
    objects = pd.read_csv(tmp_path / "tables" / "objects.csv")
    assert objects[["plane", "area_px"]].to_numpy().tolist() == [[1, 800], [3, 400]]


def test_settings_without_meaning_are_sentences(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sentence(*more: object) -> str:
        return cli("measure", photos[0], "--model", model_file, *more).one_sentence()

    assert "“1 mile” is no size of a pixel" in sentence("--pixel-size", "1 mile")
    assert "“xlsx” is no format of tables" in sentence("--format", "xlsx")
    assert "Objects of 0 pixels cannot be" in sentence("--least-area", "0")
    assert "holds no results: give a folder that predict" in sentence("--labels", tmp_path)
    assert "There is no folder" in sentence("--instances", tmp_path / "none")
    assert "could not be read as GeoJSON" in sentence("--regions", tmp_path / "none.geojson")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "Parquet needs the package pyarrow" in sentence("--format", "parquet")


def test_parquet_holds_the_same_as_csv(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    tables = []
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        out = tmp_path / kind
        options = ("--model", model_file, "--out", out, "--format", kind)
        assert cli("measure", photos[0], *options).code == 0
        tables.append(read(out / f"objects.{kind}").fillna(""))
    pd.testing.assert_frame_equal(*tables, check_dtype=False)
