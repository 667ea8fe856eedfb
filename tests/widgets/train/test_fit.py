"""The Train dock in a real viewer: quick fits, fine-tunes and their versions."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.class_table import add_class, reorder_classes
from napari_gaussproto.core.labels.codes import PREDICTED
from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.fitting.curve_log import HELD_OUT
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import by_role
from tests.widgets.train_dock import (
    WAIT,
    click,
    draw,
    fitted,
    judge_by,
    quick,
    settled,
    stroke,
    tune,
)


def another_annotated(train: Any, viewer: Any, image: Any) -> Any:
    """Strokes on the chosen image, and a second one with annotations but none of its own."""
    draw(train)
    other = viewer.add_image(two_tone(seed=3)[0], name="other")
    train.images.choose(other)
    click(train.labels.new)
    train.images.choose(image)
    return other


def test_buttons_say_what_is_missing(train: Any, viewer: Any) -> None:
    assert not train.quick.isEnabled() and "Open an image" in train.quick.toolTip()
    viewer.add_image(two_tone()[0])
    assert "Draw" in train.quick.toolTip()
    assert not train.budget.start.isEnabled()


def test_before_a_fine_tune_the_dock_says_what_it_needs(train: Any, image: Any, qtbot: Any) -> None:
    assert not train.budget.advice.isVisible()
    layer = draw(train)
    settled(train, qtbot)
    few = train.budget.advice.text()
    assert few.startswith("With ") and "quick fit is mostly as good" in few
    assert train.budget.start.isEnabled() and not train.budget.advice.isHidden()
    layer.data = two_tone()[1]  # one dense photograph
    train.annotations.open[0].settle()
    settled(train, qtbot)
    assert train.budget.advice.text() == Amount(dense=1).advice()


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
    before = train.annotations.open[0].labels
    quick(train, qtbot)
    (labels,) = by_role(viewer, "labels")
    assert labels.data.shape == (96, 128)
    truth = two_tone()[1]
    assert (labels.data == truth).mean() > 0.7
    assert np.array_equal(train.annotations.open[0].labels, before)
    assert set(np.unique(layer.data)) <= {1, 2, PREDICTED + 1, PREDICTED + 2}
    assert viewer.layers.index(labels) < viewer.layers.index(layer)
    assert viewer.layers.selection.active is layer
    assert train.state.model is not None and train.state.current.source is image
    assert "Fitted in" in train.status.text()


def test_a_new_superpixel_model_learns_from_strokes(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    train.start.choose_new(superpixels=True)
    train.start.region.setValue(6)
    draw(train)
    quick(train, qtbot)
    config = train.state.model.config
    assert config.partition == "superpixel" and config.region_size == 6
    record = train.annotations.open[0].record
    right = (record.prediction == record.labels)[record.touched]
    assert right.mean() > 0.8


def test_live_mode_fits_after_a_stroke(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 1)
    train.live.setChecked(True)
    fitted(train, qtbot, lambda: stroke(train, 2, seed=5))
    settled(train, qtbot)
    assert len(train.version_panel.versions) == 1


def test_a_fit_waits_for_two_classes_and_says_so(train: Any, image: Any, qtbot: Any) -> None:
    train.live.setChecked(True)
    assert train.status.text() == "Press Draw and paint a stroke of each class first."
    click(train.labels.new)
    assert not train.quick.isEnabled() and "of two classes" in train.quick.toolTip()
    stroke(train, 1)
    only = "Only “soil” is painted: paint another class, too"
    assert not train.quick.isEnabled() and train.quick.toolTip() == only
    assert only in train.live.toolTip() and train.status.text() == f"{only}."
    assert train.fits.phase == "idle"
    fitted(train, qtbot, lambda: stroke(train, 2))
    assert train.quick.isEnabled() and only not in train.live.toolTip()
    annotation = train.annotations.open[0]
    annotation.layer.undo()
    annotation.settle()
    assert not train.quick.isEnabled() and train.status.text() == f"{only}."


def test_fine_tune_shows_curves_and_adds_a_version(
    train: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 3)
    judge_by(monkeypatch, (n / 10 for n in count(1)))  # better with every look
    tune(train, qtbot)
    settled(train, qtbot)
    assert "Fine-tuned in" in train.status.text()
    versions = train.version_panel.versions
    assert [v.what for v in versions][:1] == ["fine-tune"]
    assert "held-out mIoU" in versions[0].measures
    held_out = train.curves.log.quality[HELD_OUT]
    assert versions[0].settings["looks"] == len(held_out.x)
    assert held_out.x[0] == 0 and len(held_out.x) > 1  # the start was judged, too


def test_too_few_strokes_are_told(train: Any, image: Any, qtbot: Any) -> None:
    draw(train, 1)
    with qtbot.waitSignal(train.messages.warned, timeout=WAIT) as said:
        tune(train, qtbot, 2)
    assert "too few strokes" in said.args[0]


def test_stop_before_the_training_begins_changes_nothing(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train, 3)
    quick(train, qtbot)
    settled(train, qtbot)
    model, versions = train.state.model, train.version_panel.versions
    fitted(train, qtbot, lambda: (click(train.budget.start), click(train.budget.stop)))
    assert train.status.text().startswith("It was stopped before the training began")
    assert train.state.model is model and train.version_panel.versions == versions


def test_another_start_after_a_fit_is_said(
    train: Any, image: Any, qtbot: Any, model_file: Path
) -> None:
    train.start.detail.setCurrentText("coarse")
    assert "Versions" not in train.status.text()
    draw(train)
    quick(train, qtbot)
    train.start.detail.setCurrentText("normal")
    said = train.status.text()
    assert "begins with a new model" in said and "kept in Versions" not in said
    settled(train, qtbot)
    train.start.choose_file(model_file)
    said = train.status.text()
    assert f"begins with “{model_file.stem}”" in said and "kept in Versions" in said
    train.start.choose_new()
    assert "begins with a new model" in train.status.text()


def test_a_class_that_nobody_drew_is_named(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    train.change_classes(add_class(train.annotations.classes, "stone"))
    quick(train, qtbot)
    assert "Nothing is known of “stone” yet" in train.status.text()


def test_an_image_is_segmented_once_when_the_classes_changed(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    other = another_annotated(train, viewer, image)
    quick(train, qtbot)
    train.change_classes(add_class(train.annotations.classes, "stone"))
    kinds: list[str] = []
    train.fits.fitted.connect(lambda fit: kinds.append(fit.kind))
    train.images.choose(other)
    qtbot.waitUntil(lambda: bool(kinds), timeout=WAIT)
    qtbot.wait(1500)
    assert kinds == ["prediction"]
    # Only a fit tells what is not known: here it may be drawn, and a fit be missing.
    assert "draw strokes" not in train.status.text()


def test_what_another_model_predicts_is_what_is_accepted(
    viewer: Any, qtbot: Any, image: Any, train: Any, dock: Any, run: Any, model_file: Path
) -> None:
    draw(train)
    quick(train, qtbot)
    other = viewer.add_image(two_tone(seed=3)[0], name="other")
    assert dock.models.choose_file(model_file)
    dock.images.choose(other)
    run(dock)
    result = train.state.results[other]
    assert result.model is not train.fits.model
    train.images.choose(other)
    click(train.labels.accept_all)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=WAIT)
    qtbot.wait(1000)
    assert train.state.results[other] is result
    assert np.array_equal(train.annotations.find(other).labels, result.segmentation.labels)


def test_stop_keeps_the_best_and_pause_rests(
    train: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 3)
    judge_by(monkeypatch, (n / 10 for n in count(1)))
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(5000)
    steps: list[Any] = []
    train.fits.progressed.connect(
        lambda s: steps.append(s) if getattr(s, "stage", "") in ("trial", "final") else None
    )
    click(train.budget.start)
    qtbot.waitUntil(lambda: len(steps) > 1, timeout=WAIT)
    click(train.budget.pause)
    qtbot.waitUntil(lambda: train.fits.runner.paused, timeout=WAIT)
    before = len(steps)
    qtbot.wait(700)
    assert len(steps) <= before + 1
    assert train.status.text().startswith("Paused: press Resume to go on")
    click(train.budget.pause)
    qtbot.waitUntil(lambda: len(steps) > before + 1, timeout=WAIT)
    assert train.status.text().startswith("A trial on a part of the strokes")
    qtbot.waitUntil(lambda: any(s.validation_miou for s in steps), timeout=WAIT)
    fitted(train, qtbot, lambda: click(train.budget.stop))
    assert steps[-1].step < 5000
    said = train.status.text()
    assert "Fine-tuned in" in said and "It was stopped; what it had learned is kept." in said


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
    newer, older = train.version_panel.versions[:2]
    with qtbot.waitSignal(train.versions.compared, timeout=WAIT):
        train.version_panel.compare_asked.emit(older.id)
    changed = labels != by_role(viewer, "labels")[0].data
    (overlay,) = by_role(viewer, "changed")
    assert np.array_equal(overlay.data > 0, changed)
    assert overlay.visible and not train.version_panel.comparison.isHidden()
    fitted(train, qtbot, lambda: train.version_panel.revert_asked.emit(older.id))
    assert train.version_panel.comparison.isHidden()  # it was with what is not shown any more
    assert not any(layer.visible for layer in by_role(viewer, "changed"))
    assert np.array_equal(by_role(viewer, "labels")[0].data, labels)
    train.versions.save(newer.id, tmp_path / "mine.safetensors")
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
    assert [c.name for c in train.annotations.classes] == ["soil", "plant"]
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    assert [v.what for v in train.version_panel.versions] == ["quick fit", "start"]


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


def test_other_pixels_in_the_image_layer_are_seen(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    quick(train, qtbot)
    before = train.state.current.segmentation.labels
    image.data = image.data[:, ::-1].copy()
    quick(train, qtbot)
    assert not np.array_equal(train.state.current.segmentation.labels, before)


def test_a_start_chosen_during_a_fit_is_the_one_that_counts(
    train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    click(train.quick)
    train.start.choose_new(superpixels=True)
    assert train.fits.phase == "idle"
    quick(train, qtbot)
    assert train.state.model.config.partition == "superpixel"


def test_another_device_keeps_where_the_next_fit_begins(train: Any, image: Any, qtbot: Any) -> None:
    draw(train)
    quick(train, qtbot)
    before = train.fits.beginning
    train.start.device.setCurrentText("cpu")
    after = train.fits.beginning
    assert (after.base, after.made) == (before.base, before.made) and after.base is not None
    assert after.start(train.state.model).device == "cpu"


def test_an_image_chosen_during_a_fit_is_segmented_after_it(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    other = another_annotated(train, viewer, image)
    click(train.quick)
    train.images.choose(other)
    qtbot.waitUntil(lambda: other in train.state.results, timeout=WAIT)
    assert train.state.results[other].model is train.state.model


def test_features_are_kept_up_to_a_limit() -> None:
    model, pixels = tiny_model(), two_tone()[0]
    encoded = encode_pyramid(pixels, model)
    cache = PyramidCache(most_bytes=2 * encoded.n_bytes)
    images = [TrainImage(key, pixels, True) for key in "abc"]
    for entry in images:
        cache.put(model, entry, 0, encoded)
    assert [cache.get(model, entry, 0) is encoded for entry in images] == [False, True, True]
    assert cache.get(model, TrainImage("c", pixels.copy(), True), 0) is None
    cache.remove("c")
    assert cache.get(model, images[2], 0) is None


def test_maps_of_another_class_do_not_look_current(
    viewer: Any, qtbot: Any, image: Any, train: Any, dock: Any, run: Any
) -> None:
    for box in (dock.extras["probability"], dock.extras["novelty"]):
        box.setChecked(True)
    run(dock)
    maps = dict(train.state.results[image].maps)
    draw(train)
    train.change_classes(add_class(train.annotations.classes, "stone"))
    train.change_classes(reorder_classes(train.annotations.classes, [0, 2, 1]))
    annotation = train.annotations.open[0]
    annotation.layer.paint((3, 3), 2)
    annotation.settle()
    quick(train, qtbot)
    now = train.state.results[image].maps
    assert now[MapRole.probability(0)] is maps[MapRole.probability(0)]  # soil is soil
    assert MapRole.probability(1) not in now  # it was the plant's, which is the third class now
    assert maps[MapRole.probability(1)].name.endswith("(earlier run)")
    assert now[MapRole("novelty")] is maps[MapRole.parse("novelty")]
    novelty = train.state.results[image].segmentation.novelty()
    assert np.array_equal(now[MapRole("novelty")].data, novelty)
