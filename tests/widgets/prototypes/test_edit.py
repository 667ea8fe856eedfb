"""The Prototypes dock in a real viewer: edits, undo, new prototypes, rejecting one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.jobs import changes
from tests.core.builders import two_tone
from tests.widgets.docks import by_role, click, expected_labels, labels_of


def test_off_updates_labels_and_map_and_undo_brings_them_back(
    viewer: Any, prototypes: Any, wait: Any, qtbot: Any, shown: None
) -> None:
    layer, names = labels_of(prototypes), [la.name for la in viewer.layers]
    before = layer.data.copy()
    prototypes.choose(2)
    (likelihood,) = by_role(viewer, "likelihood")
    typicality = likelihood.data.copy()
    assert typicality.max() > 0
    click(qtbot, prototypes.gallery.row(2).on)
    wait()
    assert not prototypes.state.model.layer.active[2]
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))
    assert likelihood.data.max() == 0
    assert "turn off plant 1" in prototypes.undo_button.toolTip()
    assert prototypes.model_name.text().endswith("*")
    click(qtbot, prototypes.undo_button)
    wait()
    np.testing.assert_array_equal(layer.data, before)
    np.testing.assert_array_equal(likelihood.data, typicality)
    assert prototypes.gallery.row(2).on.isChecked()
    assert not prototypes.undo_button.isEnabled()
    click(qtbot, prototypes.redo_button)
    wait()
    assert not prototypes.gallery.row(2).on.isChecked()
    assert [la.name for la in viewer.layers] == [
        n.replace("of soil 1", "of plant 1") for n in names
    ]


def test_undo_chooses_what_was_chosen_before(
    prototypes: Any, wait: Any, qtbot: Any, shown: None
) -> None:
    chosen = []
    prototypes.tabs.setCurrentIndex(1)
    prototypes.choose(1)
    for button in (prototypes.edit_panel.split_button, prototypes.edit_panel.delete_button):
        chosen.append(prototypes.state.prototype)
        click(qtbot, button)
        wait()
    after = prototypes.state.prototype
    for expected in reversed(chosen):
        click(qtbot, prototypes.undo_button)
        wait()
        assert prototypes.state.prototype == expected
        assert prototypes.gallery.row(expected).selected
    for expected in (chosen[1], after):
        click(qtbot, prototypes.redo_button)
        wait()
        assert prototypes.state.prototype == expected


def test_the_gallery_scrolls_to_the_chosen_one(
    prototypes: Any, wait: Any, qtbot: Any, shown: None
) -> None:
    gallery = prototypes.gallery
    for m in (3, 0):
        prototypes.choose(m)
        row = gallery.row(m)
        qtbot.waitUntil(lambda row=row: row.visibleRegion().boundingRect().height() > 10)
    gallery.verticalScrollBar().setValue(gallery.verticalScrollBar().maximum())
    prototypes.edit_panel.split_button.click()  # new rows, which have no place at first
    wait()
    row = gallery.row(prototypes.state.prototype)
    qtbot.waitUntil(lambda: row.visibleRegion().boundingRect().height() > 10)


def test_a_refused_edit_gives_a_sentence_and_changes_nothing(
    prototypes: Any, wait: Any, qtbot: Any, shown: None
) -> None:
    for m in (0, 1, 2, 3):
        click(qtbot, prototypes.gallery.row(m).on)
        wait()
    assert "last prototype that is on" in prototypes.status.text()
    assert prototypes.gallery.row(3).on.isChecked()
    assert len(prototypes.state.undo.names) == 3


def test_rename_by_typing(prototypes: Any, dock: Any, wait: Any, qtbot: Any) -> None:
    field = prototypes.gallery.row(0).name
    click(qtbot, field)
    assert prototypes.state.prototype == 0
    field.selectAll()
    qtbot.keyClicks(field, "bare soil")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    wait()
    assert prototypes.state.model.prototypes[0].name == "bare soil"
    assert prototypes.gallery.row(0).name.text() == "bare soil"
    assert dock.likelihood.chooser.itemText(0).startswith("bare soil")
    field.setText("plant 1")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    wait()
    assert "already" in prototypes.status.text()
    assert field.text() == "bare soil"


def test_reassign_merge_split_delete(
    viewer: Any, prototypes: Any, dock: Any, wait: Any, qtbot: Any
) -> None:
    panel, layer = prototypes.edit_panel, labels_of(prototypes)
    prototypes.tabs.setCurrentWidget(panel)

    def names() -> list[str]:
        return [row.name.text() for row in prototypes.gallery.rows]

    prototypes.choose(1)
    panel.class_choice.setCurrentIndex(1)
    panel.class_choice.activated.emit(1)
    wait()
    assert names() == ["soil 1", "plant 3", "plant 1", "plant 2"]
    assert prototypes.state.prototype == 1 and panel.siblings.count() == 2
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))
    assert dock.cover.shares[0] == pytest.approx((layer.data == 1).mean())

    panel.siblings.setCurrentIndex(panel.siblings.findText("plant 1"))
    click(qtbot, panel.merge_button)
    wait()
    assert names() == ["soil 1", "plant 3", "plant 2"]
    assert "plant 3" in panel.title.text()

    prototypes.choose(2)
    click(qtbot, panel.split_button)
    wait()
    assert names() == ["soil 1", "plant 3", "plant 2a", "plant 2b"]
    parts = prototypes.state.model.prototypes[2:]
    assert all(len(part.patches) for part in parts)  # cut from this image
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))

    click(qtbot, panel.delete_button)
    wait()
    assert names() == ["soil 1", "plant 3", "plant 2b"]
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))
    assert prototypes.state.undo.names == [
        "reassign soil 2 to plant", "merge plant 3, plant 1", "split plant 2", "delete plant 2a",
    ]  # fmt: skip
    for _ in range(4):
        click(qtbot, prototypes.undo_button)
        wait()
    assert prototypes.state.model is prototypes.state.undo.start
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))


def test_quick_edits_all_take_effect(prototypes: Any, wait: Any) -> None:
    prototypes.edits.switch(0, False)
    prototypes.edits.switch(3, False)
    prototypes.edits.rename(1, "earth")
    wait()
    assert prototypes.state.model.layer.active.tolist() == [False, True, True, False]
    assert prototypes.state.model.prototypes[1].name == "earth"
    assert len(prototypes.state.undo.names) == 3


def test_an_edit_never_overwrites_what_was_painted(viewer: Any, prototypes: Any, wait: Any) -> None:
    painted = labels_of(prototypes)
    painted.fill((3, 3), 3 - int(painted.data[3, 3]))
    kept = painted.data.copy()
    prototypes.edits.switch(2, False)
    wait()
    np.testing.assert_array_equal(painted.data, kept)
    assert painted in viewer.layers and "edited" in painted.name
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))


def test_one_undo_of_the_label_layer_takes_an_edit_back(prototypes: Any, wait: Any) -> None:
    layer = labels_of(prototypes)
    before = layer.data.copy()
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    assert not np.array_equal(layer.data, before)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_an_edit_reaches_all_images_and_extra_maps(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any
) -> None:
    first = prototypes.state.current
    second = viewer.add_image(two_tone(60, 80, seed=4)[0], name="second")
    dock.extras["novelty"].setChecked(True)
    dock.images.choose(second)
    run(dock)
    (novelty,) = by_role(viewer, "novelty")
    before = novelty.data.copy()
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    assert not (first.labels.data == 2).any()
    assert not (prototypes.state.current.labels.data == 2).any()
    assert not np.array_equal(novelty.data, before)
    assert first.provenance.edits == ["turn off plant 1", "turn off plant 2"]


def test_the_next_image_is_segmented_by_the_edited_model(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any
) -> None:
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    dock.images.choose(viewer.add_image(two_tone(60, 80, seed=4)[0], name="second"))
    run(dock)
    assert prototypes.state.current.source.name == "second"
    assert (prototypes.state.current.labels.data == 1).all()


def test_an_edit_during_a_run_is_applied_to_its_result(
    prototypes: Any, dock: Any, run: Any, wait: Any, qtbot: Any
) -> None:
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        prototypes.edits.switch(2, False)
        prototypes.edits.switch(3, False)
    wait()
    assert prototypes.state.current.model is prototypes.state.model
    assert (labels_of(prototypes).data == 1).all()


def test_what_changed_is_told_and_shown(viewer: Any, prototypes: Any, wait: Any) -> None:
    before = labels_of(prototypes).data.copy()
    prototypes.edit_panel.changes.setChecked(True)
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    (layer,) = by_role(viewer, "changed")
    prototypes.session.undo()
    wait()
    prototypes.session.undo()
    wait()
    np.testing.assert_array_equal(labels_of(prototypes).data, before)
    assert by_role(viewer, "changed") == [layer] and layer.visible
    assert "of the pixels changed" in prototypes.status.text()
    prototypes.edit_panel.changes.setChecked(False)
    assert not layer.visible


def test_saving_keeps_the_edits(prototypes: Any, wait: Any, qtbot: Any, tmp_path: Path) -> None:
    prototypes.edits.switch(2, False)
    prototypes.edits.rename(0, "bare")
    wait()
    with qtbot.waitSignal(prototypes.session.saved, timeout=10_000):
        prototypes.session.save(tmp_path / "mine.safetensors")
    again = load_model_file(tmp_path / "mine.safetensors")
    assert again.layer.active.tolist() == [True, True, False, True]
    assert again.card.name == "mine"
    assert [e["what"] for e in again.card.history] == ["turn off", "rename"]
    assert "Saved as mine.safetensors" in prototypes.status.text()
    assert not prototypes.model_name.text().endswith("*")


def test_a_place_that_cannot_be_written_to_is_told(
    prototypes: Any, qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    prototypes.session.save(tmp_path / "file" / "mine.safetensors")
    qtbot.waitUntil(lambda: "choose another folder" in prototypes.status.text(), timeout=10_000)


# -- a new prototype, and rejecting one -------------------------------------------------------


def test_a_new_prototype_from_a_painted_region(
    viewer: Any, prototypes: Any, wait: Any, qtbot: Any
) -> None:
    panel = prototypes.edit_panel
    prototypes.tabs.setCurrentWidget(panel)
    click(qtbot, panel.add_button)
    assert "Nothing is painted" in prototypes.status.text()
    click(qtbot, panel.brush)
    (layer,) = by_role(viewer, "new prototype")
    assert viewer.layers.selection.active is layer and str(layer.mode) == "paint"
    layer.paint((50, 60), 1)
    painted = layer.data.copy()
    assert painted.any()
    panel.new_class.setCurrentIndex(0)
    click(qtbot, panel.add_button)
    wait()
    added = prototypes.state.model.prototypes[-1]
    assert added.name == "soil 3" and added.class_index == 0
    assert prototypes.state.prototype == 4
    assert len(added.patches) == 8
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))
    assert not layer.data.any()  # ready for the next one
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)


def test_a_new_prototype_from_an_explained_region(prototypes: Any, wait: Any, qtbot: Any) -> None:
    y, x = np.argwhere(labels_of(prototypes).data == 2)[40]
    with qtbot.waitSignal(prototypes.why.runner.finished, timeout=10_000):
        prototypes.why.ask((), int(y), int(x), component=True)
    actions = prototypes.why_panel.add.menu().actions()
    assert [action.text() for action in actions] == ["For soil", "For plant"]
    actions[1].trigger()
    wait()
    assert prototypes.state.model.prototypes[-1].name == "plant 3"


def test_training_a_prototype_away(viewer: Any, prototypes: Any, wait: Any, qtbot: Any) -> None:
    truth = viewer.add_labels(two_tone()[1], name="truth")
    panel = prototypes.edit_panel
    prototypes.refresh()
    prototypes.choose(3)
    panel.labels.setCurrentIndex(panel.labels.findText(truth.name))
    click(qtbot, panel.train_button)
    wait()
    assert len(prototypes.state.model.prototypes) == 3
    assert prototypes.state.undo.names == ["train away plant 2"]
    assert "Accuracy on the labelled cells" in prototypes.status.text()
    assert "Mean IoU" in prototypes.status.text()
    assert "It was trained on these labels" in prototypes.status.text()
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))
    np.testing.assert_array_equal(truth.data, two_tone()[1])


def test_labels_of_other_classes_are_refused(viewer: Any, prototypes: Any, wait: Any) -> None:
    strange = viewer.add_labels(np.full((96, 128), 9), name="strange")
    prototypes.refresh()
    panel = prototypes.edit_panel
    panel.labels.setCurrentIndex(panel.labels.findText(strange.name))
    prototypes.edits.train_away()
    wait()
    assert "there are 2 classes" in prototypes.status.text()
    assert not prototypes.state.undo.can_undo


def test_cancel_leaves_the_model_as_it_is(
    prototypes: Any, wait: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = changes.reject_steps

    def slow(*arguments: Any) -> Any:
        return (yield from endless(*arguments, steps=100_000))

    monkeypatch.setattr(changes, "reject_steps", slow)
    model = prototypes.state.model
    with qtbot.waitSignal(prototypes.session.progressed, timeout=10_000):
        prototypes.edits.train_away()
    assert prototypes.edit_panel.cancel_button.isVisibleTo(prototypes.edit_panel)
    prototypes.edit_panel.cancel_button.click()
    assert prototypes.status.text() == "Cancelled."
    wait()
    assert prototypes.state.model is model and not prototypes.state.undo.can_undo
    assert not prototypes.edit_panel.cancel_button.isVisibleTo(prototypes.edit_panel)
    prototypes.edits.switch(0, False)
    qtbot.waitUntil(lambda: prototypes.state.undo.can_undo, timeout=10_000)


def test_a_label_layer_is_offered_at_once_and_scratch_layers_are_not(
    viewer: Any, prototypes: Any, wait: Any
) -> None:
    combo = prototypes.edit_panel.labels

    def offered() -> list[str]:
        return [combo.itemText(i) for i in range(1, combo.count())]

    before = offered()
    truth = viewer.add_labels(two_tone()[1], name="truth")
    assert offered() == [*before, "truth"]
    combo.setCurrentText("truth")
    prototypes.edit_panel.brush.click()
    prototypes.edit_panel.changes.setChecked(True)
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    assert by_role(viewer, "new prototype") and by_role(viewer, "changed")
    assert offered() == [*before, "truth"] and combo.currentText() == "truth"
    truth.name = "ground truth"
    assert offered() == [*before, "ground truth"]
    viewer.layers.remove(truth)
    assert offered() == before


def test_every_edit_tells_its_iou_on_the_chosen_labels(
    viewer: Any, prototypes: Any, wait: Any
) -> None:
    viewer.add_labels(two_tone()[1], name="truth")
    viewer.add_labels(np.full((96, 128), 9), name="strange")
    combo = prototypes.edit_panel.labels
    combo.setCurrentText("truth")
    prototypes.edits.switch(2, False)
    prototypes.edits.switch(3, False)
    wait()
    assert "Mean IoU" in prototypes.status.text()
    # Labels that do not fit stand in the way of no edit.
    combo.setCurrentText("strange")
    prototypes.session.undo()
    prototypes.edits.rename(0, "bare")
    wait()
    assert prototypes.state.model.prototypes[0].name == "bare"
    assert "IoU" not in prototypes.status.text()
