"""The session of the saving thread: what is drawn and where it is kept."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.imaging.on_disk import is_on_disk
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.labels.class_table import remove_class
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.labels.strokes import count_strokes
from napari_gaussproto.core.project import annotation_store
from napari_gaussproto.core.project.formats import AnnotationError
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.jobs.storage import Identities, ProjectSession
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone
from tests.jobs.images import CLASSES, kept_of, labels_like, saved, train_image


def test_undo_of_the_table_knows_images_that_came_since() -> None:
    first, second = two_tone()[0], two_tone(seed=1)[0]
    session = ProjectSession(Identities(), kept_of((first, None)))
    change = remove_class(CLASSES, 0)  # the one that everything is labelled as
    session.change(change)
    assert not session.kept.images[0].labels.any()
    labels = labels_like(second)
    drawn = Annotation(identify(second, "second"), labels)
    session.kept = Annotations(session.kept.classes, (drawn, *session.kept.images))
    session.revert(change)
    assert session.kept.classes == CLASSES
    came, stayed = session.kept.images
    assert np.array_equal(stayed.labels, labels_like(first))
    assert np.array_equal(came.labels, 2 * labels)  # "plant" is the second class again


def test_removed_images_need_no_memory() -> None:
    identities = Identities()
    pixels = two_tone()[0].copy()
    alive = weakref.ref(pixels)
    identities.of(TrainImage("key", pixels, True))
    del pixels
    gc.collect()
    assert alive() is None


def drawn(seed: int = 0, value: int = 1) -> TrainImage:
    return train_image(f"image {seed}", two_tone(seed=seed)[0], value)


def test_what_is_drawn_is_in_the_project_and_in_the_state(tmp_path: Path) -> None:
    session = ProjectSession(Identities())
    assert session.state.folder is None
    session.project = Project.create(tmp_path / "a")
    count = session.save(CLASSES, [drawn(0), drawn(1, 2)], 0)
    assert count is not None and count.open == 2 and count.closed == 0
    assert count.pixels == [int((drawn(0).codes.codes == 1).sum())] * 2
    assert count.amount == Amount(dense=0, strokes=2)
    state = session.state
    assert state.name == "a" and len(state.kept.images) == 2
    session.close()
    assert session.state.folder is None and state.folder == tmp_path / "a.gaussproto"
    with Project.open(state.folder) as project:
        assert len(project.annotations.load().images) == 2


@pytest.mark.parametrize("stack", [False, True])
def test_a_photograph_is_dense_by_its_pixels_with_data(stack: bool) -> None:
    """A float image of which 46% hold data, and all of these are labelled."""
    pixels = np.full((96, 128), np.nan, np.float32)
    pixels[:, :59] = two_tone()[0][:, :59, 0]
    codes = np.isfinite(pixels).astype(np.uint16)
    if stack:
        pixels, codes = np.stack([pixels] * 2), np.stack([codes, 0 * codes])
    image = TrainImage("a", pixels, False, Snapshot.of(codes))
    count = ProjectSession(Identities()).drawn(CLASSES, [image])[1]
    assert count.amount == Amount(dense=1)


def test_a_transparent_photograph_is_dense_by_what_is_there() -> None:
    pixels = np.dstack([two_tone()[0], np.full((96, 128), 255, np.uint8)])
    pixels[:, 59:, 3] = 0
    codes = (pixels[..., 3] > 0).astype(np.uint16)
    image = TrainImage("a", pixels, True, Snapshot.of(codes))
    count = ProjectSession(Identities()).drawn(CLASSES, [image])[1]
    assert count.amount == Amount(dense=1)


def test_labels_of_a_project_that_was_left_are_not_saved_in_the_next(tmp_path: Path) -> None:
    session = ProjectSession(Identities())
    session.project = Project.create(tmp_path / "a")
    session.save(CLASSES, [drawn()], session.state.generation)
    before = session.state.generation
    Project.create(tmp_path / "b").close()
    session.open(tmp_path / "b.gaussproto")
    assert session.save(CLASSES, [drawn()], before) is None
    assert session.state.name == "b" and not session.state.kept.images
    Project.open(tmp_path / "a.gaussproto").close()  # nobody holds it any more
    session.close()


def test_what_is_drawn_since_is_counted_and_the_rest_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, seen = ProjectSession(Identities()), []

    def counting(labels: np.ndarray) -> int:
        seen.append(labels)
        return count_strokes(labels)

    monkeypatch.setattr("napari_gaussproto.core.labels.amount.count_strokes", counting)
    first, second = drawn(0), drawn(1)
    assert session.drawn(CLASSES, [first, second])[1].amount == Amount(0, 2)
    session.kept, _ = session.drawn(CLASSES, [first, second])
    assert len(seen) == 2
    assert second.codes is not None
    dense = replace(second, codes=Snapshot.of(np.ones_like(second.codes.codes)), is_open=False)
    assert session.drawn(CLASSES, [first, dense])[1].amount == Amount(1, 1)
    assert len(seen) == 2


def test_a_project_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    session = ProjectSession(Identities())
    session.project = Project.create(tmp_path / "a")
    session.save(CLASSES, [drawn()], 0)
    state = session.state
    with Project.create(tmp_path / "b") as other:
        other.annotations.save(state.kept)
        (other.annotations.folder / "index.json").write_text("{")
    for _ in range(2):  # it is not held by the attempt
        with pytest.raises(AnnotationError, match="damaged"):
            session.open(tmp_path / "b.gaussproto")
    assert session.state == state
    session.close()


def test_an_image_is_found_in_its_project_and_in_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path)
    session = ProjectSession(Identities())
    session.save(CLASSES, [drawn()], 0)  # makes a project in the person's folder
    folder, image = session.state.folder, replace(drawn(), key="again", codes=None)
    assert folder is not None and folder.is_relative_to(tmp_path)
    removed = replace(drawn(), key="removed", is_open=False)
    found = session.find(image, labels_like(image.pixels).shape, [removed])
    assert found is not None and found.here is not None and found.same_pixels == ["removed"]
    assert np.array_equal(found.here.images[0].labels, labels_like(image.pixels))
    assert found.ready is not None
    assert np.array_equal(found.ready.record.labels, labels_like(image.pixels))
    assert found.ready.codes.painted == (0,)
    found.ready.record.codes[0, 0] = 9
    assert found.ready.codes.codes[0, 0] != 9
    session.close()
    elsewhere = ProjectSession(Identities()).find(image, labels_like(image.pixels).shape, [])
    assert elsewhere is not None and elsewhere.elsewhere is not None
    assert elsewhere.here is None and elsewhere.elsewhere.folder == folder


def test_what_is_drawn_elsewhere_is_offered_beside_other_windows_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path)
    pixels, file = saved(tmp_path, seed=3)
    shape = labels_like(pixels).shape
    image = replace(drawn(3), pixels=pixels, file=file)

    def window(top: int) -> TrainImage:
        cut, codes = pixels[top : top + 32, :50], Snapshot.of(image.codes.codes[:32, :50])
        area = (top, 0, top + 32, 50)
        return replace(image, key=f"window {top}", pixels=cut, codes=codes, window=area)

    def begin(one: TrainImage) -> ProjectSession:
        session = ProjectSession(Identities())
        session.save(CLASSES, [one], 0)
        return session

    def offered() -> Path | None:
        found = here.find(replace(image, codes=None), shape, [])
        return None if found is None or found.elsewhere is None else found.elsewhere.folder

    other, here = begin(window(0)), begin(window(16))
    assert offered() == other.state.folder
    # What both have is listed by the docks.
    here.save(CLASSES, [window(0), window(16)], 0)
    assert offered() is None
    whole = begin(image)
    assert offered() == whole.state.folder
    for session in (other, here, whole):
        session.close()


def test_there_must_be_something_to_copy(tmp_path: Path) -> None:
    with pytest.raises(GaussProtoError, match="nothing to copy yet: draw"):
        ProjectSession(Identities()).copy_to(tmp_path / "copy")


def test_labels_of_closed_images_are_counted_and_named(tmp_path: Path) -> None:
    pixels, file = saved(tmp_path)
    session = ProjectSession(Identities(), kept_of((pixels, file)))
    here = drawn(1, 2)
    _, count = session.drawn(CLASSES, [here])
    closed = int((labels_like(pixels) == 1).sum())
    assert count.pixels == [0, int((here.codes.codes == 2).sum())] and count.open == 1
    assert count.closed_pixels == [closed, 0] and count.closed == 1
    assert count.all_pixels == [closed, count.pixels[1]]
    (entry,) = count.closed_images
    assert entry.image.file == file and not entry.is_open and entry.look == {"rgb": True}
    _, count = session.drawn(CLASSES, [here, train_image("again", pixels)])
    assert count.closed_images == () and count.closed_pixels == [0, 0] and count.open == 2


def test_labels_of_closed_images_leave_memory_and_stay_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    here, gone = drawn(0), drawn(1)
    session = ProjectSession(Identities())
    session.project = Project.create(tmp_path / "a")
    count = session.save(CLASSES, [here, gone], 0)
    session.most_bytes = 0
    session.save(CLASSES, [here], 0)
    in_view, closed = session.kept.images
    assert is_on_disk(closed.labels) and not is_on_disk(in_view.labels)
    assert np.array_equal(closed.labels, labels_like(gone.pixels))
    # Nothing is packed or counted again for that.
    monkeypatch.setattr(annotation_store, "pack", lambda labels: pytest.fail("packed again"))
    again = session.save(CLASSES, [here], 0)
    assert again.all_pixels == count.all_pixels and again.closed == 1
    assert session.kept.images[1].labels is closed.labels
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # A change of the classes, and its undo, go on from there.
    change = remove_class(CLASSES, 0)
    session.change(change)
    assert not session.kept.images[1].labels.any()
    session.revert(change)
    assert np.array_equal(session.kept.images[1].labels, labels_like(gone.pixels))
    stored = session.project.annotations.load()
    assert np.array_equal(stored.images[1].labels, closed.labels)


def test_without_room_on_the_disk_labels_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_text("no folder")
    session = ProjectSession(Identities())
    session.project, session.most_bytes = Project.create(tmp_path / "a"), 0
    session.save(CLASSES, [drawn(0)], 0)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    session.save(CLASSES, [], 0)
    assert not is_on_disk(session.kept.images[0].labels)
