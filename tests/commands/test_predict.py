"""``predict``: files in, labels, maps, pictures and a table out; what fails is named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_gaussproto.commands.predict import parse_tile
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.predict import segment, segment_steps
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch import one_image as batch
from tests.commands.conftest import Cli
from tests.core.builders import tiny_model
from tests.io.test_geo import SCALE, TIE, geotiff, position


def expected_labels(path: Path, model_file: Path) -> np.ndarray:
    return segment(read_image(path), load_model_file(model_file)).labels


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def written(out: Path) -> set[str]:
    """Files of a folder of results that a person looks for, and the first of their folders."""
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    return {name for name in found if not name.startswith(".") and name not in ("left", "right")}


OTHERS = {"cover.csv", "manifest.json", "report.html"}
HEADER = ["image", "soil", "plant", "data", "novelty", "uncertainty", "corrected"]
HEADER += ["remarks", "labels", "model"]


def test_all_results_of_all_photographs_are_written(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "results"
    options = ("--model", model_file, "--out", out, "--maps", "--overview")
    result = cli("predict", *photos, *options)
    assert result.code == 0 and result.err == ""
    names = ("left/plot", "right/plot")  # by their paths below the folder that has all of them
    kinds = ("labels.ome.tif", "likelihood.ome.tif", "overview.png")
    assert written(out) == OTHERS | {f"{name}.{kind}" for name in names for kind in kinds}
    model = load_model_file(model_file)
    header, *rows = table(out / "cover.csv")
    assert header == HEADER
    for name, photo, row in zip(names, photos, rows, strict=True):
        labels, classes = read_labels(out / f"{name}.labels.ome.tif")
        assert np.array_equal(labels, expected_labels(photo, model_file))
        assert classes == model.classes
        assert row[0] == f"{name}.png"
        shares = [(labels == value).mean() for value in (1, 2)]
        assert [float(share) for share in row[1:4]] == pytest.approx([*shares, 1], abs=1e-6)
        # A model that knows no photographs, and nothing to remark.
        assert row[4] == row[6] == row[7] == "" and 0 < float(row[5]) < 1
        assert row[8:] == [f"{name}.labels.ome.tif", "tiny [a/b]"]
        maps = tifffile.imread(out / f"{name}.likelihood.ome.tif")
        assert maps.shape == (len(model.prototypes), 64 // 4, 96 // 4)
        assert 0 <= maps.min() < maps.max() <= 1
        with Image.open(out / f"{name}.overview.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 20
        assert f"{float(row[1]):.1%}" in result.out
    assert f"2 of 2 images segmented, into {out}/" in result.out


def test_a_broken_file_is_named_and_the_others_are_segmented(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    broken, missing = tmp_path / "plot [b] 7.jpg", tmp_path / "missing.jpg"
    broken.write_text("no photograph")
    deep = tmp_path / "bands.tif"
    tifffile.imwrite(deep, np.zeros((7, 30, 40), np.uint8), photometric="minisblack")
    result = cli(
        "predict", photos[0], broken, missing, deep, photos[1],
        "--model", model_file, "--out", tmp_path / "o",
    )  # fmt: skip
    assert result.code == 1
    assert result.err == "" and "Traceback" not in result.out
    lines = [line for line in result.out.splitlines() if line.startswith("left out ")]
    assert [line.split(": ")[0] for line in lines] == [
        f"left out {name}" for name in (missing, broken.name, deep.name)
    ]
    assert "There is no such file" in lines[0]
    assert "“plot [b] 7.jpg” is no image this program can read" in lines[1]
    assert "channels" in lines[2]
    assert "2 of 5 images segmented" in result.out
    names = ("left/plot", "right/plot")
    assert written(tmp_path / "o") == OTHERS | {f"{name}.labels.ome.tif" for name in names}
    rows = table(tmp_path / "o" / "cover.csv")
    assert [row[0] for row in rows] == ["image", *(f"{name}.png" for name in names)]


def test_nothing_but_broken_files_leaves_an_empty_table(
    cli: Cli, model_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photograph")
    result = cli("predict", broken, "--model", model_file, "--out", tmp_path / "o")
    assert result.code == 1 and "0 of 1 image segmented" in result.out
    assert table(tmp_path / "o" / "cover.csv") == [HEADER]


def test_a_name_of_no_file_is_said_at_once(cli: Cli, tmp_path: Path) -> None:
    sentence = cli("predict", "none.jpg", "--model", "no model", "--out", tmp_path).one_sentence()
    assert sentence == "Error: There is no file “none.jpg”: check the name and the folder."


def test_a_second_run_keeps_the_rows_of_the_first(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    options = ("--model", model_file, "--out", out)
    second = photos[1].rename(photos[1].with_name("second.png"))
    cli("predict", photos[0], *options)
    first = table(out / "cover.csv")
    cli("predict", second, *options)
    both = table(out / "cover.csv")
    assert both[:2] == first and both[2][0] == "second.png"
    cli("predict", photos[0], "none.jpg", *options)
    assert table(out / "cover.csv") == both
    cli("predict", "none.jpg", *options)
    assert table(out / "cover.csv") == both


def test_a_table_of_other_classes_is_kept_under_another_name(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    options = ("--out", out)
    cli("predict", photos[0], "--model", model_file, *options)
    first = table(out / "cover.csv")
    other = save_model(tiny_model(classes=["ground", "crop"]), tmp_path / "other")
    result = cli("predict", photos[0], "--model", other, *options)
    assert "kept as cover.former-1.csv" in result.out
    assert table(out / "cover.former-1.csv") == first
    assert table(out / "cover.csv")[0] == ["image", "ground", "crop", *HEADER[3:]]


def test_names_that_look_like_markup_or_formulas_are_printed_and_drawn(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    strange = photos[0].rename(photos[0].with_name("$a [red]_{$ [b].png"))
    out = tmp_path / "o [i]"
    result = cli("predict", strange, "--model", model_file, "--out", out, "--overview")
    assert result.code == 0
    assert (out / "$a [red]_{$ [b].overview.png").exists()
    assert "$a [red]_{$ [b]" in result.out and f"into {out}/" in result.out


def test_a_large_image_becomes_labels_on_disk(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(read_image(photos[0])[:32, :32]).save(small)
    monkeypatch.setattr(batch, "LARGE", 2000)
    out = tmp_path / "o"
    result = cli("predict", photos[0], small, "--model", model_file, "--out", out)
    assert result.code == 0 and "left/plot.png is large: labels only, as zarr" in result.out
    assert "2 of 2 images segmented" in result.out
    assert (out / "left/plot.labels.zarr").is_dir() and (out / "small.labels.ome.tif").is_file()
    stored = zarr.open_array(str(out / "left/plot.labels.zarr"), mode="r")
    assert np.array_equal(stored[:], expected_labels(photos[0], model_file))
    described = stored.attrs["napari-gaussproto"]
    assert described["model"] == "tiny [a/b]"
    assert [entry["name"] for entry in described["classes"]] == ["soil", "plant"]
    _, large, other = table(out / "cover.csv")
    assert [large[0], other[0]] == ["left/plot.png", "small.png"]
    shares = [(stored[:] == value).mean() for value in (1, 2)]
    assert [float(share) for share in large[1:4]] == pytest.approx([*shares, 1], abs=1e-6)


def test_a_zarr_is_segmented_like_a_file(cli: Cli, photos: list[Path], model_file: Path) -> None:
    stored = photos[0].parent / "plot.zarr"
    zarr.create_array(store=str(stored), data=read_image(photos[0]), chunks=(32, 32, 3))
    out = photos[0].parent / "o"
    assert cli("predict", stored, "--model", model_file, "--out", out).code == 0
    assert np.array_equal(
        read_labels(out / "plot.labels.ome.tif")[0], expected_labels(photos[0], model_file)
    )


# -- channels -------------------------------------------------------------------------------


def test_arrays_have_their_channels_first_or_last(cli: Cli, tmp_path: Path) -> None:
    model = save_model(tiny_model(channels=5), tmp_path / "five")
    last = np.random.default_rng(0).random((40, 56, 5), np.float32)
    first = np.ascontiguousarray(np.moveaxis(last, -1, 0))
    np.save(tmp_path / "last.npy", last)
    np.save(tmp_path / "first.npy", first)
    tifffile.imwrite(tmp_path / "named.tif", first, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "pages.tif", first, photometric="minisblack")
    files = [tmp_path / name for name in ("last.npy", "first.npy", "named.tif", "pages.tif")]
    options = ("--model", model, "--out", tmp_path / "o")
    assert cli("predict", *files, *options).code == 0
    expected = segment(last, model).labels
    for name in ("last", "first", "named", "pages"):
        assert np.array_equal(read_labels(tmp_path / "o" / f"{name}.labels.ome.tif")[0], expected)
    # Said wrongly, it does not fit the model; a file that names its axes is believed.
    result = cli("predict", files[0], files[2], *options, "--channels", "first")
    assert "1 of 2 images segmented" in result.out and "has 40 channels" in result.out
    sentence = cli("predict", files[0], *options, "--channels", "middle").one_sentence()
    assert "“middle” is no place of channels: give auto, first or last." in sentence


def test_the_planes_of_a_stack_are_rows(cli: Cli, model_file: Path, tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 255, (3, 40, 56)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "z.ome.tif", planes, metadata={"axes": "ZYX"})
    np.save(tmp_path / "three.npy", planes)
    files = (tmp_path / "z.ome.tif", tmp_path / "three.npy")
    out = tmp_path / "o"
    options = ("--model", model_file, "--out", out, "--channels", "none")
    result = cli("predict", *files, *options)
    assert result.code == 0 and "2 of 2 images segmented" in result.out
    _, *rows = table(out / "cover.csv")
    names = [f"{name}/plane {n}" for name in ("three.npy", "z.ome.tif") for n in (1, 2, 3)]
    assert [row[0] for row in rows] == names and "z.ome.tif/plane 3" in result.out
    model = load_model_file(model_file)
    expected = np.stack([segment(plane, model).labels for plane in planes])
    for name in ("z", "three"):
        assert np.array_equal(read_labels(out / f"{name}.labels.ome.tif")[0], expected)


# -- GeoTIFF --------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_results_of_a_geotiff_lie_where_it_lies(
    cli: Cli, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    path = geotiff(tmp_path / "field.tif", SCALE, TIE)
    if large:
        monkeypatch.setattr(batch, "LARGE", 10)
    out = tmp_path / "o"
    assert cli("predict", path, "--model", model_file, "--out", out, "--maps").code == 0
    labels, _ = read_labels(out / "field.labels.ome.tif")
    assert np.array_equal(labels, expected_labels(path, model_file))
    made = {"field.labels.ome.tif": 1} if large else {"field.labels.ome.tif": 1,
                                                      "field.likelihood.ome.tif": 4}  # fmt: skip
    for name, size in made.items():
        assert np.allclose(position(out / name, 16 / size, 24 / size), position(path, 16, 24))
    assert (out / "field.labels.zarr").exists() == large


# -- results of an earlier run ----------------------------------------------------------------


def test_corrected_labels_are_kept_when_run_again(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    command = ("predict", photos[0], "--model", model_file, "--out", out, "--again")
    path = out / "plot.labels.ome.tif"
    predicted = expected_labels(photos[0], model_file)
    for number in (1, 2):
        assert cli(*command).code == 0
        corrected = np.full_like(predicted, number)
        tifffile.imwrite(path, corrected)  # as a viewer saves it
        result = cli(*command)
        assert f"kept as plot.labels.former-{number}.ome.tif" in result.out
        kept = tifffile.imread(out / f"plot.labels.former-{number}.ome.tif")
        assert np.array_equal(kept, corrected)
        assert np.array_equal(read_labels(path)[0], predicted)
    before = {entry.name for entry in out.iterdir()}
    assert "kept as" not in cli(*command).out  # the same labels again: nothing to keep
    assert {entry.name for entry in out.iterdir()} == before


def test_streamed_labels_are_kept_when_run_again(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LARGE", 10)
    out = tmp_path / "o"
    command = ("predict", photos[0], "--model", model_file, "--out", out, "--again")
    assert cli(*command).code == 0
    zarr.open_array(str(out / "plot.labels.zarr"), mode="r+")[:5] = 0
    assert cli(*command).code == 0
    kept = zarr.open_array(str(out / "plot.labels.former-1.zarr"), mode="r")
    assert not kept[:5].any() and kept[5:].all()
    again = zarr.open_array(str(out / "plot.labels.zarr"), mode="r")
    assert np.array_equal(again[:], expected_labels(photos[0], model_file))


# -- tiles ----------------------------------------------------------------------------------


def test_the_tile_size_reaches_the_work(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def watched(*arguments: object, **options: object) -> object:
        asked.append(options["tile"])
        return segment_steps(*arguments, **options)

    monkeypatch.setattr(batch, "segment_steps", watched)
    for text in ("auto", "none", "64"):
        result = cli("predict", photos[0], "--model", model_file, "--out", tmp_path / text,
                      "--tile", text, "--no-overview")  # fmt: skip
        assert result.code == 0
        labels, _ = read_labels(tmp_path / text / "plot.labels.ome.tif")
        assert np.array_equal(labels, expected_labels(photos[0], model_file))
    assert asked == ["auto", None, 64]


@pytest.mark.parametrize("text", ["", "all", "0", "-64", "64.5", "64px", "²", "½", "None"])
def test_a_tile_size_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=f"“{text}” is no tile size: give auto, none, or a side"):
        parse_tile(text)


def test_a_wrong_tile_size_ends_the_command_before_any_work(
    cli: Cli, photos: list[Path], tmp_path: Path
) -> None:
    result = cli("predict", photos[0], "--tile", "huge", "--out", tmp_path / "o")
    assert "“huge” is no tile size" in result.one_sentence()
    assert not (tmp_path / "o").exists()


def test_an_unknown_model_is_a_sentence(cli: Cli, photos: list[Path], tmp_path: Path) -> None:
    arguments = ("predict", photos[0], "--out", tmp_path / "o", "--model")
    assert "There is no model “none”" in cli(*arguments, "none").one_sentence()
    assert "“plot.png” is not a model file" in cli(*arguments, photos[0]).one_sentence()
    assert not (tmp_path / "o").exists()
