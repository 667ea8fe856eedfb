"""What a project says of its viewer: paths that hold when a season is moved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_gaussproto.core.labels.annotations import ImageIdentity
from napari_gaussproto.core.project.formats import ProjectError
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.core.project.session import Session, SessionImage


def entry(file: str | None, number: int = 1) -> SessionImage:
    identity = ImageIdentity(name="x", shape=(4, 5), sample=f"{number:064x}", file=file)
    return SessionImage(image=identity, look={"opacity": 0.5})


def session(*files: Path | None) -> Session:
    images = [entry(None if f is None else str(f), n) for n, f in enumerate(files)]
    chosen = 0 if images else None
    return Session(images=tuple(images), chosen=chosen, settings={"dock": {"steps": 3, "on": True}})


def test_a_session_comes_back(tmp_path: Path) -> None:
    kept = session(tmp_path / "season" / "x.jpg", Path("/elsewhere/y.jpg"), None)
    with Project.create(tmp_path / "season" / "mine") as project:
        assert project.session.load() is None
        project.session.save(kept)
    with Project.open(project.folder) as again:
        assert again.session.load() == kept


def test_images_beside_a_project_move_with_it(tmp_path: Path) -> None:
    season = tmp_path / "season"
    with Project.create(season / "mine") as project:
        project.session.save(session(season / "plot" / "x.jpg", Path("/elsewhere/y.jpg")))
        written = json.loads((project.folder / "session.json").read_text())
        assert written["images"][0]["image"]["file"] == "plot/x.jpg"
    season.rename(tmp_path / "moved")
    with Project.open(tmp_path / "moved" / "mine.gaussproto") as again:
        loaded = again.session.load()
    assert loaded == session(tmp_path / "moved" / "plot" / "x.jpg", Path("/elsewhere/y.jpg"))


def test_a_copy_elsewhere_finds_the_same_images(tmp_path: Path) -> None:
    kept = session(tmp_path / "season" / "x.jpg", tmp_path / "y.jpg")
    with Project.create(tmp_path / "season" / "mine") as project:
        project.session.save(kept)
        with project.copy_to(tmp_path / "copy") as copy:
            assert copy.session.load() == kept


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    with Project.create(tmp_path / "mine") as project:
        project.session.save(session())
        (project.folder / "session.json").unlink()
        project.session.save(session())
        assert not (project.folder / "session.json").exists()


def test_an_address_stays_one(tmp_path: Path) -> None:
    image = ImageIdentity(name="x", shape=(4, 5), sample="0" * 64, file="https://a.org/x.zarr")
    kept = Session(images=(SessionImage(image=image),))
    with Project.create(tmp_path / "mine") as project:
        project.session.save(kept)
    with Project.open(project.folder) as again:
        assert again.session.load() == kept


@pytest.mark.parametrize(
    "text",
    ["{", '{"format_version": 1, "images": [1]}', '{"format_version": 1, "chosen": 3}'],
)
def test_a_damaged_session_is_said(tmp_path: Path, text: str) -> None:
    with Project.create(tmp_path / "mine") as project:
        (project.folder / "session.json").write_text(text)
        with pytest.raises(ProjectError, match=r"list of images.*delete that file"):
            project.session.load()
        project.copy_to(tmp_path / "copy").close()  # which goes without
