"""Edits in a real viewer while models and results change: no edit lost, no model mixed up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.cells import partitioner
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.requests import EditRequest
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import by_role, expected_labels, labels_of


@pytest.fixture
def gate() -> Iterator[Event]:
    """Edits made with `held` wait for it."""
    event = Event()
    yield event
    event.set()


def held(gate: Event, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An edit that takes until the gate opens."""

    def steps(model: Any) -> Any:
        while not gate.is_set():
            time.sleep(0.005)
            yield
        return change(model)

    return steps


def second_image(viewer: Any, dock: Any, model: Path | None = None) -> Any:
    """Open and choose another image, and another model."""
    image = viewer.add_image(two_tone(60, 80, seed=4)[0], name="second")
    dock.images.choose(image)
    if model is not None:
        dock.models.choose_file(model)
    return image


def names_of(prototypes: Any) -> list[str]:
    return [p.name for p in prototypes.state.model.prototypes]


# -- models come and go -----------------------------------------------------------------------


def test_another_model_during_an_edit_ends_the_edit(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, other_file: Path, gate: Event
) -> None:
    state, tiny = prototypes.state, prototypes.state.model
    prototypes.session.apply(held(gate, lambda model: edits.turn_off(model, 2)))
    prototypes.edits.switch(3, False)  # waits
    second_image(viewer, dock, other_file)
    run(dock)
    assert not prototypes.session.busy
    assert "the edit was given up" in prototypes.status.text()
    gate.set()
    wait()
    assert state.model.card.name == "other" and state.undo.start is state.model
    assert not state.undo.can_undo and tiny.layer.active.all()
    run(dock)
    assert state.current.provenance.model == "other"
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))


def test_another_model_during_an_undo_ends_the_undo(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, other_file: Path, gate: Event
) -> None:
    prototypes.edits.switch(2, False)
    wait()
    undone = prototypes.state.undo.undone
    prototypes.session.ask(EditRequest("undo", held(gate, lambda model: undone)))
    second_image(viewer, dock, other_file)
    run(dock)
    gate.set()
    wait()
    state = prototypes.state
    assert state.model is state.undo.start and state.model.card.name == "other"


def test_edits_come_back_with_their_model(
    prototypes: Any, dock: Any, run: Any, wait: Any, model_file: Path, other_file: Path
) -> None:
    prototypes.edits.switch(2, False)
    prototypes.edits.rename(1, "valuable")
    wait()
    edited = prototypes.state.model
    dock.models.choose_file(other_file)
    run(dock)
    assert prototypes.state.undo.names == [] and "valuable" not in names_of(prototypes)
    assert not prototypes.model_name.text().endswith("*")
    dock.models.choose_file(model_file)
    run(dock)
    assert prototypes.state.model is edited is prototypes.state.current.model
    assert prototypes.state.undo.names == ["turn off plant 1", "rename soil 2 to valuable"]
    assert prototypes.model_name.text().endswith("*")
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))
    prototypes.session.undo()
    wait()
    assert "valuable" not in names_of(prototypes)


def test_edits_come_along_to_another_device(prototypes: Any, wait: Any) -> None:
    state = prototypes.state
    prototypes.edits.switch(2, False)
    wait()
    file, changed, _ = state.model_key
    # What a run on another device gives back; a copy of the weights stands for that device.
    moved = state.model.on_device("cpu")
    state.set_model(moved, (file, changed, "elsewhere"))
    assert state.undo.names == ["turn off plant 1"]
    assert state.model.extractor is moved.extractor
    assert not state.model.layer.active[2]


def test_saving_over_the_own_file_keeps_the_model_and_its_edits(
    prototypes: Any, dock: Any, run: Any, wait: Any, qtbot: Any, model_file: Path, tmp_path: Path
) -> None:
    own = shutil.copy(model_file, tmp_path / "own.safetensors")
    dock.models.choose_file(Path(own))
    run(dock)
    prototypes.edits.rename(1, "valuable")
    wait()
    time.sleep(0.02)  # file systems tell times apart by milliseconds
    with qtbot.waitSignal(prototypes.session.saved, timeout=10_000):
        prototypes.session.save(Path(own))
    prototypes.edits.rename(0, "unsaved")
    wait()
    model = prototypes.state.model
    run(dock)
    assert prototypes.state.model is model and prototypes.state.current.model is model
    assert prototypes.state.undo.names == [
        "rename soil 2 to valuable",
        "rename soil 1 to unsaved",
    ]


# -- results come during edits ----------------------------------------------------------------


def test_a_result_that_comes_during_an_edit_gets_it_too(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, qtbot: Any, gate: Event
) -> None:
    def both_off(model: Any) -> Any:
        return edits.turn_off(edits.turn_off(model, 2), 3)

    layers = list(viewer.layers)
    prototypes.session.apply(held(gate, both_off))
    run(dock)
    former = prototypes.state.current
    assert former.model is prototypes.state.model
    gate.set()
    wait()
    state = prototypes.state
    assert state.current.model is state.model
    assert state.model.layer.active.tolist() == [True, True, False, False]
    assert (labels_of(prototypes).data == 1).all() and list(viewer.layers) == layers
    np.testing.assert_array_equal(labels_of(prototypes).data, state.current.segmentation.labels)
    assert [row.on.isChecked() for row in prototypes.gallery.rows] == [True, True, False, False]
    assert dock.cover.shares[0] == pytest.approx(1)


def test_the_map_of_an_edit_goes_to_the_image_that_it_is_of(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, gate: Event
) -> None:
    first = prototypes.state.current
    second_image(viewer, dock)
    run(dock)
    prototypes.choose(1)
    prototypes.session.apply(held(gate, lambda model: edits.turn_off(model, 2)))
    dock.images.choose(first.source)
    gate.set()
    wait()
    assert prototypes.state.current is first
    expected = first.segmentation.likelihood(1)
    np.testing.assert_array_equal(first.maps[MapRole("likelihood")].data, expected)


def test_what_changed_is_only_shown_on_the_image_that_changed(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any
) -> None:
    first = prototypes.state.current
    dock.images.choose(viewer.add_image(two_tone(seed=4)[0], name="second"))
    run(dock)
    dock.images.choose(first.source)
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    dock.images.choose(viewer.layers["second"])
    prototypes.edit_panel.changes.setChecked(True)
    assert not by_role(viewer, "changed")
    dock.images.choose(first.source)
    prototypes.edit_panel.changes.setChecked(False)
    prototypes.edit_panel.changes.setChecked(True)
    (layer,) = by_role(viewer, "changed")
    assert layer.visible and layer.name.startswith("field")
    # Segmented again, the image shows no change any more.
    run(dock)
    assert not layer.visible


# -- which prototype is meant -----------------------------------------------------------------


def test_a_second_click_on_delete_deletes_nothing_else(prototypes: Any, wait: Any) -> None:
    prototypes.choose(1)
    prototypes.edit_panel.delete_button.click()
    prototypes.edit_panel.delete_button.click()
    wait()
    assert names_of(prototypes) == ["soil 1", "plant 1", "plant 2"]
    assert "not in the model any more" in prototypes.status.text()


def test_an_edit_that_waits_finds_its_prototype(prototypes: Any, wait: Any) -> None:
    prototypes.choose(0)
    prototypes.edit_panel.delete_button.click()
    prototypes.gallery.row(1).on.click()
    prototypes.edits.rename(3, "last")
    prototypes.edits.switch(3, False)
    wait()
    assert names_of(prototypes) == ["soil 2", "plant 1", "last"]
    assert prototypes.state.model.layer.active.tolist() == [False, True, False]


# -- results of another model -----------------------------------------------------------------


def test_another_model_leaves_old_results_alone(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, other_file: Path
) -> None:
    first = prototypes.state.current
    kept = first.labels.data.copy()
    dock.models.choose_file(other_file)
    second = viewer.add_image(two_tone(60, 80, seed=4)[0], name="second")
    dock.images.choose(second)
    run(dock)
    prototypes.edits.switch(0, False)
    prototypes.edits.switch(1, False)
    wait()
    assert (prototypes.state.current.labels.data == 2).all()
    np.testing.assert_array_equal(first.labels.data, kept)
    dock.images.choose(first.source)
    assert "Another model" in prototypes.status.text()
    assert not prototypes.edit_panel.isEnabled()


def test_results_of_another_model_can_be_seen_but_not_edited(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, tmp_path: Path, other_file: Path
) -> None:
    many = tiny_model(prototypes_per_class=4)
    dock.models.choose_file(save_model(many, tmp_path / "many"))
    run(dock)
    first = prototypes.state.current
    second_image(viewer, dock, other_file)
    run(dock)
    prototypes.edits.switch(0, False)
    wait()
    dock.images.choose(first.source)
    prototypes.choose(7)
    prototypes.why.ask((), 41, 66)
    state, panel = prototypes.state, prototypes.why_panel
    model = state.model
    assert not panel.add.isEnabled() and not prototypes.undo_button.isEnabled()
    row = prototypes.gallery.row(0)
    assert not row.on.isEnabled() and row.name.isReadOnly()
    # Nor by any other way.
    prototypes.edits.switch(0, False)
    prototypes.edits.rename(7, "mine")
    prototypes.edits.add_prototype(0, np.ones((96, 128), bool))
    prototypes.session.undo()
    wait()
    assert state.model is model and state.undo.names == ["turn off soil 1"]
    assert "Another model" in prototypes.status.text()
    dock.images.choose(viewer.layers["second"])
    row = prototypes.gallery.row(0)
    assert row.on.isEnabled() and not row.name.isReadOnly() and panel.add.isEnabled()
    assert prototypes.undo_button.isEnabled()
    assert "Another model" not in prototypes.status.text()


# -- regions are kept -------------------------------------------------------------------------


def test_a_second_run_cuts_no_regions_again(
    viewer: Any, prototypes: Any, dock: Any, run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    regions = tiny_model(partition="superpixel", region_size=8)
    dock.models.choose_file(save_model(regions, tmp_path / "regions"))
    cuts = []
    real = partitioner.region_map_steps

    def counted(*arguments: Any) -> Any:
        cuts.append(arguments[1].size)
        return (yield from real(*arguments))

    monkeypatch.setattr(partitioner, "region_map_steps", counted)
    run(dock)
    labels = labels_of(prototypes).data.copy()
    run(dock)
    assert len(cuts) == 1
    np.testing.assert_array_equal(labels_of(prototypes).data, labels)
    dock.cells.size.setValue(12)
    run(dock)
    assert len(cuts) == 2
    photo = prototypes.state.current.source
    photo.data[:20] = 255 - photo.data[:20]  # in place, as a script might
    run(dock)
    assert len(cuts) == 3
    expected = segment(photo.data, prototypes.state.model.with_cells(12)).labels
    np.testing.assert_array_equal(prototypes.state.current.segmentation.labels, expected)
