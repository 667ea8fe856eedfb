"""Versions are whole after a kill at any point, and damage costs no more than it must."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.formats import VersionError
from napari_gaussproto.core.project.version_store import VersionStore
from tests.core.builders import tiny_model
from tests.core.drawings import AFTER, BEFORE, equal
from tests.core.killing import Killed, killed_after
from tests.core.project.stores import identical, is_whole, make_pair, reopened


def test_a_kill_at_any_point_leaves_complete_versions(
    tmp_path: Path,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = VersionStore(tmp_path / "template")
    start = template.add(model, parent=None, what="start", annotations=BEFORE)
    child = template.add(child_model, parent=start.id, what="quick fit", annotations=AFTER)
    template.current = start.id
    template.remove(child.id)
    results = []
    for count in range(400):
        store = VersionStore(shutil.copytree(template.folder, tmp_path / str(count)))
        finished = True
        with monkeypatch.context() as patch:
            killed_after(patch, count)
            try:
                store.add(child_model, parent=start.id, what="quick fit", annotations=AFTER)
            except Killed:
                finished = False
        found = reopened(store)
        results.append(len(found.versions()) - 1)
        assert found.versions()[0] == start and found.current == found.versions()[-1].id
        assert is_whole(found, start.parts)
        if results[-1]:
            assert found.versions()[1].parts == child.parts and is_whole(found, child.parts)
        # What the kill left lying about is swept, and the same fit can be added again.
        found.sweep()
        named = {file for v in found.versions() for file in v.parts.values()}
        assert {path.name for path in found.folder.iterdir()} == named | {"index.json"}
        again = found.add(child_model, parent=start.id, what="quick fit", annotations=AFTER)
        assert again.parts == child.parts and is_whole(found, child.parts)
        if finished:
            break
    assert finished and len(results) > 20
    assert results[0] == 0 and results == sorted(results)


@pytest.mark.parametrize("wish", ["remove", "rename", "go back"])
def test_a_kill_while_the_list_changes(
    tmp_path: Path,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    wish: str,
) -> None:
    template = VersionStore(tmp_path / "template")
    a = template.add(model, parent=None, what="start")
    b = template.add(model, parent=a.id, what="edit")
    c = template.add(child_model, parent=b.id, what="quick fit")
    for count in range(100):
        store = VersionStore(shutil.copytree(template.folder, tmp_path / str(count)))
        wishes: dict[str, Callable[[], Any]] = {
            "remove": lambda store=store: store.remove(b.id),
            "rename": lambda store=store: store.rename(b.id, "new"),
            "go back": lambda store=store: setattr(store, "current", b.id),
        }
        finished = True
        with monkeypatch.context() as patch:
            killed_after(patch, count)
            try:
                wishes[wish]()
            except Killed:
                finished = False
        found = reopened(store)
        assert all(is_whole(found, version.parts) for version in found.versions())
        assert {a.id, c.id} <= {v.id for v in found.versions()}
        if finished:
            break
    assert finished and count > 3


def test_a_full_disk_leaves_the_store_as_it_was(
    store: VersionStore,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = store.add(model, parent=None, what="start")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(VersionError, match=r"could not be saved.*No space.*free some"):
            store.add(child_model, parent=start.id, what="quick fit")
        with pytest.raises(VersionError, match="could not be saved"):
            store.rename(start.id, "other")
    assert store.versions() == reopened(store).versions() == [start]


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("neck", "missing"),
        ("neck", "truncated"),
        ("layer", "flipped"),
        ("patches/1", "foreign"),
        ("description", "truncated"),
        ("description", "foreign"),
        ("drawn/0", "missing"),
        ("drawn/0", "flipped"),
    ],
)
def test_a_damaged_part_touches_its_versions_only(
    store: VersionStore, model: PrototypeSegmenter, part: str, damage: str
) -> None:
    start = store.add(model, parent=None, what="start", annotations=BEFORE)
    other = make_pair(3)[1]
    child = store.add(other, parent=start.id, what="quick fit", annotations=AFTER)
    path = store.folder / child.parts[part]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.write_bytes(b"\x80\x04." if damage == "foreign" else bytes(content))
    found = reopened(store)
    broken, whole = found.load, found.annotations
    if part == "drawn/0":
        broken, whole = whole, broken
    with pytest.raises(VersionError, match=r"“v2” cannot be opened.*backup") as caught:
        broken(child.id)
    assert str(caught.value).count(". ") == 0
    whole(child.id)
    assert identical(found.load(start.id), model)
    assert equal(found.annotations(start.id), BEFORE)
    # Adding the same again mends it.
    found.add(other, parent=start.id, what="quick fit", annotations=AFTER)
    broken(child.id)


def test_parts_that_do_not_fit_together(store: VersionStore, model: PrototypeSegmenter) -> None:
    start = store.add(model, parent=None, what="start")
    wider = store.add(tiny_model(latent_dim=6), parent=None, what="start")
    path = store.folder / "index.json"
    content = json.loads(path.read_text())
    content["versions"][1]["parts"]["neck"] = start.parts["neck"]
    path.write_text(json.dumps(content))
    with pytest.raises(VersionError, match="“v2” cannot be opened"):
        reopened(store).load(wider.id)
    del content["versions"][0]["parts"]["layer"]
    path.write_text(json.dumps(content))
    with pytest.raises(VersionError, match="“v1” cannot be opened"):
        reopened(store).load(start.id)


DAMAGED = {
    "cut": lambda text: text[: len(text) // 2],
    "list": lambda text: '["something else"]',
    "foreign": lambda text: '{"name": "leftpad", "version": "1.0"}',
    "no tree": lambda text: text.replace('"parent": null', '"parent": "00000000"'),
    "outside": lambda text: text.replace('"layer": "', '"layer": "../'),
}


@pytest.mark.parametrize("damage", list(DAMAGED))
def test_a_damaged_list_is_one_sentence_and_is_not_written_over(
    store: VersionStore, model: PrototypeSegmenter, damage: str
) -> None:
    start = store.add(model, parent=None, what="start")
    path = store.folder / "index.json"
    path.write_text(DAMAGED[damage](path.read_text()))
    before = {p.name: p.read_bytes() for p in store.folder.iterdir()}
    found = reopened(store)
    wishes: list[Callable[[], Any]] = [
        found.versions,
        found.sweep,
        lambda: found.add(model, parent=None, what="start"),
        lambda: found.remove(start.id),
    ]
    for wish in wishes:
        with pytest.raises(VersionError, match=r"damaged.*restore.*rename it") as caught:
            wish()
        assert str(caught.value).count(". ") == 0
    kept = {p.name: p.read_bytes() for p in store.folder.iterdir()}
    assert before.items() <= kept.items()


def test_a_newer_list_is_not_touched(store: VersionStore, model: PrototypeSegmenter) -> None:
    store.add(model, parent=None, what="start")
    path = store.folder / "index.json"
    content = json.loads(path.read_text()) | {"format_version": 2, "new field": 1}
    path.write_text(json.dumps(content))
    with pytest.raises(VersionError, match=r"newer version.*update"):
        reopened(store).versions()


def test_a_lost_list_does_not_cost_the_parts(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    (store.folder / "index.json").unlink()
    reopened(store).sweep()
    assert all((store.folder / file).exists() for file in start.parts.values())
