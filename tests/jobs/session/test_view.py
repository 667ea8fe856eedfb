"""What a project keeps of a viewer, with images that are open, closed and awaited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.core.project.session import Session, SessionImage
from napari_gaussproto.jobs.session.view import OpenImage, View
from napari_gaussproto.jobs.storage import Identities, ProjectSession
from tests.core.builders import two_tone
from tests.jobs.images import CLASSES, kept_of, labels_like, saved, train_image


def worked_in(folder: Path) -> ProjectSession:
    session = ProjectSession(Identities())
    session.project = Project.create(folder)
    return session


def open_images(folder: Path) -> list[OpenImage]:
    images = []
    for seed in range(2):
        pixels, file = saved(folder, seed, f"{seed}.tif")
        known = replace(train_image(seed, pixels, file=file), codes=None)
        images.append(OpenImage(known, {"name": str(seed)}, "napari"))
    return images


def kept_in(session: ProjectSession) -> Session:
    assert session.project is not None
    kept = session.project.session.load()
    assert kept is not None
    return kept


def test_open_images_are_kept_and_labelled_ones_that_are_closed(tmp_path: Path) -> None:
    session, images = worked_in(tmp_path / "mine"), open_images(tmp_path)
    session.save(CLASSES, [train_image("closed", two_tone(seed=7)[0], file="/gone.tif")], 0)
    session.keep_view(View(images, 1, {"dock": {"a": 1}}), 0)
    kept = kept_in(session)
    assert [(e.image.file, e.is_open) for e in kept.images] == [
        (str(tmp_path / "0.tif"), True),
        (str(tmp_path / "1.tif"), True),
        ("/gone.tif", False),
    ]
    assert kept.chosen == 1 and kept.settings == {"dock": {"a": 1}}
    assert kept.images[0].reader == "napari"
    session.close()


def test_an_empty_viewer_is_one_that_is_being_closed(tmp_path: Path) -> None:
    session, images = worked_in(tmp_path / "mine"), open_images(tmp_path)
    session.keep_view(View(images, 0), 0)
    session.keep_view(View((), None, {"dock": {"a": 2}}), 0)
    kept = kept_in(session)
    assert len(kept.images) == 2 and kept.chosen == 0 and kept.settings["dock"] == {"a": 2}
    session.keep_view(View(images[1:], 0), 0)
    assert len(kept_in(session).images) == 1
    session.close()


def test_what_is_awaited_is_not_forgotten(tmp_path: Path) -> None:
    session, images = worked_in(tmp_path / "mine"), open_images(tmp_path)
    lost = SessionImage(image=identify(two_tone(seed=5)[0], "lost", "/moved.tif"))
    twin = SessionImage(image=identify(images[0].image.pixels, "twin"))
    session.keep_view(View(images, 0, awaited=[lost, twin]), 0)
    assert [entry.image.name for entry in kept_in(session).images] == ["0", "1", "lost"]
    session.close()


def test_a_view_of_a_project_that_was_left_is_not_kept(tmp_path: Path) -> None:
    session, images = worked_in(tmp_path / "a"), open_images(tmp_path)
    Project.create(tmp_path / "b").close()
    session.open(tmp_path / "b.gaussproto")
    session.keep_view(View(images, 0), 0)
    assert session.project is not None and session.project.session.load() is None
    session.close()


def test_a_project_of_before_says_its_labelled_images(tmp_path: Path) -> None:
    session = worked_in(tmp_path / "mine")
    pixels, file = saved(tmp_path)
    assert session.project is not None
    session.project.annotations.save(kept_of((pixels, file)))
    folder = session.project.folder
    for damage in (False, True):
        if damage:
            (folder / "session.json").write_text("{")
        opened = session.open(folder)  # the one that is open already
        assert not opened.is_kept and bool(opened.remark) == damage
        (entry,) = opened.session.images
        assert entry.is_open and entry.image.file == file and entry.look == {"rgb": True}
    session.close()


def test_labels_take_the_new_path_of_an_image_that_is_gone(tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    gone = Annotation(identify(pixels, "photo", "/gone.tif"), labels_like(pixels))
    there = Annotation(identify(two_tone(seed=3)[0], "other", file), labels_like(pixels))
    session = ProjectSession(Identities(), Annotations(CLASSES, (gone, there)))
    found = [
        SessionImage(image=a.image.model_copy(update={"file": "/new.tif"})) for a in (gone, there)
    ]
    session.locate(Session(images=tuple(found)))
    assert [a.image.file for a in session.kept.images] == ["/new.tif", file]
