"""One atomic writer for files and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_gaussproto.core.base.atomic import replacing, write_bytes_atomically


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
