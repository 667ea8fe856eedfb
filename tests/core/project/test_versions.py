"""Versions: bit by bit what was added, cheap, and whole after a kill at any point."""

from __future__ import annotations

import copy
import functools
import gc
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project import version_store
from napari_gaussproto.core.project.version_store import PartFolder
from napari_gaussproto.core.project.versions import VersionError, VersionStore
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import QuickSettings, quick_fit
from tests.core.builders import tiny_model, two_tone
from tests.core.labels.test_annotations import AFTER, BEFORE, Killed, equal, killed_after

SETTINGS = QuickSettings(neck_steps=3, layer_steps=2)


@functools.cache
def _pair(seed: int) -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    """A model with something in every part, and a quick fit that started from it."""
    model = tiny_model(seed)
    rng = np.random.default_rng(seed)
    for m, prototype in enumerate(model.prototypes):
        prototype.patches = rng.integers(0, 256, (2 + m % 2, 48, 48, 3), dtype=np.uint8)
        prototype.patch_labels = np.array([0, 1, 1][: 2 + m % 2])
        prototype.distance_quantiles = np.sort(rng.random(101).astype(np.float32))
        prototype.usage, prototype.purity = 0.1 + m / 7, float("nan")
    model.density_quantiles = np.sort(rng.normal(size=101).astype(np.float32))
    model.layer.active[1] = False
    model.receptive_radius = 96
    model.card.name, model.card.data = "tiny", "Löwenzahn"
    image, labels = two_tone(seed=seed)
    encoded = encode_pyramid(image, model)
    return model, quick_fit([encoded], [labels], model, settings=SETTINGS).model


def make_pair(seed: int = 0) -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    """Copies of both, which share a backbone of their own."""
    return copy.deepcopy(_pair(seed))


@pytest.fixture
def pair() -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    return make_pair()


@pytest.fixture
def model(pair: tuple[PrototypeSegmenter, PrototypeSegmenter]) -> PrototypeSegmenter:
    return pair[0]


@pytest.fixture
def child_model(pair: tuple[PrototypeSegmenter, PrototypeSegmenter]) -> PrototypeSegmenter:
    return pair[1]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "versions")


def identical(first: PrototypeSegmenter, second: PrototypeSegmenter) -> bool:
    """Whether two models agree in every bit of everything they hold."""
    one, two = first.state_dict(), second.state_dict()
    arrays = ("patches", "patch_labels", "distance_quantiles")
    return (
        one.keys() == two.keys()
        and all(one[k].dtype == two[k].dtype and torch.equal(one[k], two[k]) for k in one)
        and first.config == second.config
        and first.card == second.card
        and first.receptive_radius == second.receptive_radius
        and np.array_equal(first.density_quantiles, second.density_quantiles)
        and len(first.prototypes) == len(second.prototypes)
        and all(
            (p.name, p.class_index, repr(p.usage), repr(p.purity))
            == (q.name, q.class_index, repr(q.usage), repr(q.purity))
            and all(np.array_equal(getattr(p, name), getattr(q, name)) for name in arrays)
            for p, q in zip(first.prototypes, second.prototypes, strict=True)
        )
    )


def reopened(store: VersionStore) -> VersionStore:
    return VersionStore(store.folder)


def test_a_version_is_bit_by_bit_what_was_added(
    store: VersionStore, model: PrototypeSegmenter, child_model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    child = store.add(
        child_model,
        parent=start.id,
        what="quick fit",
        annotations=BEFORE,
        settings=SETTINGS.model_dump(),
        measures={"labelled accuracy": 0.75, "held-out mIoU": float("nan")},
        seconds=0.5,
        strokes=7,
    )
    again = reopened(store)
    assert again.versions() == store.versions() == [start, child]
    assert identical(again.load(start.id), model)
    assert identical(again.load(child.id), store.load(child.id))
    assert not identical(again.load(child.id), model)
    assert equal(again.annotations(child.id), BEFORE)
    assert equal(again.annotations(start.id), Annotations())
    assert (child.name, child.parent, child.strokes, child.images) == ("v2", start.id, 7, 3)
    assert child.measures == {"labelled accuracy": 0.75}
    assert QuickSettings.model_validate(child.settings) == SETTINGS
    image = two_tone()[0]
    loaded = again.load(start.id)
    np.testing.assert_array_equal(
        loaded.decode(loaded.encode(image)).class_probabilities(),
        model.decode(model.encode(image)).class_probabilities(),
    )


def test_a_quick_fit_costs_a_tenth_of_a_model_at_most(
    store: VersionStore, model: PrototypeSegmenter, child_model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    whole = store.n_bytes
    assert whole > 4 * sum(p.numel() for p in model.parameters())
    store.add(child_model, parent=start.id, what="quick fit")
    assert 0 < store.n_bytes - whole < whole / 10
    # The same once more costs its line in the list.
    before = store.n_bytes
    store.add(store.load(start.id), parent=start.id, what="edit")
    assert store.n_bytes - before < 6000


def test_an_edit_costs_the_pictures_it_changed(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    smaller = edits.delete(model, 0)
    edited = store.add(smaller, parent=start.id, what="edit")
    new = set(edited.parts.values()) - set(start.parts.values())
    assert {edited.parts[part] for part in ("layer", "quantiles", "description")} == new
    assert identical(reopened(store).load(edited.id), smaller)


def test_an_unchanged_backbone_is_neither_packed_nor_hashed_again(
    store: VersionStore,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = store.add(model, parent=None, what="start")
    packed: list[int] = []
    pack = version_store._packed

    def watched(tensors: dict[str, torch.Tensor], *note: str) -> bytes:
        packed.append(len(tensors))
        return pack(tensors, *note)

    monkeypatch.setattr(version_store, "_packed", watched)
    child = store.add(child_model, parent=start.id, what="quick fit")
    backbone = len(model.extractor.backbone.state_dict())
    assert child.parts["backbone"] == start.parts["backbone"]
    assert packed and backbone not in packed
    other = reopened(store)
    other.add(model, parent=start.id, what="edit")
    assert backbone in packed


def test_versions_share_the_backbone_that_is_in_use(store: VersionStore) -> None:
    model, child_model = make_pair()
    image, labels = two_tone()
    encoded = encode_pyramid(image, model)
    start = store.add(model, parent=None, what="start")
    child = store.add(child_model, parent=start.id, what="quick fit")
    backbone = model.extractor.backbone
    for version in (start, child):
        loaded = store.load(version.id)
        assert loaded.extractor.backbone is backbone
        assert loaded.extractor._folded is model.extractor._folded
        assert loaded.extractor.neck is not model.extractor.neck
        quick_fit([encoded], [labels], loaded, settings=SETTINGS)  # takes the encoded image
    # The encoded image alone keeps the backbone in use.
    del model, loaded, child_model, backbone
    gc.collect()
    assert store.load(start.id).extractor.backbone is encoded.backbone
    # A fine-tuned backbone is another one.
    tuned = copy.deepcopy(store.load(child.id))
    with torch.no_grad():
        next(tuned.extractor.backbone.parameters()).add_(1)
    third = store.add(tuned, parent=child.id, what="fine-tune")
    assert store.load(third.id).extractor.backbone is tuned.extractor.backbone
    assert store.load(child.id).extractor.backbone is encoded.backbone


def test_backbones_are_not_kept_alive(store: VersionStore) -> None:
    start = store.add(tiny_model(), parent=None, what="start")
    gc.collect()
    assert len(store._models._known) == 0
    first = store.load(start.id)
    assert store.load(start.id).extractor.backbone is first.extractor.backbone


def test_a_backbone_that_was_changed_in_place_is_noticed(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    untouched = copy.deepcopy(model)
    start = store.add(model, parent=None, what="start")
    with torch.no_grad():
        next(model.extractor.backbone.parameters()).add_(1)
    loaded = store.load(start.id)
    assert loaded.extractor.backbone is not model.extractor.backbone
    assert identical(loaded, untouched)
    changed = store.add(model, parent=start.id, what="fine-tune")
    assert changed.parts["backbone"] != start.parts["backbone"]
    assert identical(reopened(store).load(changed.id), model)


def test_equal_weights_of_another_network_are_not_shared(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    other = copy.deepcopy(model)
    other.extractor.backbone.name = "another"
    first = store.add(model, parent=None, what="start")
    second = store.add(other, parent=None, what="start")
    assert first.parts["backbone"] != second.parts["backbone"]


def test_another_device_gets_a_backbone_of_its_own(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    elsewhere = store._models._alive(start.parts["backbone"], torch.device("meta"))
    assert elsewhere is None
    if torch.cuda.is_available():
        loaded = store.load(start.id, "cuda")
        assert loaded.device.type == "cuda" and model.device.type == "cpu"
        assert next(model.extractor.backbone.parameters()).device.type == "cpu"
        assert store.load(start.id, "cuda").extractor.backbone is loaded.extractor.backbone
        assert identical(loaded.cpu(), model)


def test_drawings_are_packed_once(
    store: VersionStore, model: PrototypeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = []
    pack = version_store.pack
    monkeypatch.setattr(version_store, "pack", lambda a: packed.append(a) or pack(a))
    first = store.add(model, parent=None, what="start", annotations=BEFORE)
    assert len(packed) == 3
    second = store.add(model, parent=first.id, what="edit", annotations=AFTER)
    new = [a for a in AFTER.images if not any(a.labels is b.labels for b in BEFORE.images)]
    assert packed[3:] == new
    for version, state in ((first, BEFORE), (second, AFTER)):
        assert equal(reopened(store).annotations(version.id), state)
    # What was read is known, too.
    again = reopened(store)
    read = again.annotations(first.id)
    del packed[:]
    again.add(model, parent=second.id, what="edit", annotations=read)
    assert not packed


def test_new_drawings_in_memory_that_was_used_before(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    """An array may get the id of one that is gone; it is not taken for it."""
    from tests.core.labels.test_annotations import annotation

    parent = None
    for seed in range(6):
        state = Annotations(BEFORE.classes, (annotation(seed),))
        version = store.add(model, parent=parent, what="edit", annotations=state)
        assert equal(reopened(store).annotations(version.id), state)
        parent = version.id
        del state


def test_the_tree(store: VersionStore, model: PrototypeSegmenter) -> None:
    assert store.current is None and store.versions() == []
    a = store.add(model, parent=None, what="start")
    b = store.add(model, parent=a.id, what="quick fit", name="with stones")
    c = store.add(model, parent=b.id, what="fine-tune")
    assert store.current == c.id
    assert store.branch(a.id) == a and reopened(store).current == a.id
    d = store.add(model, parent=store.current, what="quick fit")
    assert [v.name for v in store.versions()] == ["v1", "with stones", "v3", "v4"]
    assert store.children(a.id) == [b, d]
    assert store.lineage(c.id) == [a, b, c] and store.lineage(d.id) == [a, d]
    assert store.rename(b.id, " stones ").name == "stones"
    assert reopened(store).get(b.id).name == "stones"
    store.remove(b.id)
    assert [v.id for v in store.lineage(c.id)] == [a.id, c.id]
    store.current = c.id
    store.remove(d.id)
    assert [v.id for v in reopened(store).versions()] == [a.id, c.id]
    assert store.add(model, parent=c.id, what="edit").name == "v5"


def test_removing_deletes_what_nobody_needs(
    store: VersionStore, model: PrototypeSegmenter, child_model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start", annotations=BEFORE)
    child = store.add(child_model, parent=start.id, what="quick fit", annotations=AFTER)
    store.current = start.id
    store.remove(child.id)
    files = {path.name for path in store.folder.iterdir()}
    assert files == set(start.parts.values()) | {"index.json"}
    assert identical(reopened(store).load(start.id), model)


def test_wishes_without_meaning_are_one_sentence(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    with pytest.raises(VersionError, match=r"“v1” is in use: go to another"):
        store.remove(start.id)
    for wish in (store.get, store.load, store.annotations, store.children, store.branch):
        with pytest.raises(VersionError, match=r"no version “nonsense”.*choose"):
            wish("nonsense")
    with pytest.raises(VersionError, match="no version"):
        store.add(model, parent="nonsense", what="edit")
    with pytest.raises(VersionError, match="needs a name"):
        store.rename(start.id, "  ")
    assert reopened(store).versions() == [start]


def is_whole(store: VersionStore, parts: dict[str, str]) -> bool:
    """Whether all parts are there with the content that their names say."""
    return all(PartFolder(store.folder).get(file) for file in parts.values())


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
    outcomes = []
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
        outcomes.append(len(found.versions()) - 1)
        assert found.versions()[0] == start and found.current == found.versions()[-1].id
        assert is_whole(found, start.parts)
        if outcomes[-1]:
            assert found.versions()[1].parts == child.parts and is_whole(found, child.parts)
        # What the kill left lying about is swept, and the same fit can be added again.
        found.sweep()
        named = {file for v in found.versions() for file in v.parts.values()}
        assert {path.name for path in found.folder.iterdir()} == named | {"index.json"}
        again = found.add(child_model, parent=start.id, what="quick fit", annotations=AFTER)
        assert again.parts == child.parts and is_whole(found, child.parts)
        if finished:
            break
    assert finished and len(outcomes) > 20
    assert outcomes[0] == 0 and outcomes == sorted(outcomes)


@pytest.mark.parametrize("wish", ["remove", "rename", "branch"])
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
            "branch": lambda store=store: store.branch(b.id),
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


def test_others_read_and_rename_while_a_version_is_added(
    store: VersionStore,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = store.add(model, parent=None, what="start")
    reached, go_on = threading.Event(), threading.Event()
    put = PartFolder.put

    def slow(self: PartFolder, data: bytes, suffix: str) -> str:
        name = put(self, data, suffix)
        reached.set()
        assert go_on.wait(20)
        return name

    monkeypatch.setattr(PartFolder, "put", slow)
    adding = threading.Thread(
        target=lambda: store.add(child_model, parent=start.id, what="quick fit", annotations=BEFORE)
    )
    adding.start()
    try:
        assert reached.wait(20)
        assert store.rename(start.id, "first").name == "first"
        assert identical(store.load(start.id), model)
        store.sweep()  # must not take what was just written
    finally:
        go_on.set()
        adding.join()
    first, second = reopened(store).versions()
    assert first.name == "first"
    assert identical(reopened(store).load(second.id), child_model)
