"""The Prototypes dock in a real viewer, used as a person would use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox

from napari_gaussproto.core.model_file import load_model_file
from napari_gaussproto.core.predict import segment
from napari_gaussproto.widgets.prototypes import PrototypesWidget
from napari_gaussproto.widgets.why_tool import pixel_at
from tests.core.builders import two_tone

TAG = "napari-gaussproto"
LEFT = Qt.MouseButton.LeftButton


def by_role(viewer: Any, role: str) -> list[Any]:
    return [layer for layer in viewer.layers if layer.metadata.get(TAG, {}).get("role") == role]


@pytest.fixture
def photo(viewer: Any) -> Any:
    return viewer.add_image(two_tone()[0], name="field")


@pytest.fixture
def prototypes(viewer: Any, photo: Any, dock: Any, run: Any, qtbot: Any) -> Any:
    """The Prototypes dock after an image was segmented."""
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes", area="right", tabify=True)
    widget.parent().raise_()
    run(dock)
    yield widget
    widget._shut_down()
    idle = (widget.session.runner, widget.session._saver, widget.runner, widget.why.runner)
    qtbot.waitUntil(lambda: not any(runner.busy for runner in idle), timeout=30_000)


@pytest.fixture
def shown(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    """The viewer on the screen, laid out, with the whole image in view."""
    viewer.window.show()
    viewer.reset_view()
    qtbot.waitUntil(lambda: prototypes.gallery.rows[0].isVisible(), timeout=10_000)
    qtbot.wait(100)


@pytest.fixture
def wait(prototypes: Any, qtbot: Any) -> Callable[[], None]:
    """Wait until all edits are in force."""

    def until_idle() -> None:
        qtbot.waitUntil(
            lambda: not prototypes.session.busy and not prototypes.session._waiting,
            timeout=30_000,
        )

    return until_idle


def labels_of(prototypes: Any) -> Any:
    return prototypes.state.current.labels


def expected_labels(prototypes: Any) -> np.ndarray:
    """What the current model says about the image, from scratch."""
    return segment(prototypes.state.current.source.data, prototypes.state.model).labels


def click(qtbot: Any, widget: Any) -> None:
    qtbot.mouseClick(widget, LEFT)


def canvas_point(viewer: Any, world: tuple[float, float]) -> QPoint:
    """Where a point of the world is drawn on the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    camera = getattr(viewer, "scene", viewer).camera
    centre = np.array([native.height(), native.width()]) / 2
    y, x = centre + (np.array(world) - camera.center[-2:]) * camera.zoom
    return QPoint(round(x), round(y))


# -- see --------------------------------------------------------------------------------------


def test_without_a_result_it_says_what_to_do(viewer: Any) -> None:
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes")
    assert widget._pages.currentIndex() == 0
    assert "Segment an image first" in widget._empty.text()
    widget._shut_down()


def test_the_gallery_shows_every_prototype_with_its_share(prototypes: Any) -> None:
    rows = prototypes.gallery.rows
    assert [row.name.text() for row in rows] == ["soil 1", "soil 2", "plant 1", "plant 2"]
    share = prototypes.state.current.segmentation.prototype_share()
    assert sum(row.bar._share for row in rows) == pytest.approx(1, abs=1e-5)
    assert [row.bar._share for row in rows] == pytest.approx(share.tolist())
    assert all(row.on.isChecked() for row in rows)


def test_clicking_a_row_shows_its_map_at_once(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(2))
    (layer,) = by_role(viewer, "likelihood")
    segmentation = prototypes.state.current.segmentation
    np.testing.assert_array_equal(layer.data, segmentation.likelihood(2))
    assert layer.visible and not labels_of(prototypes).visible
    assert "plant 1" in layer.name
    click(qtbot, prototypes.classes_button)
    assert labels_of(prototypes).visible and not layer.visible


def test_both_docks_choose_the_same_prototype(prototypes: Any, dock: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(3))
    assert dock.likelihood.chooser.currentIndex() == 3
    assert dock.likelihood.likelihood.isChecked()
    dock.likelihood.chooser.setCurrentIndex(1)
    dock.likelihood.chooser.activated.emit(1)
    assert prototypes.gallery.row(1)._selected and not prototypes.gallery.row(3)._selected
    assert prototypes.edit_panel.title.text().find("soil 2") > 0


def test_quantities_have_one_scale_for_all_prototypes(viewer: Any, prototypes: Any) -> None:
    segmentation = prototypes.state.current.segmentation
    prototypes.choose(1)
    (layer,) = by_role(viewer, "likelihood")
    prototypes.quantity.setCurrentIndex(1)
    prototypes.quantity.activated.emit(1)
    np.testing.assert_array_equal(layer.data, segmentation.responsibility(1))
    assert layer.contrast_limits == [0, 1] and layer.name.startswith("field – responsibility")
    prototypes.quantity.setCurrentIndex(2)
    prototypes.quantity.activated.emit(2)
    limits = list(layer.contrast_limits)
    assert limits == pytest.approx(segmentation.log_likelihood_limits())
    prototypes.choose(3)
    assert list(layer.contrast_limits) == limits
    assert np.isfinite(layer.data).all()
    if hasattr(layer, "colorbar"):
        assert layer.colorbar.visible


def test_pin_keeps_the_map(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(2))
    active = viewer.layers.selection.active
    click(qtbot, prototypes.pin)
    (pinned,) = by_role(viewer, "pinned 2")
    kept = pinned.data.copy()
    click(qtbot, prototypes.gallery.row(0))
    np.testing.assert_array_equal(pinned.data, kept)
    assert viewer.layers.selection.active is active


def test_patches_are_enlarged_in_a_tooltip(prototypes: Any) -> None:
    strip = prototypes.gallery.rows[0].patches
    assert "No example patches" in strip.tooltip_html()
    patches = np.full((5, 48, 48, 3), 90, np.uint8)
    strip.show_patches(patches, [0, 1], "<soil>", prototypes.state.current.segmentation.classes)
    html = strip.tooltip_html()
    assert html.count("data:image/png;base64,") == 5 and "&lt;soil&gt;" in html
    assert html.count("not labelled") == 3


def test_health_is_told_in_words(prototypes: Any, wait: Any) -> None:
    prototypes.state.model.prototypes[1].patch_labels = np.array([1, 1, 1])
    prototypes._refresh()
    prototypes.choose(1)
    assert not prototypes.gallery.row(1).mark.isHidden()
    assert prototypes.gallery.row(0).mark.isHidden()
    assert "“plant”" in prototypes.gallery.row(1).mark.toolTip()
    assert "turn it off" in prototypes.edit_panel.findings.text()


def test_everything_has_a_tooltip(prototypes: Any) -> None:
    parts = [*prototypes.findChildren(QAbstractButton), *prototypes.findChildren(QComboBox)]
    ours = [part for part in parts if not part.objectName().startswith("qt_")]
    silent = [
        part
        for part in ours
        if not part.toolTip() and type(part.parent()).__name__ not in ("QTabBar",)
    ]
    assert len(ours) > 20 and not silent


# -- edit -------------------------------------------------------------------------------------


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


def test_a_refused_edit_gives_a_sentence_and_changes_nothing(
    prototypes: Any, wait: Any, qtbot: Any, shown: None
) -> None:
    for m in (0, 1, 2, 3):
        click(qtbot, prototypes.gallery.row(m).on)
        wait()
    assert "last prototype that is on" in prototypes.status.text()
    assert prototypes.gallery.row(3).on.isChecked()
    assert len(prototypes.state.history.names) == 3


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
    assert dock.cover._rows[0][1] == pytest.approx((layer.data == 1).mean())

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
    assert prototypes.state.history.names == [
        "reassign soil 2 to plant", "merge plant 3, plant 1", "split plant 2", "delete plant 2a",
    ]  # fmt: skip
    for _ in range(4):
        click(qtbot, prototypes.undo_button)
        wait()
    assert prototypes.state.model is prototypes.state.history.start
    np.testing.assert_array_equal(layer.data, expected_labels(prototypes))


def test_quick_edits_all_take_effect(prototypes: Any, wait: Any) -> None:
    prototypes.edits.switch(0, False)
    prototypes.edits.switch(3, False)
    prototypes.edits.rename(1, "earth")
    wait()
    assert prototypes.state.model.layer.active.tolist() == [False, True, True, False]
    assert prototypes.state.model.prototypes[1].name == "earth"
    assert len(prototypes.state.history.names) == 3


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
    assert first.provenance["edits"] == ["turn off plant 1", "turn off plant 2"]


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
        prototypes.why.ask((), int(y), int(x), region=True)
    actions = prototypes.why_panel.add.menu().actions()
    assert [action.text() for action in actions] == ["For soil", "For plant"]
    actions[1].trigger()
    wait()
    assert prototypes.state.model.prototypes[-1].name == "plant 3"


def test_training_a_prototype_away(viewer: Any, prototypes: Any, wait: Any, qtbot: Any) -> None:
    truth = viewer.add_labels(two_tone()[1], name="truth")
    panel = prototypes.edit_panel
    prototypes._refresh()
    prototypes.choose(3)
    panel.labels.setCurrentIndex(panel.labels.findText(truth.name))
    click(qtbot, panel.train_button)
    wait()
    assert len(prototypes.state.model.prototypes) == 3
    assert prototypes.state.history.names == ["train away plant 2"]
    assert "Accuracy on the labelled cells" in prototypes.status.text()
    assert "Mean IoU" in prototypes.status.text()
    np.testing.assert_array_equal(labels_of(prototypes).data, expected_labels(prototypes))
    np.testing.assert_array_equal(truth.data, two_tone()[1])


def test_labels_of_other_classes_are_refused(viewer: Any, prototypes: Any, wait: Any) -> None:
    strange = viewer.add_labels(np.full((96, 128), 9), name="strange")
    prototypes._refresh()
    panel = prototypes.edit_panel
    panel.labels.setCurrentIndex(panel.labels.findText(strange.name))
    prototypes.edits.train_away()
    wait()
    assert "the model has 2 classes" in prototypes.status.text()
    assert not prototypes.state.history.can_undo


def test_cancel_leaves_the_model_as_it_is(
    prototypes: Any, wait: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_gaussproto.core import reject

    endless = reject.reject_steps

    def slow(*arguments: Any) -> Any:
        return (yield from endless(*arguments, steps=100_000))

    monkeypatch.setattr(reject, "reject_steps", slow)
    model = prototypes.state.model
    with qtbot.waitSignal(prototypes.session.progressed, timeout=10_000):
        prototypes.edits.train_away()
    assert prototypes.edit_panel.cancel_button.isVisibleTo(prototypes.edit_panel)
    prototypes.edit_panel.cancel_button.click()
    wait()
    assert prototypes.state.model is model and not prototypes.state.history.can_undo
    assert not prototypes.edit_panel.cancel_button.isVisibleTo(prototypes.edit_panel)
    prototypes.edits.switch(0, False)
    qtbot.waitUntil(lambda: prototypes.state.history.can_undo, timeout=10_000)


# -- ask --------------------------------------------------------------------------------------


def test_clicking_the_canvas_explains_the_cell(
    viewer: Any, prototypes: Any, qtbot: Any, shown: None
) -> None:
    native = viewer.window._qt_viewer.canvas.native
    click(qtbot, prototypes.why_panel.button)
    qtbot.mouseMove(native, canvas_point(viewer, (41, 66)))
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    found = prototypes.why.explanation
    assert found is not None
    assert abs(found.y - 41) <= 1 and abs(found.x - 66) <= 1
    first = prototypes.why_panel.rows[0]
    assert first.name.text() == found.responsible[0].name
    assert found.familiarity == prototypes.why_panel.novelty.text()
    (outline,) = by_role(viewer, "why")
    corners = np.concatenate([np.asarray(shape) for shape in outline.data])
    assert corners.min(0) == pytest.approx([found.top - 0.5, found.left - 0.5])
    count = len(viewer.layers)
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (20, 30)))
    assert prototypes.why.explanation is not found
    assert len(viewer.layers) == count  # the outline's layer is used again
    # Clicking a prototype of the explanation chooses it.
    click(qtbot, first)
    assert prototypes.state.prototype == first.index
    # Switched off, a click is only a click.
    last = prototypes.why.explanation
    click(qtbot, prototypes.why_panel.button)
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (60, 90)))
    assert prototypes.why.explanation is last
    assert prototypes.why.tool._on_drag not in viewer.mouse_drag_callbacks
    assert prototypes.why.tool._on_move not in viewer.mouse_move_callbacks


def test_dragging_moves_the_image_and_asks_nothing(
    viewer: Any, prototypes: Any, qtbot: Any, shown: None
) -> None:
    native = viewer.window._qt_viewer.canvas.native
    click(qtbot, prototypes.why_panel.button)
    start, end = canvas_point(viewer, (41, 66)), canvas_point(viewer, (60, 90))
    qtbot.mousePress(native, LEFT, pos=start)
    qtbot.mouseMove(native, end)
    qtbot.mouseMove(native, end + QPoint(1, 1))
    qtbot.mouseRelease(native, LEFT, pos=end)
    assert prototypes.why.explanation is None


def test_shift_explains_under_the_mouse(viewer: Any, prototypes: Any) -> None:
    prototypes.why_panel.button.setChecked(True)

    class Event:
        modifiers = ("Shift",)
        position = (41.0, 66.0)

    plain = Event()
    plain.modifiers = ()
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, plain)
    assert prototypes.why.explanation is None
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, Event())
    found = prototypes.why.explanation
    assert (found.y, found.x) == (41, 66)
    beside = Event()
    beside.position = (42.0, 67.0)  # the same cell: nothing to do
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, beside)
    assert prototypes.why.explanation is found


def test_the_tool_lays_the_brush_down_and_takes_it_up(
    viewer: Any, prototypes: Any, qtbot: Any
) -> None:
    layer = labels_of(prototypes)
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    before = layer.data.copy()
    click(qtbot, prototypes.why_panel.button)
    assert str(layer.mode) == "pan_zoom"
    click(qtbot, prototypes.why_panel.button)
    assert str(layer.mode) == "paint"
    np.testing.assert_array_equal(layer.data, before)


def test_a_region_is_explained_as_a_whole(prototypes: Any, qtbot: Any) -> None:
    labels = labels_of(prototypes).data
    y, x = np.argwhere(labels == 2)[40]
    prototypes.why_panel.region.setChecked(True)
    with qtbot.waitSignal(prototypes.why.runner.finished, timeout=10_000):
        prototypes.why.tool.asked.emit((), int(y), int(x))
    found = prototypes.why.explanation
    assert found.is_region and found.label == 1
    assert labels[found.top, found.left :].size and found.mask.sum() <= (labels == 2).sum()
    assert prototypes.why_panel.heading.text().startswith("This region is")


def test_an_explanation_follows_an_edit(prototypes: Any, wait: Any) -> None:
    prototypes.why.ask((), 41, 66)
    leader = prototypes.why.explanation.responsible[0].index
    prototypes.edits.switch(leader, False)
    wait()
    again = prototypes.why.explanation
    assert (again.y, again.x) == (41, 66)
    assert leader not in [r.index for r in again.responsible]
    assert not prototypes.why_panel.rows[3].isVisibleTo(prototypes.why_panel)


def test_an_explanation_is_exported(prototypes: Any, qtbot: Any, tmp_path: Path) -> None:
    prototypes.why.ask((), 41, 66)
    with qtbot.waitSignal(prototypes.why._exporter.finished, timeout=30_000):
        prototypes.why.save_figure(tmp_path / "why.svg")
    assert "Responsible prototypes" in (tmp_path / "why.svg").read_text()
    assert prototypes.status.text() == "Saved why.svg."
    with qtbot.waitSignal(prototypes.why._exporter.finished, timeout=30_000):
        prototypes.why.save_figure(tmp_path / "why.bmp")
    assert "choose PNG, SVG or PDF" in prototypes.status.text()


def test_points_are_found_under_any_transform(viewer: Any, prototypes: Any) -> None:
    outcome = prototypes.state.current
    source = outcome.source
    source.scale, source.translate, source.rotate = (0.5, 2.0), (10, -20), 30
    assert pixel_at(outcome, source.data_to_world((41, 66))) == ((), 41, 66)
    assert pixel_at(outcome, source.data_to_world((-3, 66))) is None


def test_places_are_pictures_one_can_go_to(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    prototypes.tabs.setCurrentWidget(prototypes.places)
    view = prototypes.places.lists["novel"]
    qtbot.waitUntil(lambda: view.count() > 0, timeout=10_000)
    assert prototypes.places.lists["uncertain"].count() > 0
    item = view.item(0)
    y, x = item.data(Qt.ItemDataRole.UserRole)
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualItemRect(item).center())
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((y, x))
    assert camera.zoom >= 3
    assert (prototypes.why.explanation.y, prototypes.why.explanation.x) == (y, x)


def test_the_latent_space_is_drawn_and_can_be_clicked(prototypes: Any, qtbot: Any) -> None:
    prototypes.tabs.setCurrentWidget(prototypes.space)
    view = prototypes.space.view
    qtbot.waitUntil(lambda: view._projection is not None, timeout=10_000)
    assert "principal components" in prototypes.space.caption.text()
    for m in range(4):
        x, y = view.position_of(m)
        nearest = view.prototype_at(x, y)
        qtbot.mouseClick(view, LEFT, pos=QPoint(round(x), round(y)))
        assert prototypes.state.prototype == nearest == m


def test_a_stack_is_explained_on_the_plane_clicked(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any
) -> None:
    stack = np.stack([two_tone(60, 80, seed)[0] for seed in range(3)])
    layer = viewer.add_image(stack, name="time", rgb=True, scale=(2, 1, 1))
    dock.images.choose(layer)
    run(dock)
    assert pixel_at(prototypes.state.current, (2.0, 20.0, 30.0)) == ((1,), 20, 30)
    prototypes.why.ask((1,), 20, 30)
    plane = prototypes.state.current.segmentation.planes[1]
    expected = plane.explain(20, 30)
    assert prototypes.why.explanation.responsible == expected.responsible
    (outline,) = [la for la in by_role(viewer, "why") if la.ndim == 3]
    assert {float(point[0]) for shape in outline.data for point in shape} == {1.0}
    prototypes.edits.switch(2, False)
    wait()
    assert labels_of(prototypes).data.shape == (3, 60, 80)


# -- the end ----------------------------------------------------------------------------------


def test_a_closed_dock_lets_go(
    viewer: Any, prototypes: Any, wait: Any, dock: Any, run: Any
) -> None:
    prototypes.why_panel.button.setChecked(True)
    before = len(viewer.mouse_drag_callbacks)
    viewer.window.remove_dock_widget(prototypes)
    prototypes.close()
    assert len(viewer.mouse_drag_callbacks) == before - 1
    run(dock)
    assert dock.status.text().startswith("Done in")


def test_another_model_leaves_old_results_alone(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any, tmp_path: Path
) -> None:
    from napari_gaussproto.core.model_file import save_model
    from tests.core.builders import tiny_model

    first = prototypes.state.current
    kept = first.labels.data.copy()
    dock.models.choose_file(save_model(tiny_model(seed=5), tmp_path / "other"))
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
