"""The annotation store: exactly what was there, also after a kill at any point."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.project.annotation_store import AnnotationStore
from napari_gaussproto.core.project.formats import AnnotationError
from tests.core.drawings import AFTER, BEFORE, CLASSES, annotation, equal
from tests.core.killing import Killed, killed_after
from tests.core.project.stores import puts

ROOT = Path(__file__).parents[3]


def test_reopening_gives_exactly_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    assert equal(AnnotationStore(folder).load(), Annotations())
    store = AnnotationStore(folder)
    for state in (BEFORE, AFTER, BEFORE, Annotations(CLASSES)):
        store.save(state)
        assert equal(AnnotationStore(folder).load(), state)
        assert len(list(folder.glob("*.npz"))) == len(state.images)


def test_a_kill_at_any_point_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
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
        results.append(equal(found, AFTER))
        # The next save cleans up, whatever was left.
        AnnotationStore(folder).save(AFTER)
        assert equal(AnnotationStore(folder).load(), AFTER)
        assert len(list(folder.iterdir())) == 1 + len(AFTER.images)
        if finished:
            break
    assert finished
    assert len(results) > 8
    assert results == sorted(results)
    assert not results[0]


def test_a_killed_process_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from napari_gaussproto.core.project.annotation_store import AnnotationStore\n"
        "from tests.core.drawings import BEFORE, AFTER\n"
        "store = AnnotationStore(Path(sys.argv[1])); store.save(AFTER)\n"
        "print('saved', flush=True)\n"
        "while True: store.save(BEFORE); store.save(AFTER)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
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
    written = puts(monkeypatch)
    state = BEFORE.with_annotation(replace(BEFORE.images[1], labels=annotation(9).labels))
    store.save(state)
    assert len(written) == 1
    assert equal(AnnotationStore(tmp_path / "store").load(), state)


def test_a_sparse_drawing_takes_little_space(tmp_path: Path) -> None:
    labels = np.zeros((966, 1296), np.uint8)
    labels[100:110, 200:350] = 1
    image = identify(np.zeros((966, 1296, 3), np.uint8), "photo")
    store = AnnotationStore(tmp_path / "store")
    store.save(Annotations(CLASSES, (Annotation(image, labels),)))
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
