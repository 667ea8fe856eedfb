"""The annotation store: exactly what was there, also after a kill at any point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels import annotations as module
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    AnnotationError,
    Annotations,
    AnnotationStore,
    identify,
    store_path,
)
from napari_gaussproto.core.labels.class_table import add_class, merge_classes, remove_class

CLASSES = (
    SegmentationClass(name="soil", color="#d55e00"),
    SegmentationClass(name="Löwenzahn", color="#009e73"),
    SegmentationClass(name="weed", color="#56b4e9"),
)


def annotation(seed: int, name: str = "", shape: tuple[int, ...] = (40, 50)) -> Annotation:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = rng.integers(0, 4, shape, dtype=np.uint8)
    return Annotation(identify(image, name or f"photo {seed}"), labels, rng.random(shape) < 0.3)


def equal(a: Annotations, b: Annotations) -> bool:
    return (
        a.classes == b.classes
        and [x.image for x in a.images] == [x.image for x in b.images]
        and all(
            np.array_equal(x.labels, y.labels) and np.array_equal(x.touched, y.touched)
            for x, y in zip(a.images, b.images, strict=True)
        )
    )


BEFORE = Annotations(CLASSES, (annotation(0), annotation(1), annotation(2, shape=(3, 8, 9))))
# Another drawing on one image, one image less, one more, and another class table.
AFTER = (
    BEFORE.with_annotation(
        Annotation(BEFORE.images[0].image, annotation(7).labels, annotation(7).touched)
    )
    .without(BEFORE.images[1].image)
    .with_annotation(annotation(3))
    .changed(merge_classes(CLASSES, 2, 1))[0]
)


def test_reopening_gives_exactly_what_was_there(tmp_path: Path) -> None:
    folder = store_path(tmp_path / "field.gaussproto")
    assert folder == tmp_path / "field.annotations"
    assert equal(AnnotationStore(folder).load(), Annotations())
    store = AnnotationStore(folder)
    for state in (BEFORE, AFTER, BEFORE, Annotations(CLASSES)):
        store.save(state)
        assert equal(AnnotationStore(folder).load(), state)
        assert len(list(folder.glob("*.npz"))) == len(state.images)


class Killed(BaseException):
    pass


def killed_after(monkeypatch: pytest.MonkeyPatch, count: int) -> Callable[[], int]:
    """Let every system call that changes the disk raise from the ``count``-th on."""
    calls = 0

    def guarded(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            if calls >= count:
                raise Killed
            calls += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", guarded(os.fsync))
    for name in ("replace", "unlink", "open"):
        monkeypatch.setattr(Path, name, guarded(getattr(Path, name)))
    return lambda: calls


def test_a_kill_at_any_point_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for count in range(200):
        folder = tmp_path / str(count)
        AnnotationStore(folder).save(BEFORE)
        store = AnnotationStore(folder)
        store.load()
        finished = True
        with monkeypatch.context() as patch:
            killed_after(patch, count)
            try:
                store.save(AFTER)
            except Killed:
                finished = False
        found = AnnotationStore(folder).load()
        assert equal(found, BEFORE) or equal(found, AFTER)
        outcomes.append(equal(found, AFTER))
        # The next save cleans up, whatever was left.
        AnnotationStore(folder).save(AFTER)
        assert equal(AnnotationStore(folder).load(), AFTER)
        assert len(list(folder.iterdir())) == 1 + len(AFTER.images)
        if finished:
            break
    assert finished
    assert len(outcomes) > 8
    assert outcomes == sorted(outcomes)
    assert not outcomes[0]


def test_a_killed_process_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.core.labels.test_annotations import BEFORE, AFTER, AnnotationStore\n"
        "store = AnnotationStore(Path(sys.argv[1])); store.save(AFTER)\n"
        "print('saved', flush=True)\n"
        "while True: store.save(BEFORE); store.save(AFTER)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"saved"
    process.kill()
    process.wait()
    process.stdout.close()
    found = AnnotationStore(tmp_path / "store").load()
    assert equal(found, BEFORE) or equal(found, AFTER)


def test_only_what_changed_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AnnotationStore(tmp_path / "store")
    store.save(BEFORE)
    packed = []
    pack = module.pack
    monkeypatch.setattr(module, "pack", lambda a: packed.append(a) or pack(a))
    changed = annotation(9)
    state = BEFORE.with_annotation(
        Annotation(BEFORE.images[1].image, changed.labels, changed.touched)
    )
    store.save(state)
    assert packed == [state.images[1]]
    assert equal(AnnotationStore(tmp_path / "store").load(), state)


def test_a_sparse_drawing_takes_little_space(tmp_path: Path) -> None:
    labels = np.zeros((966, 1296), np.uint8)
    labels[100:110, 200:350] = 1
    image = identify(np.zeros((966, 1296, 3), np.uint8), "photo")
    store = AnnotationStore(tmp_path / "store")
    store.save(Annotations(CLASSES, (Annotation(image, labels, labels > 0),)))
    assert sum(path.stat().st_size for path in store.folder.iterdir()) < labels.size / 50


@pytest.mark.parametrize("damage", ["index", "truncated", "flipped", "missing", "foreign"])
def test_a_damaged_store_is_one_sentence(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "store"
    AnnotationStore(folder).save(BEFORE)
    data = sorted(folder.glob("*.npz"))[0]
    if damage == "index":
        (folder / "index.json").write_text('{"format_version": 1, "cla')
    elif damage == "foreign":
        (folder / "index.json").write_text('["something else"]')
    elif damage == "truncated":
        data.write_bytes(data.read_bytes()[:-20])
    elif damage == "flipped":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(bytes(content))
    else:
        data.unlink()
    with pytest.raises(AnnotationError, match=r"damaged.*rename it") as caught:
        AnnotationStore(folder).load()
    assert str(caught.value).count(". ") == 0


def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    AnnotationStore(folder).save(BEFORE)
    path = folder / "index.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format_version": 2}))
    with pytest.raises(AnnotationError, match="newer version"):
        AnnotationStore(folder).load()


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(AnnotationError, match="could not be saved"):
        AnnotationStore(blocker / "store").save(BEFORE)


def test_images_are_recognised_by_their_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (400, 500, 3), dtype=np.uint8)
    known = identify(image, "a")
    assert known.same_pixels(identify(image.copy(), "renamed"))
    assert not known.same_pixels(identify(image[:-1], "a"))
    other = image.copy()
    other[200, 250] += 1  # the middle is always sampled
    assert not known.same_pixels(identify(other, "a"))
    assert not known.same_pixels(identify(image.astype(np.uint16), "a"))
    store = Annotations(CLASSES, (Annotation(known, image[..., 0] % 4, image[..., 0] > 9),))
    assert store.find(identify(image, "renamed")) is store.images[0]
    assert store.find(identify(other, "a")) is None


def test_class_changes_reach_every_image_and_are_taken_back() -> None:
    for change in (merge_classes(CLASSES, 0, 2), remove_class(CLASSES, 1)):
        changed, forgotten = BEFORE.changed(change)
        assert changed.classes == change.after
        assert all(a.labels.max() <= 2 for a in changed.images)
        assert equal(changed.reverted(change, forgotten), BEFORE)
    with pytest.raises(LabelError, match="changed in the meantime"):
        BEFORE.changed(add_class(CLASSES[:2], "stone"))


def test_what_is_no_annotation_is_refused() -> None:
    image = BEFORE.images[0].image
    with pytest.raises(LabelError, match="8-bit"):
        Annotation(image, np.zeros((2, 2), np.int64), np.zeros((2, 2), bool))
    with pytest.raises(LabelError, match="same shape"):
        Annotation(image, np.zeros((2, 2), np.uint8), np.zeros((2, 3), bool))
