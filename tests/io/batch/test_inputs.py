"""What a person means by folders, patterns and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.io.batch.inputs import find


@pytest.fixture
def season(tmp_path: Path) -> Path:
    for name in (
        "season/a/x.png", "season/a/y.JPG", "season/b/x.png", "season/notes.txt",
        "season/.hidden.png", "season/a/x.labels.png", "season/a/x.overview.png",
        "season/.cache/x.png", "season/mosaic.zarr/0/0", "season/results/a/z.png",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "season"


def names(given: list[object], out: Path) -> list[str]:
    found = find([str(one) for one in given], out)
    assert not found.missing
    return [path.relative_to(found.root).as_posix() for path in found.paths]


def test_a_folder_is_searched_to_its_bottom_without_results(season: Path) -> None:
    expected = ["a/x.png", "a/y.JPG", "b/x.png", "mosaic.zarr"]
    assert names([season], season / "results") == expected
    (season / "link").symlink_to(season, target_is_directory=True)
    assert names([season], season / "results") == expected


def test_a_folder_that_may_not_be_looked_into_is_left_out(
    season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Path.iterdir

    def refused(path: Path) -> Iterator[Path]:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    found = find([season], season / "results")
    assert [path.name for path in found.paths] == ["x.png", "y.JPG", "mosaic.zarr"]
    told = "1 folder that may not be looked into left out (b): give files by name"
    assert told in found.notes


def test_a_pattern_names_its_matches_from_where_it_begins_to_vary(season: Path) -> None:
    out = season / "results"
    assert names([season / "*" / "x.png"], out) == ["a/x.png", "b/x.png"]
    assert names([season / "**" / "*.png"], out) == ["a/x.png", "b/x.png"]
    assert names([season / "[ab]"], out) == ["a/x.png", "a/y.JPG", "b/x.png"]


def test_folders_and_files_are_named_from_the_folder_that_has_all(season: Path) -> None:
    out = season / "results"
    assert names([season / "a", season / "b"], out) == ["a/x.png", "a/y.JPG", "b/x.png"]
    assert names([season / "b/x.png", season / "a/x.png"], out) == ["b/x.png", "a/x.png"]
    assert names([season / "b/x.png", season / "b"], out) == ["x.png"]


def test_a_file_that_is_given_by_name_is_never_left_out(season: Path) -> None:
    given = [season / "notes.txt", season / ".hidden.png", season / "a/x.labels.png"]
    assert len(names(given, season / "results")) == 3


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "plot [3].png").touch()
    assert names([tmp_path / "plot [3].png"], tmp_path / "o") == ["plot [3].png"]


def test_what_is_not_there_is_told(season: Path) -> None:
    found = find([str(season), "none.jpg"], season / "results")
    assert found.missing == [Path("none.jpg")] and len(found.paths) == 4
    with pytest.raises(ConfigError, match="There is no file “none"):
        find(["none.jpg", "other*.jpg"], season)
    (season / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty” holds no image: give a folder with"):
        find([str(season / "empty")], season / "results")


@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_results_may_be_beside_or_above_the_photographs(season: Path, out: str) -> None:
    found = find([season], season / out)
    names = [path.relative_to(season).as_posix() for path in found.paths]
    assert names == ["a/x.png", "a/y.JPG", "b/x.png", "mosaic.zarr", "results/a/z.png"]
    assert not found.notes  # what this program writes there is its own
    assert len(find([season / "**" / "*.png"], season / out).paths) == 3


def test_who_is_called_like_a_result_is_told_and_like_none_is_taken(season: Path) -> None:
    for name in (
        "plot.labels.jpg",
        "x.former-crop.jpg",
        "north.overview.png",
        "n.labels.former-3.png",
    ):
        (season / "b" / name).touch()
    found = find([season], season / "results")
    assert {path.name for path in found.paths if path.parent.name == "b"} == {
        "plot.labels.jpg", "x.former-crop.jpg", "x.png",
    }  # fmt: skip
    assert found.notes == [
        "4 files named as results of this program are left out (x.labels.png, x.overview.png, "
        "n.labels.former-3.png, …): give files by name"
    ]


# Only Linux lets such a file be made: macOS refuses a name that is not UTF-8, and names of Windows
# are no bytes. Elsewhere there is no file to test with, and none that a person could have.
@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a file have a name that is not UTF-8"
)
def test_names_that_are_no_text_are_told(season: Path) -> None:
    odd = os.fsencode(season / "a") + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).touch()
    Path(os.fsdecode(odd.replace(b".png", b"_mask.png"))).touch()
    found = find([season, os.fsdecode(b"none\xe9.png")], season / "results")
    assert len(found.paths) == 4 and not found.masks
    told = {Path(name).name: sentence for name, sentence in found.left_out.items()}
    assert sorted(told) == ["caf?.png", "caf?_mask.png", "none?.png"]
    assert told["caf?.png"].startswith("Its name is no text in UTF-8")


def test_masks_of_the_photographs_are_left_out_and_told(tmp_path: Path) -> None:
    photographs = ["a/x.jpg", "a/mask_2.png", "b/images/y.jpg", "c/labels/z.png"]
    masks = ["a/x_mask.png", "a/labels-x.TIF", "a/mask_2 gt.png", "b/masks/y.png", "a/gt/x.png"]
    for name in photographs + masks:
        path = tmp_path / "season" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = find([str(tmp_path / "season")], tmp_path / "out")
    root = tmp_path / "season"
    assert {path.relative_to(root).as_posix() for path in found.paths} == set(photographs)
    assert {path.relative_to(root).as_posix() for path in found.masks} == set(masks)
    assert found.notes[0].startswith("5 masks of these photographs left out (")
    assert found.notes[0].endswith(", …): give files by name")
    given = find([str(root), str(root / "a/x_mask.png")], tmp_path / "out")
    assert root / "a/x_mask.png" in given.paths and len(given.masks) == 4
