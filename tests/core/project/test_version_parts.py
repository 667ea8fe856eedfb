"""Versions share what is equal, on disk and in memory."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.version_store import VersionStore
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from tests.core.builders import tiny_model, two_tone
from tests.core.drawings import AFTER, BEFORE, annotation, equal
from tests.core.project.stores import SETTINGS, identical, make_pair, n_bytes, puts, reopened


def test_a_quick_fit_costs_a_tenth_of_a_model_at_most(
    store: VersionStore, model: PrototypeSegmenter, child_model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    whole = n_bytes(store)
    assert whole > 4 * sum(p.numel() for p in model.parameters())
    store.add(child_model, parent=start.id, what="quick fit")
    assert 0 < n_bytes(store) - whole < whole / 10
    # The same once more costs its line in the list.
    before = n_bytes(store)
    store.add(store.load(start.id), parent=start.id, what="edit")
    assert n_bytes(store) - before < 6000


def test_an_edit_costs_the_pictures_it_changed(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    start = store.add(model, parent=None, what="start")
    smaller = edits.delete(model, 0)
    edited = store.add(smaller, parent=start.id, what="edit")
    new = set(edited.parts.values()) - set(start.parts.values())
    assert {edited.parts[part] for part in ("layer", "quantiles", "description")} == new
    assert identical(reopened(store).load(edited.id), smaller)


def test_an_unchanged_backbone_is_not_hashed_again(
    store: VersionStore,
    model: PrototypeSegmenter,
    child_model: PrototypeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = store.add(model, parent=None, what="start")
    written = puts(monkeypatch)
    child = store.add(child_model, parent=start.id, what="quick fit")
    assert child.parts["backbone"] == start.parts["backbone"]
    assert written and child.parts["backbone"] not in written
    other = reopened(store)
    other.add(model, parent=start.id, what="edit")
    assert start.parts["backbone"] in written


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
        assert loaded.extractor.neck is not model.extractor.neck
        run(quick_fit_steps([encoded], [labels], loaded, settings=SETTINGS))  # takes the encoding
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
    model = tiny_model()
    start = store.add(model, parent=None, what="start")
    alive = weakref.ref(model.extractor.backbone)
    del model
    gc.collect()
    assert alive() is None
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
    elsewhere = store.load(start.id, "meta")
    assert elsewhere.device.type == "meta" and model.device.type == "cpu"
    if torch.cuda.is_available():
        loaded = store.load(start.id, "cuda")
        assert loaded.device.type == "cuda" and model.device.type == "cpu"
        assert next(model.extractor.backbone.parameters()).device.type == "cpu"
        assert store.load(start.id, "cuda").extractor.backbone is loaded.extractor.backbone
        assert identical(loaded.cpu(), model)


def test_drawings_are_packed_once(
    store: VersionStore, model: PrototypeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = puts(monkeypatch)

    def packed() -> int:
        return sum(name.endswith(".npz") for name in written)

    first = store.add(model, parent=None, what="start", annotations=BEFORE)
    assert packed() == 3
    second = store.add(model, parent=first.id, what="edit", annotations=AFTER)
    new = [a for a in AFTER.images if not any(a.labels is b.labels for b in BEFORE.images)]
    assert packed() == 3 + len(new)
    for version, state in ((first, BEFORE), (second, AFTER)):
        assert equal(reopened(store).annotations(version.id), state)
    # What was read is known, too.
    again = reopened(store)
    read = again.annotations(first.id)
    del written[:]
    again.add(model, parent=second.id, what="edit", annotations=read)
    assert not packed()


def test_new_drawings_in_memory_that_was_used_before(
    store: VersionStore, model: PrototypeSegmenter
) -> None:
    """An array may get the id of one that is gone; it is not taken for it."""
    parent = None
    for seed in range(6):
        state = Annotations(BEFORE.classes, (annotation(seed),))
        version = store.add(model, parent=parent, what="edit", annotations=state)
        assert equal(reopened(store).annotations(version.id), state)
        parent = version.id
        del state
