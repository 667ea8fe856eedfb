"""The Train dock in a real viewer: nothing that was drawn or fitted is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.labels.class_table import add_class, remove_class, rename_class
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.jobs.storage import ProjectSession
from napari_gaussproto.widgets.train.dock import TrainWidget
from napari_gaussproto.widgets.train.storage.project_bar import ProjectBar
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import by_role
from tests.widgets.train_dock import WAIT, click, draw, fitted, quick, settled, stroke


def test_after_a_kill_everything_drawn_is_offered_again(
    make_napari_viewer: Any, train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.change_classes(rename_class(train.annotations.classes, 1, "thistle"))
    draw(train)
    drawn = train.annotations.open[0].labels
    quick(train, qtbot)
    settled(train, qtbot)
    # What a kill leaves: the files, and a lock of a process that is gone.
    train.autosave.put(ProjectSession.close)
    qtbot.waitUntil(lambda: not train.autosave.busy, timeout=WAIT)
    other = make_napari_viewer()
    again = TrainWidget(other)
    other.window.add_dock_widget(again, name="Train", area="right")
    for name in ("removed", "renamed"):
        found = other.add_image(two_tone()[0], name=name)
        qtbot.waitUntil(lambda: not again.autosave.bar.offer.isHidden(), timeout=WAIT)
        if name == "removed":  # the offer spoke of it, and is made anew for the next one
            other.layers.remove(found)
            assert again.autosave.bar.offer.isHidden()
    assert "was labelled before" in again.autosave.bar.found.text()
    click(again.autosave.bar.restore)
    qtbot.waitUntil(lambda: bool(again.annotations.open), timeout=WAIT)
    assert np.array_equal(again.annotations.open[0].labels, drawn)
    assert [c.name for c in again.annotations.classes] == ["soil", "thistle"]
    qtbot.waitUntil(lambda: len(again.version_panel.versions) == 1, timeout=WAIT)
    qtbot.waitUntil(lambda: not again.busy, timeout=WAIT)


def test_a_dock_that_is_closed_leaves_its_work_to_the_next(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.change_classes(add_class(train.annotations.classes, "weed"))
    layer = draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    drawn, folder = train.annotations.open[0].labels, train.autosave.state.folder
    again = TrainWidget(viewer)
    viewer.window.add_dock_widget(again, name="Train again", area="right")
    assert [c.name for c in again.annotations.classes] == ["soil", "plant", "weed"]
    annotation = again.annotations.open[0]
    assert annotation.layer is layer and np.array_equal(annotation.labels, drawn)
    assert len(by_role(viewer, "annotations")) == 1
    qtbot.waitUntil(lambda: len(again.version_panel.versions) == 1, timeout=WAIT)
    assert again.autosave.state.folder == folder
    qtbot.waitUntil(lambda: "labelled" in again.labels.note.text(), timeout=WAIT)
    assert again.autosave.state.name in again.autosave.bar.name.text()
    layer.paint((3, 3), 3)
    annotation.settle()
    assert annotation.labels[3, 3] == 3
    settled(again, qtbot)
    qtbot.waitUntil(lambda: not again.busy, timeout=WAIT)
    again.close_work()


def test_closing_the_dock_saves_and_lets_go(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    train.autosave.save_now()
    qtbot.waitUntil(lambda: train.autosave.state.folder is not None, timeout=WAIT)
    folder = train.autosave.state.folder
    layer.paint((5, 5), 2)
    train.parent().destroyOnClose()
    qtbot.waitUntil(lambda: train.autosave.queue.closed, timeout=WAIT)
    with Project.open(folder) as project:  # nobody holds it any more
        assert project.annotations.load().images[0].labels[5, 5] == 2
    layer.paint((3, 3), 1)  # nobody listens, nothing breaks


def test_the_same_pixels_in_two_layers_share_what_is_saved(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 1)
    first = train.annotations.open[0].labels
    twin = viewer.add_image(two_tone()[0], name="twin")
    train.images.choose(twin)
    settled(train, qtbot)
    annotation = train.annotations.find(twin) or train.annotations.annotate(twin)
    annotation.layer.paint((90, 120), 2)
    annotation.settle()
    settled(train, qtbot)
    (kept,) = train.autosave.state.kept.images
    assert kept.labels[90, 120] == 2
    assert np.array_equal(kept.labels[first > 0], first[first > 0])


def test_an_image_removed_while_fitting_loses_nothing(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.quick)
        viewer.layers.remove(image)
    assert train.state.model is not None
    assert not by_role(viewer, "labels")
    assert "was removed or changed meanwhile" in train.status.text()


def test_a_removed_annotation_layer_comes_back(train: Any, viewer: Any, image: Any) -> None:
    layer = draw(train)
    before = train.annotations.open[0].labels
    viewer.layers.remove(layer)
    click(train.labels.new)
    (again,) = by_role(viewer, "annotations")
    assert np.array_equal(again.data, before)


def test_labels_whose_layer_was_deleted_are_spoken_of_and_can_be_cleared(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    settled(train, qtbot)
    before = train.annotations.open[0].labels
    viewer.layers.remove(layer)
    assert "are kept and count still: Draw shows them again" in train.status.text()
    assert not train.labels.clear.isHidden()
    click(train.labels.clear)
    assert "are no labels any more" in train.status.text()
    (again,) = by_role(viewer, "annotations")
    assert not train.annotations.open[0].labels.any()
    settled(train, qtbot)
    assert not train.autosave.state.kept.images and train.labels.clear.isHidden()
    again.undo()
    train.annotations.open[0].settle()
    assert np.array_equal(train.annotations.open[0].labels, before)
    settled(train, qtbot)
    assert len(train.autosave.state.kept.images) == 1


def test_layers_are_called_after_their_image_whatever_it_is_called(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    image.name = "plot 7"
    assert by_role(viewer, "annotations")[0].name == "plot 7 – annotations"
    quick(train, qtbot)
    image.name = "plot 8"
    ours = [layer.name for layer in viewer.layers if layer is not image]
    assert len(ours) >= 3 and all(name.startswith("plot 8 – ") for name in ours)


def test_closing_an_image_takes_its_results_along(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    pixels = image.data
    draw(train)
    quick(train, qtbot)
    for _ in range(2):
        viewer.layers.remove(train.images.image())
        qtbot.waitUntil(lambda: not viewer.layers, timeout=WAIT)
        found = viewer.add_image(pixels, name="field")
        qtbot.waitUntil(lambda found=found: found in train.state.results, timeout=WAIT)
        qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
        assert not any("[1]" in layer.name for layer in viewer.layers)
        assert len(by_role(viewer, "labels")) == len(by_role(viewer, "annotations")) == 1


def test_planes_of_a_stack_train_one_model(train: Any, viewer: Any, qtbot: Any) -> None:
    stack = np.stack([two_tone()[0], two_tone(seed=1)[0]])
    viewer.add_image(stack, name="stack", rgb=True)
    viewer.dims.set_point(0, 0)
    click(train.labels.new)
    annotation = train.annotations.open[0]
    assert annotation.layer.data.shape == (2, 96, 128)
    truth = np.stack([two_tone()[1], two_tone(seed=1)[1]])
    drawn = np.zeros_like(truth)
    drawn[:, 40:44] = truth[:, 40:44]
    annotation.apply(annotation.record.replace(drawn))
    quick(train, qtbot)
    (labels,) = by_role(viewer, "labels")
    assert labels.data.shape == (2, 96, 128)
    assert (labels.data == truth).mean() > 0.7


def test_choosing_a_model_leaves_labels_of_closed_images_alone(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    draw(train, 1)
    settled(train, qtbot)
    stored = train.autosave.state.kept.images[0].labels.copy()
    viewer.layers.remove(image)
    viewer.add_image(two_tone(seed=4)[0], name="other")
    model = tiny_model(classes=["sky", "plant"])
    train.start.choose_file(save_model(model, tmp_path / "sky"))
    settled(train, qtbot)
    assert [c.name for c in train.annotations.classes] == ["soil", "plant", "sky"]
    assert np.array_equal(train.autosave.state.kept.images[0].labels, stored)


def test_a_new_project_is_blank_and_the_former_one_keeps_everything(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.change_classes(add_class(train.annotations.classes, "weed"))
    layer = draw(train, 1)
    layer.paint((3, 3), 3)
    quick(train, qtbot)
    settled(train, qtbot)
    folder, name = train.autosave.state.folder, train.autosave.state.name
    closed = viewer.add_image(two_tone(seed=4)[0], name="closed")
    train.images.choose(closed)
    click(train.labels.new)
    train.annotations.find(closed).layer.paint((5, 5), 2)
    viewer.layers.remove(closed)
    layer.paint((9, 9), 3)  # is not saved yet
    train.annotations.open[0].settle()
    drawn = train.annotations.open[0].labels
    said: list[str] = []
    train.messages.told.connect(said.append)
    with qtbot.waitSignal(train.autosave.begun, timeout=WAIT):
        train.autosave.bar.new_asked.emit()
    assert f"A blank project has begun. “{name}” keeps what was drawn and fitted." in said
    settled(train, qtbot)
    assert [c.name for c in train.annotations.classes] == ["soil", "plant"]
    assert not train.annotations.all and not train.version_panel.versions
    assert train.fits.model is None and "Fitted" not in train.status.text()
    assert train.labels.closed.isHidden() and not train.labels.note.text()
    assert train.autosave.state.folder is None
    assert train.autosave.bar.name.text() == "Saved as you draw"
    # What is drawn now, on the same image, and a class that goes, are the new project's alone.
    draw(train, 1)
    quick(train, qtbot)
    assert "on 2 strokes" in train.status.text()
    train.change_classes(remove_class(train.annotations.classes, 1))
    settled(train, qtbot)
    assert train.autosave.state.folder not in (None, folder)
    with Project.open(folder) as former:
        kept = former.annotations.load()
        assert [c.name for c in kept.classes] == ["soil", "plant", "weed"]
        labels = {a.image.name: a.labels for a in kept.images}
        assert np.array_equal(labels[image.name], drawn) and labels["closed"].any()
        assert len(former.versions.versions()) == 1


def test_another_project_brings_its_own_labels_and_mixes_nothing(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 1)
    quick(train, qtbot)
    settled(train, qtbot)
    first, folder = train.annotations.open[0].labels, train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    train.change_classes(rename_class(train.annotations.classes, 1, "thistle"))
    click(train.labels.new)
    stroke(train, 2, seed=7)
    settled(train, qtbot)
    second = train.annotations.open[0].labels
    other = train.autosave.state.folder
    assert other != folder and not np.array_equal(first, second)
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    qtbot.waitUntil(lambda: len(train.version_panel.versions) == 1, timeout=WAIT)
    assert [c.name for c in train.annotations.classes] == ["soil", "plant"]
    assert np.array_equal(train.annotations.open[0].labels, first)
    settled(train, qtbot)
    assert np.array_equal(train.autosave.state.kept.images[0].labels, first)
    train.autosave.bar.open_asked.emit(other)
    qtbot.waitUntil(lambda: train.annotations.classes[1].name == "thistle", timeout=WAIT)
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    assert np.array_equal(train.annotations.open[0].labels, second)
    qtbot.waitUntil(lambda: not train.fits.busy, timeout=WAIT)


def test_a_project_without_versions_does_not_go_on_with_another_one_s_model(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 1)
    settled(train, qtbot)
    folder = train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    draw(train, 1)
    quick(train, qtbot)
    settled(train, qtbot)
    assert train.fits.model is not None
    kinds: list[str] = []
    train.fits.fitted.connect(lambda fit: kinds.append(fit.kind))
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    settled(train, qtbot)
    qtbot.wait(500)
    assert train.fits.model is None and not kinds


def test_a_copy_of_a_project_is_whole(train: Any, image: Any, qtbot: Any, tmp_path: Path) -> None:
    draw(train, 1)
    settled(train, qtbot)
    drawn = train.annotations.open[0].labels
    train.autosave.bar.copy_asked.emit(tmp_path / "copy")
    settled(train, qtbot)
    with Project.open(tmp_path / "copy.gaussproto") as copy:
        assert np.array_equal(copy.annotations.load().images[0].labels, drawn)


def test_a_fit_that_waits_belongs_to_the_project_that_is_left(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 1)
    settled(train, qtbot)
    folder = train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    draw(train, 1)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: train.autosave.state.folder not in (None, folder), timeout=WAIT)
    other = train.autosave.state.folder
    train.live.setChecked(True)
    fitted(train, qtbot, lambda: stroke(train, 2, seed=5))
    train.live.setChecked(False)
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: train.autosave.state.folder == folder, timeout=WAIT)
    settled(train, qtbot)
    assert not train.version_panel.versions
    with Project.open(other) as project:
        assert [version.what for version in project.versions.versions()] == ["quick fit"]


def test_a_project_is_not_left_when_its_labels_cannot_be_saved(
    train: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 1)
    settled(train, qtbot)
    folder = train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    draw(train, 1)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: train.autosave.state.folder not in (None, folder), timeout=WAIT)
    other = train.autosave.state.folder
    stroke(train, 2, seed=7)
    drawn = train.annotations.open[0].labels

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with qtbot.waitSignal(train.messages.warned, timeout=WAIT) as said:
            train.autosave.bar.open_asked.emit(folder)
        assert "No space" in said.args[0]
        qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
        qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    assert np.array_equal(train.annotations.open[0].labels, drawn)
    settled(train, qtbot)
    assert train.autosave.state.folder == other
    assert np.array_equal(train.autosave.state.kept.images[0].labels, drawn)


def test_the_bar_begins_with_the_name_and_takes_two_lines_for_it(qtbot: Any) -> None:
    bar = ProjectBar()
    qtbot.addWidget(bar)
    bar.show_saved("labels 2026-11-28 06.13.45", Path("/somewhere"), "06:13:45")
    assert bar.name.text() == "labels 2026-11-28 06.13.45, saved 06:13:45"
    assert "/somewhere" in bar.name.toolTip() and bar.more.toolTip()
    line = bar.name.fontMetrics().height()
    narrow = bar.name.fontMetrics().horizontalAdvance(bar.name.text()) * 2 // 3
    assert bar.name.heightForWidth(narrow) >= 1.5 * line


def test_a_reopened_dock_knows_the_choice_and_can_take_the_classes_back(
    train: Any, viewer: Any, image: Any, qtbot: Any, model_file: Path
) -> None:
    train.start.choose_file(model_file)
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    before = train.annotations.open[0].labels
    other = viewer.add_image(two_tone(seed=3)[0], name="closed")
    train.images.choose(other)
    click(train.labels.new)
    train.annotations.find(other).layer.paint((8, 8), 2)
    train.annotations.find(other).settle()
    settled(train, qtbot)
    viewer.layers.remove(other)
    settled(train, qtbot)
    train.change_classes(remove_class(train.annotations.classes, 1))
    train.change_classes(rename_class(train.annotations.classes, 0, "earth"))
    click(train.classes.undo_button)
    settled(train, qtbot)
    assert not train.start.goes_on and train.start.path == model_file
    again = TrainWidget(viewer)
    viewer.window.add_dock_widget(again, name="Train again", area="right")
    assert not again.start.goes_on and again.start.path == model_file
    assert again.fits.beginning.start(again.state.model) == train.fits.beginning.start(
        train.state.model
    )
    settled(again, qtbot)
    assert [c.name for c in again.annotations.classes] == ["soil"]
    assert again.classes.undo_button.isEnabled() and again.classes.redo_button.isEnabled()
    click(again.classes.redo_button)
    assert [c.name for c in again.annotations.classes] == ["earth"]
    click(again.classes.undo_button)
    click(again.classes.undo_button)
    settled(again, qtbot)
    assert [c.name for c in again.annotations.classes] == ["soil", "plant"]
    assert np.array_equal(again.annotations.open[0].labels, before)
    kept = {known.labels[8, 8] for known in again.autosave.state.kept.images}
    assert len(again.autosave.state.kept.images) == 2 and 2 in kept
    assert not again.classes.undo_button.isEnabled()
    qtbot.waitUntil(lambda: not again.busy, timeout=WAIT)
    again.close_work()


def test_what_is_said_of_removed_labels_goes_when_it_is_not_true_any_more(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    for end in ("Draw", "close"):
        layer = draw(train)
        viewer.layers.remove(layer)
        assert "are kept and count still" in train.status.text()
        if end == "Draw":
            train.autosave.annotate(image)
        else:
            viewer.layers.remove(image)
        assert "are kept and count still" not in train.status.text()
    settled(train, qtbot)
