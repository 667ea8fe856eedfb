"""The Segment dock in a real viewer, used as a person would use it."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import tifffile
from napari.qt.threading import WorkerBase
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_gaussproto.core.editing.edits import turn_off
from napari_gaussproto.core.model.familiarity import LEAST_PHOTOS
from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.stack import StackTile
from napari_gaussproto.core.training.describe import learn_look
from napari_gaussproto.widgets.layers.placement import placement
from napari_gaussproto.widgets.segment import dock as segment_module
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import TAG, by_role, without_end


def is_tile(step: object) -> bool:
    """Whether a run has come to its tiles."""
    return isinstance(step, StackTile)


def test_without_an_image_the_button_says_what_to_do(dock: Any) -> None:
    assert not dock.run_button.isEnabled()
    assert "Open an image" in dock.run_button.toolTip()


def test_the_status_says_what_is_missing_until_it_is_there(viewer: Any, dock: Any) -> None:
    assert dock.status.text().startswith("Open an image first")
    assert dock.cover.isHidden()
    viewer.add_image(two_tone()[0])
    assert dock.status.text() == ""


def test_what_one_image_gave_is_not_shown_beside_another(viewer: Any, dock: Any, run: Any) -> None:
    first = viewer.add_image(two_tone()[0], name="a <b> field")
    run(dock)
    assert not dock.cover.isHidden() and "a &lt;b&gt; field" in dock.cover.heading.text()
    viewer.add_image(two_tone(40, 50)[0], name="second")
    dock.images.choose(viewer.layers["second"])
    assert dock.cover.isHidden() and not dock.likelihood.isEnabled()
    dock.images.choose(first)
    assert not dock.cover.isHidden() and dock.likelihood.isEnabled()
    viewer.layers.remove(first)
    assert dock.cover.isHidden() and not dock.likelihood.isEnabled()


def test_a_mosaic_has_no_classes_where_it_has_no_data(
    viewer: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    pixels = two_tone(64, 96)[0].clip(1)
    pixels[:, :24] = 0
    path = tmp_path / "mosaic.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(42113, "s", 0, "0", True)])
    viewer.open(path)
    run(dock)
    (labels,) = by_role(viewer, "labels")
    assert not labels.data[:, :24].any() and labels.data[:, 24:].all()
    assert "over the 75.0% with data" in dock.cover.heading.text()
    assert sum(dock.cover.shares) == pytest.approx(1)


def test_a_constant_picture_is_told_and_has_no_classes(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(np.zeros((64, 96, 3), np.uint8), name="black")
    run(dock)
    assert "constant" in dock.remarks.text() and dock.remarks.isVisibleTo(dock)
    assert not dock.train_button.isVisibleTo(dock)
    viewer.add_image(two_tone()[0], name="field")
    dock.images.choose(viewer.layers["field"])
    assert not dock.remarks.isVisibleTo(dock)
    run(dock)
    assert not dock.remarks.isVisibleTo(dock)


def test_a_photograph_unlike_the_training_ones_leads_to_the_train_dock(
    viewer: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    model = tiny_model()
    learn_look(model, [two_tone(64, 96, seed)[0] for seed in range(LEAST_PHOTOS)])
    assert dock.models.choose_file(save_model(model, tmp_path / "known"))
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    viewer.add_image(noise, name="noise")
    run(dock)
    assert "Unlike the photographs" in dock.remarks.text()
    assert dock.train_button.isVisibleTo(dock)
    dock.train_button.click()
    [train] = [w for name, w in viewer.window.dock_widgets.items() if name.startswith("Train")]
    qtbot.waitUntil(lambda: not train.busy, timeout=30_000)
    assert train.state.model is dock.state.model
    train.close_work()


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (99, "99 s"), (696, "12 min")])
def test_time_left_is_easy_to_read(seconds: float, text: str) -> None:
    assert segment_module.duration(seconds) == text


def test_run_adds_labels_and_likelihood(viewer: Any, dock: Any, run: Any) -> None:
    image = viewer.add_image(two_tone(97, 130)[0], name="field")
    run(dock)
    (labels,), (likelihood,) = by_role(viewer, "labels"), by_role(viewer, "likelihood")
    assert labels.data.dtype == np.uint8 and labels.data.shape == (97, 130)
    assert set(np.unique(labels.data)) <= {1, 2}
    assert isinstance(labels.colormap, DirectLabelColormap)
    assert list(labels.features["class"]) == ["not labelled", "soil", "plant"]
    assert "class: plant" in labels.get_status((0, 0))["coordinates"] or "class: soil" in str(
        labels.get_status((0, 0))
    )
    assert likelihood.data.shape == (25, 33)
    assert likelihood.contrast_limits == [0, 1]
    assert viewer.layers.selection.active is labels
    assert labels.metadata[TAG]["model"] == "tiny"
    assert viewer.layers.index(image) < viewer.layers.index(likelihood)
    assert viewer.layers.index(likelihood) < viewer.layers.index(labels)
    assert dock.status.text().startswith("Done in")


def test_cover_is_shown_and_can_be_saved(viewer: Any, dock: Any, run: Any, tmp_path: Path) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    dock.cover.save(tmp_path / "cover.csv")
    lines = (tmp_path / "cover.csv").read_text().splitlines()
    assert lines[0] == "image,class,cover"
    labels = by_role(viewer, "labels")[0].data
    assert float(lines[1].split(",")[2]) == pytest.approx((labels == 1).mean(), abs=1e-5)


def test_the_brush_works_at_once(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    labels = viewer.layers.selection.active
    labels.data_setitem((np.array([5]), np.array([5])), np.array([1], np.uint8))
    labels.brush_size, labels.selected_label, labels.mode = 6, 2, "paint"
    labels.paint((5, 5), 2)
    assert labels.data[5, 5] == 2
    labels.undo()
    assert labels.data[5, 5] == 1


def test_a_second_run_updates_its_layers(viewer: Any, dock: Any, run: Any) -> None:
    image = viewer.add_image(two_tone()[0])
    run(dock)
    names = [layer.name for layer in viewer.layers]
    labels = by_role(viewer, "labels")[0]
    viewer.layers.selection.active = image
    image.data = image.data[::-1].copy()
    before = labels.data.copy()
    run(dock)
    assert [layer.name for layer in viewer.layers] == names
    assert by_role(viewer, "labels") == [labels]
    assert not np.array_equal(labels.data, before)
    assert viewer.layers.selection.active is image
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_what_was_painted_is_never_overwritten(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    painted = by_role(viewer, "labels")[0]
    painted.fill((3, 3), 2 if painted.data[3, 3] == 1 else 1)
    kept = painted.data.copy()
    run(dock)
    np.testing.assert_array_equal(painted.data, kept)
    assert painted in viewer.layers and "edited" in painted.name
    assert dock.state.current.labels is not painted
    assert dock.state.current.labels in viewer.layers


def test_a_renamed_layer_is_still_found(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    by_role(viewer, "labels")[0].name = "my result"
    count = len(viewer.layers)
    run(dock)
    assert len(viewer.layers) == count


def test_shuffled_colours_come_back(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    labels = by_role(viewer, "labels")[0]
    labels.new_colormap(seed=3)
    assert isinstance(labels.colormap, DirectLabelColormap)


@pytest.mark.parametrize("k", [1, 4, 8])
def test_a_cell_covers_its_pixels_under_any_transform(viewer: Any, k: int) -> None:
    image = viewer.add_image(
        np.zeros((64, 80), np.uint8),
        scale=(0.5, 2.0),
        translate=(10, -20),
        rotate=30,
        shear=[0.3],
        affine=np.array([[1.1, 0.2, 3], [0, 0.9, -4], [0, 0, 1]]),
    )
    cells = viewer.add_image(np.zeros((64 // k, 80 // k)), **placement(image, k))
    row, column = 3, 5
    for dy, dx in ((-0.5, -0.5), (0.5, 0.5), (0.5, -0.5)):
        corner = cells.data_to_world((row + dy, column + dx))
        first = np.array([row, column]) * k + (k - 1) / 2  # centre of the block, in pixels
        expected = image.data_to_world(first + np.array([dy, dx]) * k)
        np.testing.assert_allclose(corner, expected, atol=1e-6)


def test_transforms_and_units_are_kept(viewer: Any, dock: Any, run: Any) -> None:
    place = {"scale": (0.5, 0.5), "translate": (3, 4), "rotate": 15, "shear": [0.1]}
    image = viewer.add_image(two_tone()[0], units=("mm", "mm"), **place)
    run(dock)
    labels = by_role(viewer, "labels")[0]
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(labels, name), getattr(image, name))
    assert labels.units == image.units
    np.testing.assert_allclose(labels.data_to_world((7, 9)), image.data_to_world((7, 9)), atol=1e-9)


def test_an_edit_during_a_run_is_in_its_result(
    viewer: Any, dock: Any, run: Any, qtbot: Any
) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    state = dock.state
    model = state.model
    edited = turn_off(model, 0)
    dock.run_button.click()
    state.undo.push(edited)
    state.set_edited_model(edited)
    qtbot.waitUntil(lambda: not dock.runner.running, timeout=60_000)
    assert state.model is state.current.model is edited
    assert not state.current.segmentation.likelihood(0).any()
    assert by_role(viewer, "labels")[0].metadata[TAG]["edits"] == state.undo.names
    run(dock)
    assert by_role(viewer, "labels")[0].metadata[TAG]["edits"] == state.undo.names


def test_new_data_of_the_same_shape_during_a_run_ends_with_a_sentence(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    image = viewer.add_image(two_tone()[0])
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        image.data = image.data[::-1].copy()
    assert "changed while" in dock.status.text()
    assert len(viewer.layers) == 1


def test_a_removed_image_frees_its_result(viewer: Any, dock: Any, run: Any, qtbot: Any) -> None:
    image = viewer.add_image(two_tone()[0])
    run(dock)
    result = ref(dock.state.current.segmentation)
    viewer.layers.remove(image)
    del image
    qtbot.waitUntil(lambda: not viewer.layers, timeout=10_000)  # its layers go with it
    gc.collect()
    assert result() is None
    assert dock.state.current is None


def test_a_closed_dock_stops_and_is_gone(
    viewer: Any, model_file: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = viewer.add_image(np.zeros((1024, 1024, 3), np.uint8))
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.models.choose_file(model_file)
    dock.cells.preview.setChecked(True)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    monkeypatch.setattr(segment_module, "preference", lambda name: 64 if name == "tile" else "cpu")
    without_end(monkeypatch, segment_module, is_tile)
    with qtbot.waitSignal(dock.runner.progressed, timeout=60_000, check_params_cb=is_tile):
        dock.run_button.click()
    runner, state = dock.runner, dock.state
    closed, destroyed = ref(dock), []
    dock.destroyed.connect(lambda: destroyed.append(True))
    viewer.window.remove_dock_widget(dock)
    assert not runner.running
    qtbot.waitUntil(lambda: bool(destroyed), timeout=10_000)
    del dock
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=10_000)

    def gone() -> bool:
        gc.collect()  # the thread itself may hold its worker a moment longer
        return closed() is None

    qtbot.waitUntil(gone, timeout=10_000)
    assert list(viewer.layers) == [image]
    image.name = "another name"  # nobody who is gone is told
    state.show(likelihood=True)


def test_a_model_file_needs_no_suffix(dock: Any, model_file: Path, tmp_path: Path) -> None:
    plain = tmp_path / "model"
    plain.write_bytes(model_file.read_bytes())
    assert dock.models.choose_file(plain)
    assert dock.models.path() == plain


def test_extra_layers_on_request(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    for box in dock.extras.values():
        box.setChecked(True)
    run(dock)
    for role in ("probability 0", "probability 1", "novelty", "uncertainty"):
        (layer,) = by_role(viewer, role)
        assert np.isfinite(layer.data).all()
        assert layer.data.min() >= 0 and layer.data.max() <= 1.001


def test_a_cancel_ends_a_run_at_its_next_step_and_changes_nothing(
    viewer: Any, dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.add_image(np.zeros((1024, 1024, 3), np.uint8))
    monkeypatch.setattr(segment_module, "preference", lambda name: 64 if name == "tile" else "cpu")
    taken = without_end(monkeypatch, segment_module, is_tile)
    with qtbot.waitSignal(dock.runner.progressed, timeout=60_000, check_params_cb=is_tile):
        dock.run_button.click()
    assert dock.cancel_button.isEnabled() and not dock.run_button.isEnabled()
    dock.cancel_button.click()
    before = len(taken)
    assert dock.status.text() == "Cancelled."
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=5000)
    assert len(taken) <= before + 1
    assert len(viewer.layers) == 1
    assert dock.run_button.isEnabled()


def test_running_again_after_a_cancel(viewer: Any, dock: Any, run: Any, qtbot: Any) -> None:
    viewer.add_image(two_tone()[0])
    dock.run_button.click()
    dock.cancel_button.click()
    run(dock)
    assert len(by_role(viewer, "labels")) == 1


def test_an_image_removed_while_running_ends_with_a_sentence(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    image = viewer.add_image(two_tone()[0])
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        viewer.layers.remove(image)
    assert len(viewer.layers) == 0
    assert "removed" in dock.status.text()


def test_grey_images_and_stacks(viewer: Any, dock: Any, run: Any) -> None:
    grey = two_tone(70, 90)[0][..., 0]
    viewer.add_image(grey, name="grey")
    run(dock)
    assert by_role(viewer, "labels")[0].data.shape == (70, 90)
    stack = np.stack([two_tone(70, 90, seed)[0] for seed in range(3)])
    time_series = viewer.add_image(stack, name="time", scale=(2, 1, 1))
    dock.images.choose(time_series)
    run(dock)
    labels = dock.state.current.labels
    assert labels.data.shape == (3, 70, 90)
    assert dock.state.current.maps[MapRole("likelihood")].data.shape == (3, 18, 23)
    np.testing.assert_allclose(labels.scale, (2, 1, 1))
    assert not dock.likelihood.as_stack.isEnabled()
    assert dock.cover.heading.text().endswith("of time, all 3 planes")


def test_an_image_the_model_cannot_take_gives_a_sentence(
    viewer: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    dock.models.choose_file(save_model(tiny_model(channels=5), tmp_path / "five"))
    viewer.add_image(two_tone()[0][..., 0])
    run(dock)
    assert "1 channels, the model was made for 5" in dock.status.text()
    assert len(viewer.layers) == 1
    assert dock.run_button.isEnabled()


def test_an_unexpected_error_is_not_hidden(
    viewer: Any, dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: object) -> Any:
        raise RuntimeError("a bug")
        yield

    monkeypatch.setattr("napari_gaussproto.jobs.segment.segment_job", broken)
    viewer.add_image(two_tone()[0])
    with qtbot.captureExceptions() as caught, qtbot.waitSignal(dock.runner.finished):
        dock.run_button.click()
    assert "a bug" in str(caught[0][1])
    assert "unexpected" in dock.status.text()
    assert dock.run_button.isEnabled()


def test_a_file_that_is_no_model_is_refused_with_a_sentence(dock: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing")
    before = dock.models.path()
    assert not dock.models.choose_file(path)
    assert "fresh copy" in dock.status.text()
    assert dock.models.path() == before


def test_the_gui_stays_alive_during_a_run(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone(1500, 1500)[0])
    run(dock)  # loads the libraries and the model
    beats: list[tuple[float, float]] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append((time.monotonic(), time.thread_time())))
    timer.start(10)
    computed: list[float] = []
    dock.runner.succeeded.connect(lambda _: computed.append(time.monotonic()))
    gaps: list[Any] = []
    # A quick machine computes one run within a few beats, so several runs are watched.
    for _ in range(50):
        beats.clear()
        run(dock)
        # What happens after the result came is napari drawing layers, not our work.
        gaps.extend(np.diff([beat for beat in beats if beat[0] < computed[-1]], axis=0))
        if len(gaps) > 20:
            break
    timer.stop()
    assert len(gaps) > 20
    by_clock, by_processor = np.transpose(gaps)  # a busy machine lengthens some of the former
    assert np.median(by_clock) < 0.1 and by_processor.max() < 1.0


def test_maps_are_not_offered_as_images(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    offered = [dock.images.itemText(i) for i in range(dock.images.count())]
    assert offered == ["field"]


def test_a_model_with_more_channels_takes_the_channel_axis() -> None:
    from napari_gaussproto.core.base.steps import run as drive
    from napari_gaussproto.core.model.stack import segment_stack_steps

    model = tiny_model(channels=5)
    cube = np.random.default_rng(0).random((5, 60, 70)).astype(np.float32)
    assert drive(segment_stack_steps(cube, model, rgb=False)).labels.shape == (60, 70)
