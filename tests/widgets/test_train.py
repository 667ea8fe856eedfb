"""The Train dock in a real viewer, used as a person would use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gaussproto.core.class_table import add_class, remove_class, rename_class
from napari_gaussproto.core.corrections import PREDICTED
from napari_gaussproto.core.model_file import load_model_file, save_model
from napari_gaussproto.widgets.segment import SegmentWidget
from napari_gaussproto.widgets.train import TrainWidget
from tests.core.builders import TINY_BACKBONE, tiny_model, two_tone

TAG = "napari-gaussproto"
WAIT = 120_000


@pytest.fixture
def train(viewer: Any, qtbot: Any) -> Any:
    """The Train dock, set to a tiny new model."""
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train", area="right")
    widget.start.pretrained = False
    widget.start.backbone.setCurrentText(TINY_BACKBONE)
    widget.start.detail.setCurrentText("fine")
    yield widget
    widget.learner.cancel()
    qtbot.waitUntil(lambda: not widget.learner.runner.busy, timeout=WAIT)
    qtbot.waitUntil(lambda: not widget._loader.busy, timeout=WAIT)
    qtbot.waitUntil(lambda: not widget.keeper.backlog.busy, timeout=WAIT)


@pytest.fixture
def image(viewer: Any, train: Any) -> Any:
    """An image in that viewer."""
    return viewer.add_image(two_tone()[0], name="field", scale=(2, 2), translate=(5, 7))


def click(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def by_role(viewer: Any, role: str) -> list[Any]:
    return [layer for layer in viewer.layers if layer.metadata.get(TAG, {}).get("role") == role]


def stroke(train: Any, value: int, seed: int = 0, length: int = 30) -> None:
    """A horizontal stroke of a class where it really is, through the layer's brush."""
    annotation = train.annotator.annotations[0]
    truth = two_tone()[1]
    rng = np.random.default_rng(seed)
    spots = np.argwhere(truth == value)
    y, x = spots[rng.integers(len(spots))]
    layer = annotation.layer
    layer.brush_size = 5
    with layer.block_history():
        for column in range(x, min(x + length, truth.shape[1])):
            if truth[y, column] == value:
                layer.paint((y, column), value)
    annotation.settle()


def draw(train: Any, strokes: int = 2) -> Any:
    """Press Draw and paint strokes of both classes; returns the layer."""
    click(train.labels.new)
    for seed in range(strokes):
        stroke(train, 1, seed)
        stroke(train, 2, seed)
    return train.annotator.annotations[0].layer


def fitted(train: Any, qtbot: Any, press: Any) -> None:
    """Do something and wait for the fit that follows."""
    with qtbot.waitSignal(train.learner.fitted, timeout=WAIT):
        press()
    qtbot.waitUntil(lambda: train.learner.phase == "idle", timeout=WAIT)


def settled(train: Any, qtbot: Any) -> None:
    """Wait until everything is saved."""
    train.historian.flush()
    train.keeper.save_now()
    qtbot.waitUntil(lambda: not train.keeper.backlog.busy, timeout=WAIT)


def quick(train: Any, qtbot: Any) -> None:
    fitted(train, qtbot, lambda: click(train.quick))


# -- drawing -----------------------------------------------------------------------------------


def test_buttons_say_what_is_missing(train: Any, viewer: Any) -> None:
    assert not train.quick.isEnabled() and "Open an image" in train.quick.toolTip()
    viewer.add_image(two_tone()[0])
    assert "Draw" in train.quick.toolTip()
    assert not train.budget.start.isEnabled()


def test_draw_makes_a_layer_like_the_image_with_the_brush_in_hand(
    train: Any, viewer: Any, image: Any
) -> None:
    train.classes.select(1)
    click(train.labels.new)
    (layer,) = by_role(viewer, "annotations")
    assert layer.data.shape == (96, 128)
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert viewer.layers.selection.active is layer and str(layer.mode) == "paint"
    assert layer.selected_label == 1 or layer.selected_label == 2
    train.classes.class_selected.emit(1)
    assert layer.selected_label == 2


def test_quick_fit_segments_the_image_and_keeps_the_strokes(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    before = train.annotator.annotations[0].labels
    quick(train, qtbot)
    (labels,) = by_role(viewer, "labels")
    assert labels.data.shape == (96, 128)
    truth = two_tone()[1]
    assert (labels.data == truth).mean() > 0.7
    assert np.array_equal(train.annotator.annotations[0].labels, before)
    assert set(np.unique(layer.data)) <= {1, 2, PREDICTED + 1, PREDICTED + 2}
    assert viewer.layers.index(labels) < viewer.layers.index(layer)
    assert viewer.layers.selection.active is layer
    assert train.state.model is not None and train.state.current.source is image
    assert "Fitted in" in train.status.text()


def test_a_new_superpixel_model_learns_from_strokes(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.start.choose(None, superpixels=True)
    train.start.region.setValue(6)
    draw(train)
    quick(train, qtbot)
    config = train.state.model.config
    assert config.partition == "superpixel" and config.region_size == 6
    record = train.annotator.annotations[0].record
    right = (record.prediction == record.labels)[record.touched]
    assert right.mean() > 0.8


def test_live_mode_fits_after_a_stroke(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 1)
    train.live.setChecked(True)
    fitted(train, qtbot, lambda: stroke(train, 2, seed=5))
    settled(train, qtbot)
    assert len(train.history.model.versions) == 1


def test_one_class_alone_is_refused_with_a_sentence(train: Any, image: Any, qtbot: Any) -> None:
    click(train.labels.new)
    stroke(train, 1)
    with qtbot.waitSignal(train.learner.warned, timeout=WAIT) as said:
        click(train.quick)
    assert "Only “soil” is labelled" in said.args[0]


# -- corrections -------------------------------------------------------------------------------


def test_a_stroke_on_the_prediction_is_a_label_also_where_it_confirms(
    train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    quick(train, qtbot)
    annotation = train.annotator.annotations[0]
    y, x = np.argwhere((annotation.record.prediction == 1) & (annotation.labels == 0))[200]
    layer.brush_size = 1
    layer.paint((y, x), 1)
    annotation.settle()
    assert annotation.labels[y, x] == 1
    layer.undo()
    annotation.settle()
    assert annotation.labels[y, x] == 0 and layer.data[y, x] == PREDICTED + 1
    layer.redo()
    annotation.settle()
    assert annotation.labels[y, x] == 1
    layer.paint((y, x), 0)
    annotation.settle()
    assert annotation.labels[y, x] == 0 and layer.data[y, x] == PREDICTED + 1


def test_regions_and_images_can_be_accepted(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    assert not train.labels.accept_all.isEnabled()
    quick(train, qtbot)
    annotation = train.annotator.annotations[0]
    prediction = annotation.record.prediction
    before = annotation.labels
    y, x = np.argwhere((prediction == 2) & (before == 0))[0]
    click(train.labels.accept)
    assert train.accept_tool.on
    train.accept_tool.accept(annotation, image.data_to_world((y, x)))
    assert annotation.labels[y, x] == 2
    click(train.labels.accept)
    assert not train.accept_tool.on
    click(train.labels.accept_all)
    assert np.array_equal(annotation.labels, np.where(before > 0, before, prediction))
    annotation.layer.undo()
    annotation.layer.undo()
    annotation.settle()
    assert np.array_equal(annotation.labels, before)


def test_painting_on_the_segment_dock_s_labels_goes_to_the_annotations(
    viewer: Any, model_file: Path, qtbot: Any, image: Any, train: Any, dock: Any, run: Any
) -> None:
    run(dock)
    (labels,) = by_role(viewer, "labels")
    viewer.layers.selection.active = labels
    labels.selected_label = 2
    labels.mode = "paint"
    (drawn,) = by_role(viewer, "annotations")
    assert str(labels.mode) == "pan_zoom" and str(drawn.mode) == "paint"
    assert viewer.layers.selection.active is drawn and drawn.selected_label == 2
    assert (drawn.data >= PREDICTED).all()


def test_corrections_can_be_shown(train: Any, viewer: Any, image: Any, qtbot: Any) -> None:
    layer = draw(train)
    quick(train, qtbot)
    annotation = train.annotator.annotations[0]
    y, x = np.argwhere((annotation.record.prediction == 1) & (annotation.labels == 0))[200]
    layer.brush_size = 1
    layer.paint((y, x), 2)
    annotation.settle()
    train.labels.corrections.setChecked(True)
    (overlay,) = by_role(viewer, "corrections")
    assert overlay.data[y, x] == 1 and overlay.visible
    assert viewer.layers.selection.active is layer
    train.labels.corrections.setChecked(False)
    assert not overlay.visible


# -- classes -----------------------------------------------------------------------------------


def test_classes_and_labels_change_together_and_back(train: Any, image: Any) -> None:
    draw(train)
    annotation = train.annotator.annotations[0]
    before = annotation.labels
    train.change_classes(add_class(train.annotator.classes, "weed"))
    assert [c.name for c in train.annotator.classes] == ["soil", "plant", "weed"]
    assert np.array_equal(annotation.labels, before)
    train.change_classes(remove_class(train.annotator.classes, 0))
    assert np.array_equal(annotation.labels, np.where(before == 2, 1, 0))
    train.annotator.undo()
    assert np.array_equal(annotation.labels, before)
    train.annotator.redo()
    assert np.array_equal(annotation.labels, np.where(before == 2, 1, 0))
    annotation.layer.undo()  # cannot reach behind the change
    annotation.settle()
    assert np.array_equal(annotation.labels, np.where(before == 2, 1, 0))


def test_a_new_class_is_learned_without_starting_anew(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    quick(train, qtbot)
    prototypes = len(train.state.model.prototypes)
    train.change_classes(add_class(train.annotator.classes, "stone"))
    layer.brush_size = 9
    for column in range(0, 20):
        layer.paint((4, column), 3)
    train.annotator.annotations[0].settle()
    quick(train, qtbot)
    model = train.state.model
    assert [c.name for c in model.classes] == ["soil", "plant", "stone"]
    assert len(model.prototypes) > prototypes
    assert train.annotator.annotations[0].labels[4, 10] == 3


def test_a_renamed_class_keeps_what_the_model_knows(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    quick(train, qtbot)
    for place, name in enumerate(("earth", "thistle")):
        train.change_classes(rename_class(train.annotator.classes, place, name))
    quick(train, qtbot)
    assert [c.name for c in train.state.model.classes] == ["earth", "thistle"]
    train.annotator.undo()
    quick(train, qtbot)
    assert [c.name for c in train.state.model.classes] == ["earth", "plant"]


def test_values_that_are_no_class_are_not_kept(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    layer.selected_label = 7
    assert layer.selected_label == 2
    annotation = train.annotator.annotations[0]
    layer.paint((5, 5), 300)
    annotation.settle()
    assert annotation.labels[5, 5] == 0 and annotation.labels.max() == 2


def test_other_data_in_the_layer_become_the_record(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    annotation = train.annotator.annotations[0]
    layer.data = layer.data.astype(np.int32)
    layer.paint((5, 5), 2)
    annotation.settle()
    assert annotation.labels[5, 5] == 2 and layer.data is annotation.record.codes


def test_choosing_a_model_leaves_labels_of_closed_images_alone(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    draw(train, 1)
    settled(train, qtbot)
    stored = train.keeper.desk.kept.images[0].labels.copy()
    viewer.layers.remove(image)
    viewer.add_image(two_tone(seed=4)[0], name="other")
    model = tiny_model(classes=["sky", "plant"])
    train.start.choose_file(save_model(model, tmp_path / "sky"))
    settled(train, qtbot)
    assert [c.name for c in train.annotator.classes] == ["soil", "plant", "sky"]
    assert np.array_equal(train.keeper.desk.kept.images[0].labels, stored)


def test_a_new_project_begins_without_versions(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 1)
    quick(train, qtbot)
    settled(train, qtbot)
    train.project.new_asked.emit()
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not train.history.model.versions, timeout=WAIT)
    quick(train, qtbot)
    settled(train, qtbot)
    assert len(train.history.model.versions) >= 1


def test_labels_of_a_layer_are_taken_over_by_a_mapping(
    train: Any, viewer: Any, image: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.where(two_tone()[1] == 2, 255, 0)
    viewer.add_labels(mask, name="mask")
    monkeypatch.setattr(train.imports, "ask", lambda dialog: True)
    monkeypatch.setattr(
        "napari_gaussproto.widgets.mapping_dialog.MappingDialog.mapping",
        lambda self: {0: 1, 255: 2},
    )
    train.use_layer(viewer.layers["mask"])
    qtbot.waitUntil(lambda: bool(train.annotator.annotations), timeout=WAIT)
    annotation = train.annotator.annotations[0]
    assert np.array_equal(annotation.labels, two_tone()[1])
    annotation.layer.undo()
    annotation.settle()
    assert not annotation.labels.any()


def test_a_mask_of_another_shape_is_refused(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = viewer.add_labels(np.ones((5, 6), int))
    with qtbot.waitSignal(train.keeper.warned, timeout=WAIT):
        train.use_layer(layer)
    assert "made for this image" in train.status.text()


# -- fine-tune and history ---------------------------------------------------------------------


def tune(train: Any, qtbot: Any, steps: int = 4) -> None:
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(steps)
    fitted(train, qtbot, lambda: click(train.budget.start))


def test_fine_tune_shows_curves_and_adds_a_version(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 3)
    tune(train, qtbot)
    settled(train, qtbot)
    assert "Fine-tuned in" in train.status.text()
    versions = train.history.model.versions
    assert [v.what for v in versions][:1] == ["fine-tune"]
    assert "held-out mIoU" in versions[0].measures


def test_too_few_strokes_are_told(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 1)
    with qtbot.waitSignal(train.learner.warned, timeout=WAIT) as said:
        tune(train, qtbot, 2)
    assert "too few strokes" in said.args[0]


def test_stop_keeps_the_best_and_pause_rests(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 3)
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(5000)
    steps: list[Any] = []
    train.learner.progressed.connect(
        lambda s: steps.append(s) if getattr(s, "stage", "") == "joint" else None
    )
    click(train.budget.start)
    qtbot.waitUntil(lambda: len(steps) > 1, timeout=WAIT)
    click(train.budget.pause)
    qtbot.waitUntil(lambda: train.learner.runner.paused, timeout=WAIT)
    count = len(steps)
    qtbot.wait(700)
    assert len(steps) <= count + 1
    click(train.budget.pause)
    qtbot.waitUntil(lambda: len(steps) > count + 1, timeout=WAIT)
    fitted(train, qtbot, lambda: click(train.budget.stop))
    assert steps[-1].step < 5000
    assert "Fine-tuned in" in train.status.text()


def test_versions_are_compared_reverted_and_saved(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    draw(train, 1)
    quick(train, qtbot)
    first = train.state.model
    labels = by_role(viewer, "labels")[0].data.copy()
    for seed in range(3, 8):
        stroke(train, 2, seed)
    quick(train, qtbot)
    settled(train, qtbot)
    newer, older = train.history.model.versions[:2]
    with qtbot.waitSignal(train.historian.compared, timeout=WAIT):
        train.history.compare_asked.emit(older.id)
    changed = labels != by_role(viewer, "labels")[0].data
    (overlay,) = by_role(viewer, "changed")
    assert np.array_equal(overlay.data > 0, changed)
    fitted(train, qtbot, lambda: train.history.revert_asked.emit(older.id))
    assert np.array_equal(by_role(viewer, "labels")[0].data, labels)
    train.historian.save(newer.id, tmp_path / "mine.safetensors")
    settled(train, qtbot)
    loaded = load_model_file(tmp_path / "mine.safetensors", "cpu")
    assert loaded.card.name == "mine" and len(loaded.prototypes) == len(first.prototypes)


def test_a_fit_goes_on_from_a_model_file(
    train: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    model = tiny_model()
    model.density_quantiles = np.linspace(-50, 10, 9, dtype=np.float32)  # as after a fit
    path = save_model(model, tmp_path / "field")
    train.start.choose_file(path)
    assert [c.name for c in train.annotator.classes] == ["soil", "plant"]
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    assert [v.what for v in train.history.model.versions] == ["quick fit", "start"]


def test_the_segment_dock_runs_what_was_fitted(
    viewer: Any, qtbot: Any, image: Any, train: Any, dock: Any, run: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    assert dock.models.is_current
    other = viewer.add_image(two_tone(seed=3)[0], name="other")
    dock.images.choose(other)
    run(dock)
    assert train.state.current.source is other
    assert train.state.current.model is train.state.model
    assert isinstance(dock, SegmentWidget)


# -- nothing is lost ---------------------------------------------------------------------------


def test_after_a_kill_everything_drawn_is_offered_again(
    make_napari_viewer: Any, train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.change_classes(rename_class(train.annotator.classes, 1, "thistle"))
    draw(train)
    drawn = train.annotator.annotations[0].labels
    quick(train, qtbot)
    settled(train, qtbot)
    # What a kill leaves: the files, and a lock of a process that is gone.
    train.keeper.desk.project.close()
    other = make_napari_viewer()
    again = TrainWidget(other)
    other.window.add_dock_widget(again, name="Train", area="right")
    other.add_image(two_tone()[0], name="renamed")
    qtbot.waitUntil(lambda: not again.project.offer.isHidden(), timeout=WAIT)
    assert "was labelled before" in again.project.found.text()
    click(again.project.restore)
    qtbot.waitUntil(lambda: bool(again.annotator.annotations), timeout=WAIT)
    assert np.array_equal(again.annotator.annotations[0].labels, drawn)
    assert [c.name for c in again.annotator.classes] == ["soil", "thistle"]
    qtbot.waitUntil(lambda: len(again.history.model.versions) == 1, timeout=WAIT)
    qtbot.waitUntil(lambda: not again.learner.runner.busy, timeout=WAIT)
    qtbot.waitUntil(lambda: not again.keeper.backlog.busy, timeout=WAIT)
    qtbot.waitUntil(lambda: not again._loader.busy, timeout=WAIT)


def test_a_dock_that_is_closed_leaves_its_work_to_the_next(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.change_classes(add_class(train.annotator.classes, "weed"))
    layer = draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    drawn, folder = train.annotator.annotations[0].labels, train.keeper.desk.project.folder
    again = TrainWidget(viewer)
    viewer.window.add_dock_widget(again, name="Train again", area="right")
    assert [c.name for c in again.annotator.classes] == ["soil", "plant", "weed"]
    annotation = again.annotator.annotations[0]
    assert annotation.layer is layer and np.array_equal(annotation.labels, drawn)
    assert len(by_role(viewer, "annotations")) == 1
    qtbot.waitUntil(lambda: len(again.history.model.versions) == 1, timeout=WAIT)
    assert again.keeper.desk.project.folder == folder
    layer.paint((3, 3), 3)
    annotation.settle()
    assert annotation.labels[3, 3] == 3
    settled(again, qtbot)
    qtbot.waitUntil(lambda: not again._loader.busy, timeout=WAIT)
    again.retire()


def test_closing_the_dock_saves_and_lets_go(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    desk = train.keeper.desk
    train.parent().destroyOnClose()
    qtbot.waitUntil(lambda: train._retired, timeout=WAIT)
    assert train.keeper.backlog.closed and desk.project is None
    assert desk.kept.images[0].labels.any()
    layer.paint((3, 3), 1)  # nobody listens, nothing breaks


def test_the_same_pixels_in_two_layers_share_what_is_saved(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 1)
    first = train.annotator.annotations[0].labels
    twin = viewer.add_image(two_tone()[0], name="twin")
    train.images.choose(twin)
    settled(train, qtbot)
    annotation = train.annotator.find(twin) or train.annotator.annotate(twin)
    annotation.layer.paint((90, 120), 2)
    annotation.settle()
    settled(train, qtbot)
    (kept,) = train.keeper.desk.kept.images
    assert kept.labels[90, 120] == 2
    assert np.array_equal(kept.labels[first > 0], first[first > 0])


def test_an_image_removed_while_fitting_loses_nothing(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    with qtbot.waitSignal(train.learner.fitted, timeout=WAIT):
        click(train.quick)
        viewer.layers.remove(image)
    assert train.state.model is not None
    assert not by_role(viewer, "labels")


def test_a_removed_annotation_layer_comes_back(train: Any, viewer: Any, image: Any) -> None:
    layer = draw(train)
    before = train.annotator.annotations[0].labels
    viewer.layers.remove(layer)
    click(train.labels.new)
    (again,) = by_role(viewer, "annotations")
    assert np.array_equal(again.data, before)


def test_planes_of_a_stack_train_one_model(train: Any, viewer: Any, qtbot: Any) -> None:
    stack = np.stack([two_tone()[0], two_tone(seed=1)[0]])
    viewer.add_image(stack, name="stack", rgb=True)
    viewer.dims.set_point(0, 0)
    click(train.labels.new)
    annotation = train.annotator.annotations[0]
    assert annotation.layer.data.shape == (2, 96, 128)
    truth = np.stack([two_tone()[1], two_tone(seed=1)[1]])
    drawn = np.zeros_like(truth)
    drawn[:, 40:44] = truth[:, 40:44]
    annotation.apply(annotation.record.replace(drawn))
    quick(train, qtbot)
    (labels,) = by_role(viewer, "labels")
    assert labels.data.shape == (2, 96, 128)
    assert (labels.data == truth).mean() > 0.7
