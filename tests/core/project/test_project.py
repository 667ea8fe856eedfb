"""Projects: a folder that is found again, opened once at a time, and copied whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.labels.annotations import Annotations, identify
from napari_gaussproto.core.project.formats import ProjectError, VersionError
from napari_gaussproto.core.project.places import default_folder, projects_root
from napari_gaussproto.core.project.project import Project, find_annotation
from tests.core.builders import tiny_model
from tests.core.drawings import AFTER, BEFORE, equal
from tests.core.killing import Killed, killed_after

ROOT = Path(__file__).parents[2]


def test_reopening_gives_what_was_there(tmp_path: Path) -> None:
    with Project.create(tmp_path / "field trip", "Löwenzahn 2024") as project:
        assert project.folder == tmp_path / "field trip.gaussproto"
        project.annotations.save(BEFORE)
        version = project.versions.add(tiny_model(), parent=None, what="start", annotations=BEFORE)
        assert project.is_open
    assert not project.is_open
    with Project.open(project.folder) as again:
        assert (again.name, again.created) == ("Löwenzahn 2024", project.created)
        assert equal(again.annotations.load(), BEFORE)
        assert again.versions.versions() == [version]


def test_a_project_is_open_once_at_a_time(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a") as project:
        with pytest.raises(ProjectError, match=r"“a” is open in another window: close it"):
            Project.open(project.folder)
        held = (
            "import sys; from napari_gaussproto.core.project.project import Project\n"
            "Project.open(sys.argv[1])"
        )
        other = subprocess.run(
            [sys.executable, "-c", held, project.folder], capture_output=True, text=True, cwd=ROOT
        )
        assert other.returncode == 1
        assert "is open in another window" in other.stderr
    Project.open(project.folder).close()


def test_a_dead_process_does_not_hold_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "a.gaussproto"
    script = (
        "import sys, time; from napari_gaussproto.core.project.project import Project\n"
        "project = Project.create(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == b"open"
        with pytest.raises(ProjectError, match="another window"):
            Project.open(folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    Project.open(folder).close()


def test_folders_that_are_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is no project: choose"):
        Project.open(tmp_path / "nothing")
    photos = tmp_path / "photos.gaussproto"
    photos.mkdir()
    (photos / "a.jpg").write_text("")
    with pytest.raises(ProjectError, match="is no project: choose"):
        Project.open(photos)
    with pytest.raises(ProjectError, match="holds files already"):
        Project.create(photos)
    assert [path.name for path in photos.iterdir()] == ["a.jpg"]
    with Project.create(tmp_path / "a") as project, pytest.raises(ProjectError, match="already"):
        Project.create(project.folder)
    file = tmp_path / "file.gaussproto"
    file.write_text("")
    with pytest.raises(ProjectError, match="is a file: choose another name"):
        Project.create(file)
    with pytest.raises(ProjectError, match="cannot be written to"):
        Project.create(file / "inside")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format_version": 1, "name": ""}'])
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "a.gaussproto"
    Project.create(folder).close()
    (folder / "project.json").write_text(text)
    with pytest.raises(ProjectError, match=r"damaged.*restore that file") as caught:
        Project.open(folder)
    assert str(caught.value).count(". ") == 0


def test_a_newer_project(tmp_path: Path) -> None:
    folder = tmp_path / "a.gaussproto"
    Project.create(folder).close()
    content = json.loads((folder / "project.json").read_text()) | {"format_version": 2}
    (folder / "project.json").write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="newer version"):
        Project.open(folder)


def test_damaged_versions_do_not_cost_the_drawings(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a") as project:
        project.annotations.save(BEFORE)
        project.versions.folder.mkdir()
        (project.versions.folder / "index.json").write_text("{")
    with Project.open(project.folder) as again:
        assert equal(again.annotations.load(), BEFORE)
        with pytest.raises(VersionError, match="damaged"):
            again.versions.versions()


def test_opening_sweeps_what_a_kill_left(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a") as project:
        project.versions.add(tiny_model(), parent=None, what="start")
        files = set(project.versions.folder.iterdir())
        orphan = project.versions.folder / ("0" * 64 + ".safetensors")
        orphan.write_text("")
        (project.versions.folder / f".{orphan.name}.77.part").write_text("")
    with Project.open(project.folder) as again:
        assert set(again.versions.folder.iterdir()) == files


def test_a_kill_while_a_project_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for count in range(50):
        folder = tmp_path / f"{count}.gaussproto"
        finished = True
        with monkeypatch.context() as patch:
            killed_after(patch, count)
            try:
                Project.create(folder).close()
            except Killed:
                finished = False
        if not (folder / "project.json").exists():
            Project.create(folder).close()
        Project.open(folder).close()
        if finished:
            break
    assert finished and count > 2


def test_save_as_is_a_project_of_its_own(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a") as project:
        project.annotations.save(BEFORE)
        version = project.versions.add(tiny_model(), parent=None, what="start", annotations=BEFORE)
        with project.copy_to(tmp_path / "b") as copy:
            assert (copy.name, copy.folder) == ("b", tmp_path / "b.gaussproto")
            assert equal(copy.annotations.load(), BEFORE)
            assert equal(copy.versions.annotations(version.id), BEFORE)
            assert copy.versions.load(version.id).config == tiny_model().config
            copy.annotations.save(AFTER)
            copy.versions.rename(version.id, "other")
        assert equal(project.annotations.load(), BEFORE)
        assert project.versions.get(version.id) == version
        with pytest.raises(ProjectError, match="holds files already"):
            project.copy_to(tmp_path / "b")
        with pytest.raises(ProjectError, match="holds files already"):
            project.copy_to(project.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gaussproto", "b.gaussproto"]


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Project.create(tmp_path / "a") as project:
        project.annotations.save(BEFORE)
        copies = 0
        original = shutil.copy2

        def fails(source: Path, target: Path) -> None:
            nonlocal copies
            original(source, target)
            copies += 1
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copy2", fails)
        with pytest.raises(ProjectError, match=r"cannot be written to.*No space.*free some"):
            project.copy_to(tmp_path / "b")
        assert copies == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.gaussproto"]


def test_an_image_leads_to_what_was_drawn_on_it(tmp_path: Path) -> None:
    states = {
        "old": BEFORE,
        "new": Annotations(BEFORE.classes, BEFORE.images[:1]),
        "other": Annotations(BEFORE.classes, BEFORE.images[1:]),
    }
    for hour, (name, state) in enumerate(states.items()):
        with Project.create(tmp_path / name) as project:
            project.annotations.save(state)
            path = project.annotations.folder / "index.json"
            os.utime(path, (1_700_000_000 + 3600 * hour,) * 2)
            # Only the list is read, so that damage to a drawing does not matter here.
            for drawing in project.annotations.folder.glob("*.npz"):
                drawing.write_bytes(b"")
    damaged = tmp_path / "damaged.gaussproto" / "annotations"
    damaged.mkdir(parents=True)
    (damaged / "index.json").write_text("{")
    Project.create(tmp_path / "empty").close()
    known = BEFORE.images[0].image.model_copy(update={"name": "renamed"})
    with Project.open(tmp_path / "new.gaussproto"):  # open ones are found, too
        found = find_annotation(tmp_path, known)
    assert [project.name for project in found] == ["new", "old"]
    assert found[0].folder == tmp_path / "new.gaussproto"
    assert found[0].image == BEFORE.images[0].image
    assert (found[0].saved - found[1].saved).total_seconds() == 3600
    assert find_annotation(tmp_path, identify(np.zeros((9, 9, 3), np.uint8), "x")) == []
    assert find_annotation(tmp_path / "nothing", known) == []
    assert find_annotation(tmp_path, known, [known]) == []


def test_default_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    assert default_folder("field") == projects_root() / "field.gaussproto"
    assert projects_root() == tmp_path / "data" / "projects"
    assert default_folder("a/b: c?. ").name == "a_b_ c_.gaussproto"
    assert default_folder("../..").parent == projects_root()
    assert default_folder(" ").name == "project.gaussproto"
    with Project.create(default_folder("v1.2 field")) as project:
        assert project.folder.name == "v1.2 field.gaussproto"
