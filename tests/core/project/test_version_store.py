"""Versions: bit by bit what was added, in a tree."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.formats import VersionError
from napari_gaussproto.core.project.version_store import VersionStore
from napari_gaussproto.core.training.quick_fit import QuickSettings
from tests.core.builders import two_tone
from tests.core.drawings import AFTER, BEFORE, equal
from tests.core.project.stores import SETTINGS, identical, reopened


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
        images=2,  # of the three that are labelled
    )
    again = reopened(store)
    assert again.versions() == store.versions() == [start, child]
    assert identical(again.load(start.id), model)
    assert identical(again.load(child.id), store.load(child.id))
    assert not identical(again.load(child.id), model)
    assert equal(again.annotations(child.id), BEFORE)
    assert equal(again.annotations(start.id), Annotations())
    assert (child.name, child.parent, child.strokes, child.images) == ("v2", start.id, 7, 2)
    assert child.measures == {"labelled accuracy": 0.75}
    assert QuickSettings.model_validate(child.settings) == SETTINGS
    image = two_tone()[0]
    loaded = again.load(start.id)
    np.testing.assert_array_equal(
        segment(image, loaded).class_probabilities(),
        segment(image, model).class_probabilities(),
    )


def test_the_tree(store: VersionStore, model: PrototypeSegmenter) -> None:
    assert store.current is None and store.versions() == []
    a = store.add(model, parent=None, what="start")
    b = store.add(model, parent=a.id, what="quick fit", name="with stones")
    c = store.add(model, parent=b.id, what="fine-tune")
    assert store.current == c.id
    store.current = a.id
    assert reopened(store).current == a.id
    d = store.add(model, parent=store.current, what="quick fit")
    assert [v.name for v in store.versions()] == ["v1", "with stones", "v3", "v4"]
    assert [b.parent, d.parent] == [a.id, a.id]
    assert [c.parent, a.parent] == [b.id, None]
    assert store.rename(b.id, " stones ").name == "stones"
    assert reopened(store).get(b.id).name == "stones"
    store.remove(b.id)
    assert [(v.id, v.parent) for v in store.versions()[:2]] == [(a.id, None), (c.id, a.id)]
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
    for wish in (store.get, store.load, store.annotations):
        with pytest.raises(VersionError, match=r"no version “nonsense”.*choose"):
            wish("nonsense")
    with pytest.raises(VersionError, match="no version"):
        store.current = "nonsense"
    with pytest.raises(VersionError, match="no version"):
        store.add(model, parent="nonsense", what="edit")
    with pytest.raises(VersionError, match="needs a name"):
        store.rename(start.id, "  ")
    assert reopened(store).versions() == [start]
