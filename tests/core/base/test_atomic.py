"""One atomic writer for files and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_gaussproto.core.base.atomic import (
    remove_abandoned,
    replacing,
    write_bytes_atomically,
)


def make_file(path: Path, text: str) -> None:
    path.write_text(text)


def make_folder(path: Path, text: str) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text(text)


def content(path: Path) -> str:
    return (path / "inner" / "file" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("make", [make_file, make_folder])
def test_new_content_takes_the_place_of_the_old(
    make: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "new folder" / "result"
    for text in ("first", "second"):
        with replacing(path) as partial:
            make(partial, text)
            assert not path.exists() or content(path) == "first"
        assert content(path) == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("make", [make_file, make_folder])
def test_an_error_leaves_the_old_content_alone(
    make: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "result"
    make(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        make(partial, "new")
        raise RuntimeError
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("make", [make_file, make_folder])
def test_who_does_the_same_at_once_does_not_meet_itself(
    make: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "result"
    with replacing(path) as one, replacing(path) as other:
        make(one, "ended last")
        make(other, "ended first")
    assert content(path) == "ended last"
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("os.fsync", flushed.append)
    write_bytes_atomically(tmp_path / "one", b"1")
    assert len(flushed) == 2


def test_two_may_write_one_file_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    with replacing(path) as first:
        make_file(first, "first")
        with replacing(path) as second:
            make_file(second, "second")
        assert content(path) == "second"
    assert content(path) == "first" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x.labels.zarr", "x" * 200 + ".labels.zarr"])
def test_a_kill_between_two_renamings_loses_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / name, Path.rename
    make_folder(path, "old")

    class Killed(BaseException):
        """Nothing is tidied up any more."""

    def killed(source: Path, target: Path) -> Path:
        if source.suffix == ".part":
            source.with_name(f"{source.name}.part").mkdir()  # it stays as of a killed process
            raise Killed
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(Killed), replacing(path) as partial:
        make_folder(partial, "new")
    monkeypatch.undo()
    assert not path.exists()
    remove_abandoned(tmp_path, ".labels.")
    (left,) = tmp_path.iterdir()
    assert content(left) == "old" and (left == path or len(name) > 160)
    if left == path:
        make_folder(tmp_path / f".{name}.77.former", "older")
        remove_abandoned(tmp_path, ".labels.")
        assert list(tmp_path.iterdir()) == [path] and content(path) == "old"
