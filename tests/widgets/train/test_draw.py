"""The Train dock in a real viewer: strokes, corrections and classes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.class_table import (
    add_class,
    merge_classes,
    remove_class,
    rename_class,
    reorder_classes,
)
from napari_gaussproto.core.labels.codes import PREDICTED
from napari_gaussproto.core.labels.corrections import Corrections
from napari_gaussproto.widgets.train.annotation.annotation_layer import brush_for
from napari_gaussproto.widgets.train.labelling.class_list import KEY
from tests.core.builders import two_tone
from tests.widgets.docks import by_role
from tests.widgets.train_dock import WAIT, click, draw, quick


def test_a_stroke_on_the_prediction_is_a_label_also_where_it_confirms(
    train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    quick(train, qtbot)
    annotation = train.annotations.open[0]
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


def test_the_brush_suits_the_photograph_and_stays_as_it_was_set(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    sizes = {(966, 1296, 3): 10, (2448, 3264, 3): 25, (96, 128, 3): 4, (9000, 12000, 3): 40}
    for shape, size in sizes.items():
        assert brush_for(Image(np.broadcast_to(np.uint8(9), shape), rgb=True)) == size
    assert brush_for(Image(np.zeros((2000, 20, 1296), np.uint8))) == 10
    click(train.labels.new)
    annotation = train.annotations.find(image)
    assert annotation.layer.brush_size == brush_for(image)
    annotation.layer.brush_size = 17
    annotation.hide()
    click(train.labels.new)
    assert annotation.layer.brush_size == 17


def test_keys_choose_classes_over_the_image_and_tools_keep_theirs(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    click(train.labels.new)
    layer = train.annotations.open[0].layer
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window.show()
    ctrl = Qt.KeyboardModifier.ControlModifier
    for key, chosen in ((Qt.Key.Key_2, 1), (Qt.Key.Key_1, 0), (Qt.Key.Key_9, 0)):
        QTest.keyClick(canvas, key, ctrl)
        assert layer.selected_label == chosen + 1 and train.classes.selected == chosen
        assert str(layer.mode) == "paint"
    QTest.keyClick(canvas, Qt.Key.Key_1)
    assert str(layer.mode) == "erase" and layer.selected_label == 1
    assert "Ctrl+2" in train.classes.list.item(1, KEY).toolTip()


def accept(train: Any, qtbot: Any, position: Any) -> None:
    """Accept the region at a point of the world, and wait until it is found."""
    tool = train.labelling.accept_tool
    tool.accept(train.annotations.open[0], position)
    qtbot.waitUntil(lambda: not tool.busy, timeout=WAIT)


def test_regions_and_images_can_be_accepted(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    assert not train.labels.accept_all.isEnabled()
    quick(train, qtbot)
    annotation = train.annotations.open[0]
    prediction = annotation.record.prediction
    before = annotation.labels
    y, x = np.argwhere((prediction == 2) & (before == 0))[0]
    click(train.labels.accept)
    assert train.labelling.accept_tool.on
    accept(train, qtbot, image.data_to_world((y, x)))
    assert annotation.labels[y, x] == 2
    click(train.labels.accept)
    assert not train.labelling.accept_tool.on
    click(train.labels.accept_all)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=WAIT)
    assert np.array_equal(annotation.labels, np.where(before > 0, before, prediction))
    annotation.layer.undo()
    annotation.layer.undo()
    annotation.settle()
    assert np.array_equal(annotation.labels, before)


def test_what_is_painted_while_a_region_is_sought_stays(train: Any, image: Any, qtbot: Any) -> None:
    click(train.labels.new)
    (annotation,) = train.annotations.open
    annotation.set_prediction(np.full(annotation.labels.shape, 2, np.uint8))
    train.labelling.accept_tool.accept(annotation, image.data_to_world((50, 60)))
    annotation.layer.paint((20, 20), 1)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=WAIT)
    assert annotation.labels[20, 20] == 1 and annotation.labels[50, 60] == 2
    annotation.layer.undo()
    assert annotation.labels[20, 20] == 1 and annotation.labels[50, 60] == 0


@pytest.mark.parametrize("ends", ["layer", "dock"])
def test_a_region_is_not_accepted_after_its_layer_or_dock_is_gone(
    viewer: Any, train: Any, image: Any, qtbot: Any, monkeypatch: Any, ends: str
) -> None:
    go_on = Event()

    find = Corrections.accept_component

    def found_later(*arguments: Any) -> Any:
        assert go_on.wait(60)
        return find(*arguments)

    monkeypatch.setattr(Corrections, "accept_component", found_later)
    click(train.labels.new)
    (annotation,) = train.annotations.open
    annotation.set_prediction(np.full(annotation.labels.shape, 2, np.uint8))
    train.labelling.accept_tool.accept(annotation, image.data_to_world((50, 60)))
    if ends == "layer":
        viewer.layers.remove(annotation.layer)
    else:
        train.close_work()
    go_on.set()
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=WAIT)
    assert not annotation.labels.any()


def test_regions_of_an_image_of_many_channels_can_be_accepted(
    train: Any, viewer: Any, qtbot: Any
) -> None:
    bands = np.random.default_rng(0).integers(1, 255, (5, 96, 128), np.uint8)
    layer = viewer.add_image(bands, axis_labels=("channel", "y", "x"), rgb=False)
    train.images.choose(layer)
    click(train.labels.new)
    (annotation,) = train.annotations.open
    annotation.set_prediction(np.full((96, 128), 2, np.uint8))
    accept(train, qtbot, layer.data_to_world((0, 50, 60)))
    assert (annotation.labels == 2).all()


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


def test_what_was_painted_on_a_prediction_before_is_taken_over_or_stays(
    viewer: Any, model_file: Path, image: Any, dock: Any, run: Any, train: Any
) -> None:
    run(dock)
    (labels,) = by_role(viewer, "labels")
    predicted = labels.data.copy()
    soil, plant = np.argwhere(predicted == 1)[:300], np.argwhere(predicted == 2)[:200]
    labels.data_setitem(tuple(soil.T), 2)
    labels.data_setitem(tuple(plant.T), 0)
    click(train.labels.new)
    (annotation,) = train.annotations.open
    assert (annotation.labels[tuple(soil.T)] == 2).all() and (annotation.labels > 0).sum() == 300
    assert (labels.data[tuple(soil.T)] == 1).all(), "they are labels now"
    assert (labels.data[tuple(plant.T)] == 0).all(), "what is erased stays erased"
    said = train.status.text()
    assert "300 pixels that you painted" in said and "200 pixels that you changed" in said
    run(dock)
    (kept,) = [known for known in viewer.layers if known.name.endswith("(edited)")]
    assert (kept.data[tuple(plant.T)] == 0).all()


def test_corrections_can_be_shown(train: Any, viewer: Any, image: Any, qtbot: Any) -> None:
    layer = draw(train)
    quick(train, qtbot)
    annotation = train.annotations.open[0]
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


def test_classes_and_labels_change_together_and_back(train: Any, image: Any) -> None:
    draw(train)
    annotation = train.annotations.open[0]
    before = annotation.labels
    train.change_classes(add_class(train.annotations.classes, "weed"))
    assert [c.name for c in train.annotations.classes] == ["soil", "plant", "weed"]
    assert np.array_equal(annotation.labels, before)
    train.change_classes(remove_class(train.annotations.classes, 0))
    assert np.array_equal(annotation.labels, np.where(before == 2, 1, 0))
    train.annotations.undo()
    assert np.array_equal(annotation.labels, before)
    train.annotations.redo()
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
    train.change_classes(add_class(train.annotations.classes, "stone"))
    layer.brush_size = 9
    for column in range(0, 20):
        layer.paint((4, column), 3)
    train.annotations.open[0].settle()
    quick(train, qtbot)
    model = train.state.model
    assert [c.name for c in model.classes] == ["soil", "plant", "stone"]
    assert len(model.prototypes) > prototypes
    assert train.annotations.open[0].labels[4, 10] == 3


def test_labels_and_what_is_known_of_them_follow_each_change_of_the_classes(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    other = viewer.add_image(two_tone(seed=3)[0], name="another")  # on which nothing is predicted
    train.images.choose(other)
    click(train.labels.new)
    train.annotations.find(other).layer.paint((8, 8), 2)
    annotations = train.annotations
    annotations.find(other).settle()
    table, before = annotations.classes, [a.labels for a in annotations.open]
    for change in (reorder_classes(table, [1, 0]), merge_classes(table, 0, 1)):
        train.change_classes(change)
        after = [change.apply(labels)[0] for labels in before]
        _assert_known(train, after)
        annotations.undo()
        _assert_known(train, before)
        annotations.redo()
        _assert_known(train, after)
        annotations.undo()
    # A stroke that nobody took note of yet is changed with the others, and comes back.
    annotations.find(other).layer.paint((20, 20), 1)
    drawn = annotations.find(other).record.labels
    annotations.change_table(remove_class(table, 0))
    assert annotations.find(other).labels[20, 20] == 0 and annotations.find(other).painted == (0,)
    annotations.undo()
    _assert_known(train, [before[0], drawn])


def _assert_known(train: Any, labels: list[Any]) -> None:
    """Each image has labels, a copy of what it shows, the classes in it, and what is predicted."""
    for annotation, expected in zip(train.annotations.open, labels, strict=True):
        assert np.array_equal(annotation.labels, expected)
        assert annotation.painted == tuple(np.unique(expected[expected > 0]) - 1)
        assert np.array_equal(annotation.snapshot.codes, annotation.record.codes)
        pieces = annotation.snapshot.pieces
        assert not any(np.shares_memory(piece, annotation.record.codes) for piece in pieces)
        assert annotation.layer.data is annotation.record.codes
        result = train.state.results.get(annotation.image)
        below = np.zeros_like(expected) if result is None else result.segmentation.labels
        names = [c.name for c in train.annotations.classes]
        known = [] if result is None else [c.name for c in result.segmentation.classes]
        values = np.array([0, *(names.index(n) + 1 if n in names else 0 for n in known)])
        assert np.array_equal(annotation.record.prediction, values[below])


def test_what_was_drawn_stays_for_whoever_holds_it_or_a_part_of_it(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    annotation = train.annotations.open[0]
    whole = annotation.snapshot
    part, first = whole.pieces[0][10:].ravel(), whole.codes
    layer.paint((30, 30), 2)
    annotation.settle()
    assert annotation.snapshot is not whole and np.array_equal(whole.codes, first)
    del whole
    for place in (40, 50, 60):
        second = annotation.snapshot.pieces[0][20:, ::2]  # of which the whole has no other name
        kept = second.copy()
        layer.paint((place, 30), 2)
        annotation.settle()
        assert np.array_equal(second, kept) and np.array_equal(part, first[10:].ravel())
        assert annotation.snapshot.codes[place, 30] == 2 and annotation.painted == (0, 1)


def test_a_change_that_nobody_looks_at_takes_no_memory_of_the_size_of_the_photograph(
    train: Any, viewer: Any
) -> None:
    large = viewer.add_image(np.zeros((1500, 2000), np.uint8), name="large")
    train.images.choose(large)
    click(train.labels.new)
    annotation = train.annotations.find(large)
    annotation.record.codes[...] = 1
    annotation.settle()
    same = np.arange(256, dtype=np.uint8)
    tracemalloc.start()
    annotation.close()  # nothing is drawn meanwhile
    annotation.layer = None
    annotation.change_classes(annotation.classes, lambda rows: rows + 1, (1,), (None, same))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (annotation.snapshot.codes == 2).all() and annotation.painted == (1,)
    assert most < annotation.record.codes.nbytes / 2


def test_a_change_of_a_shorter_table_than_labels_have_changes_nothing(
    train: Any, image: Any
) -> None:
    draw(train)
    before = train.annotations.open[0].labels
    with pytest.raises(LabelError, match="choose the class again"):
        train.annotations.change_table(remove_class(train.annotations.classes[:1], 0))
    assert np.array_equal(train.annotations.open[0].labels, before)
    assert not train.annotations.can_undo


def test_a_renamed_class_keeps_what_the_model_knows(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    quick(train, qtbot)
    for place, name in enumerate(("earth", "thistle")):
        train.change_classes(rename_class(train.annotations.classes, place, name))
    quick(train, qtbot)
    assert [c.name for c in train.state.model.classes] == ["earth", "thistle"]
    train.annotations.undo()
    quick(train, qtbot)
    assert [c.name for c in train.state.model.classes] == ["earth", "plant"]


def test_values_that_are_no_class_are_not_kept(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    layer.selected_label = 7
    assert layer.selected_label == 2
    annotation = train.annotations.open[0]
    layer.paint((5, 5), 300)
    annotation.settle()
    assert annotation.labels[5, 5] == 0 and annotation.labels.max() == 2


def test_other_data_in_the_layer_become_the_record(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    annotation = train.annotations.open[0]
    layer.data = layer.data.astype(np.int32)
    layer.paint((5, 5), 2)
    annotation.settle()
    assert annotation.labels[5, 5] == 2 and layer.data is annotation.record.codes


def test_labels_of_a_layer_are_taken_over_by_a_mapping(
    train: Any, viewer: Any, image: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.where(two_tone()[1] == 2, 255, 0)
    viewer.add_labels(mask, name="mask")
    monkeypatch.setattr(train.labelling.imports, "ask", lambda dialog: True)
    monkeypatch.setattr(
        "napari_gaussproto.widgets.train.labelling.mapping_dialog.MappingDialog.mapping",
        lambda self: {0: 1, 255: 2},
    )
    train.labelling.use_layer(viewer.layers["mask"])
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    annotation = train.annotations.open[0]
    # They are made ready in a thread.
    taken = two_tone()[1]
    qtbot.waitUntil(lambda: np.array_equal(annotation.labels, taken), timeout=WAIT)
    annotation.layer.undo()
    annotation.settle()
    assert not annotation.labels.any()


def test_a_mask_of_another_shape_is_refused(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = viewer.add_labels(np.ones((5, 6), int))
    with qtbot.waitSignal(train.messages.warned, timeout=WAIT):
        train.labelling.use_layer(layer)
    assert "made for this image" in train.status.text()


def test_the_list_of_classes_follows_the_brush_of_the_layer(train: Any, image: Any) -> None:
    layer = draw(train, 1)
    for value in (1, 2):
        layer.selected_label = value
        assert train.classes.selected == train.annotations.selected == value - 1
