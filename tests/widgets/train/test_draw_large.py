"""Large images in the Train dock: one draws in windows of them, and fits learn from these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.jobs.large import window as window_module
from napari_gaussproto.widgets.layers.placement import WINDOW
from napari_gaussproto.widgets.train.annotation.windows import place_in_view
from tests.core.builders import two_tone
from tests.widgets.docks import LEFT, by_role, canvas_point, large_from_a_megapixel
from tests.widgets.train_dock import open_train, settled

SIDE, TILE = 512, 512
PHOTO, TRUTH = two_tone(1100, 1300)


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One megapixel is large, and windows and tiles are small."""
    large_from_a_megapixel(monkeypatch, TILE)
    monkeypatch.setattr(window_module, "SIDE", SIDE)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "field.zarr"
    array = zarr.create_array(str(path), shape=PHOTO.shape, chunks=(256, 256, 3), dtype="uint8")
    array[:] = PHOTO
    return path


@pytest.fixture
def mosaic(viewer: Any, train: Any, stored: Path) -> Any:
    viewer.window.show()
    [image] = viewer.open(stored, plugin="napari", rgb=True)
    image.name, image.scale, image.translate = "mosaic", (0.5, 0.5), (3, 4)
    viewer.reset_view()
    train.images.choose(image)
    return image


def look_at(viewer: Any, image: Any, qtbot: Any, y: int, x: int) -> None:
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = image.data_to_world((y, x)), 8

    def is_there() -> bool:
        return place_in_view(viewer, image) == pytest.approx((y, x), abs=100)

    qtbot.waitUntil(is_there, timeout=30_000)


def draw(train: Any, viewer: Any, image: Any, qtbot: Any, y: int, x: int) -> Any:
    """Press Draw at a place, and wait for the window of the image."""
    train.images.choose(image)
    look_at(viewer, image, qtbot, y, x)
    train.labels.new.click()
    qtbot.waitUntil(lambda: train.images.image() is not image, timeout=30_000)
    return train.images.image()


def paint(train: Any, window: Any) -> None:
    """Strokes of both classes where they are true."""
    y0, x0, y1, x1 = window.metadata[WINDOW]
    truth, layer = TRUTH[y0:y1, x0:x1], train.annotations.find(window).layer
    for value in (1, 2):
        places = np.argwhere(truth == value)
        y, x = places[len(places) // 2]
        own = np.zeros(truth.shape, bool)
        own[max(0, y - 12) : y + 12, max(0, x - 12) : x + 12] = True
        layer.data_setitem(np.nonzero(own & (truth == value)), value)
    train.annotations.find(window).settle()


def test_draw_takes_the_brush_to_the_window_in_view(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any, stored: Path
) -> None:
    window = draw(train, viewer, mosaic, qtbot, 700, 900)
    assert window.metadata[WINDOW] == [512, 512, 1024, 1024]
    np.testing.assert_array_equal(window.data, PHOTO[512:1024, 512:1024])
    np.testing.assert_allclose(window.data_to_world((7, 9)), mosaic.data_to_world((519, 521)))
    assert window.bounding_box.visible  # one sees where it ends
    annotation = train.annotations.find(window)
    assert viewer.layers.selection.active is annotation.layer
    assert annotation.record.codes.shape == (512, 512)
    assert train.annotations.find(mosaic) is None
    assert train.status.text().startswith("“mosaic” is large: paint in this window of it")
    # The same place again is the same window; another place is another.
    count = len(viewer.layers)
    assert draw(train, viewer, mosaic, qtbot, 720, 910) is window and len(viewer.layers) == count
    corner = draw(train, viewer, mosaic, qtbot, 1090, 1290)
    assert corner.metadata[WINDOW] == [588, 788, 1100, 1300]


def test_a_window_that_is_removed_leads_back_to_its_image(
    viewer: Any, train: Any, mosaic: Any, dock: Any, qtbot: Any
) -> None:
    other = viewer.add_image(two_tone()[0], name="other")
    draw(train, viewer, mosaic, qtbot, 700, 900)
    window = draw(train, viewer, mosaic, qtbot, 100, 100)
    assert train.images.image() is window and dock.images.image() is mosaic
    settled(train, qtbot)
    viewer.layers.remove(window)
    assert train.images.image() is mosaic and train.state.image is mosaic
    assert dock.images.image() is mosaic and other in dock.images.images()


def test_labels_in_windows_are_offered_when_the_large_image_is_opened(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any, stored: Path
) -> None:
    window = draw(train, viewer, mosaic, qtbot, 700, 900)
    paint(train, window)
    settled(train, qtbot)
    drawn, bar = train.annotations.find(window).labels, train.autosave.bar
    folder = train.autosave.state.folder

    def reopened() -> None:
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        viewer.open(stored, plugin="napari", rgb=True)
        settled(train, qtbot)
        qtbot.waitUntil(lambda: not train.busy, timeout=60_000)

    reopened()  # in the same project there is nothing to offer: it lists its closed images
    assert bar.offer.isHidden() and not train.labels.closed.isHidden()
    bar.new_asked.emit()
    settled(train, qtbot)
    reopened()
    qtbot.waitUntil(lambda: not bar.offer.isHidden(), timeout=60_000)
    assert "was labelled before" in bar.found.text()
    bar.restore.click()
    qtbot.waitUntil(lambda: train.autosave.state.folder == folder, timeout=60_000)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not bar.question.isHidden(), timeout=60_000)
    bar.question.buttons[0].click()  # opens what was closed
    qtbot.waitUntil(lambda: len(train.annotations.open) == 1, timeout=60_000)
    assert np.array_equal(train.annotations.open[0].labels, drawn)
    qtbot.waitUntil(lambda: not train.busy, timeout=60_000)


@pytest.mark.parametrize("middle", [(480, 470), (500, 530), (30, 520), (540, 1000)])
def test_the_window_holds_the_middle_of_the_view_of_several_resolutions(
    viewer: Any, train: Any, qtbot: Any, middle: tuple[int, int], tmp_path: Path
) -> None:
    viewer.window.show()
    levels = []
    for number, step in enumerate((1, 2, 4)):
        level, path = PHOTO[::step, ::step], str(tmp_path / str(number))
        levels.append(zarr.create_array(path, shape=level.shape, chunks=(256, 256, 3), dtype="u1"))
        levels[-1][:] = level
    about = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("mm", "mm")}
    image = viewer.add_image(levels, multiscale=True, rgb=True, name="mosaic", **about)
    look_at(viewer, image, qtbot, 700, 900)
    y0, x0, y1, x1 = draw(train, viewer, image, qtbot, *middle).metadata[WINDOW]
    assert y0 <= middle[0] < y1 and x0 <= middle[1] < x1


def test_a_fit_learns_in_the_window_and_the_whole_is_segmented_by_it(
    viewer: Any, train: Any, mosaic: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    window = draw(train, viewer, mosaic, qtbot, 700, 900)
    paint(train, window)
    with qtbot.waitSignal(train.fits.fitted, timeout=120_000) as fitted:
        train.quick.click()
    assert fitted.args[0].result.images == 1
    [labels] = by_role(viewer, "labels")
    assert labels.data.shape == (512, 512)
    dock.large.choose_folder(tmp_path / "labels")
    dock.images.choose(mosaic)
    dock.models.combo.setCurrentIndex(0)
    assert dock.models.is_current
    run(dock)
    shown, strokes = viewer.layers["mosaic – classes"], train.annotations.find(window).layer
    order = [viewer.layers.index(layer) for layer in (window, shown, strokes)]
    assert order == sorted(order)
    made = dock.state.streamed[mosaic]
    assert made.model.layer is train.fits.model.layer
    whole = np.asarray(made.labels[:])
    inside = whole[512:1024, 512:1024]
    assert (inside == labels.data).mean() > 0.9
    # What was drawn overrules in the measurements.
    dock.measure.header.click()
    qtbot.waitUntil(lambda: dock.state.project is not None, timeout=30_000)
    own = train.annotations.find(window).labels
    assert own.any()
    with qtbot.waitSignal(dock.measure.runner.finished, timeout=120_000):
        dock.measure.run_button.click()
    assert dock.measure.status.text().endswith("with corrections.")
    corrected = whole.copy()
    corrected[512:1024, 512:1024] = np.where(own > 0, own, inside)
    dock.measure.save(tmp_path / "o.csv")
    pixels = pd.read_csv(tmp_path / "o-areas.csv")["pixels"].tolist()
    assert pixels == np.bincount(corrected.ravel(), minlength=3)[1:].tolist()


def saved(train: Any, viewer: Any, image: Any, qtbot: Any) -> tuple[Any, np.ndarray]:
    """A window that was drawn in, with its labels, which are saved."""
    window = draw(train, viewer, image, qtbot, 700, 900)
    paint(train, window)
    train.autosave.save_now()
    qtbot.waitUntil(lambda: not train.autosave.busy, timeout=30_000)
    return window, train.annotations.find(window).labels


def test_what_was_drawn_comes_back_with_its_window(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any, stored: Path
) -> None:
    window, before = saved(train, viewer, mosaic, qtbot)
    kept: Annotations = train.autosave.state.kept
    [annotation] = kept.images
    assert annotation.image.window == (512, 512, 1024, 1024)
    assert annotation.image.file == str(stored)
    # Closed, it teaches still; opened again at the same place, its labels are there.
    viewer.layers.remove(window)
    qtbot.waitUntil(lambda: window not in viewer.layers, timeout=5_000)
    again = draw(train, viewer, mosaic, qtbot, 730, 890)
    assert again is not window
    qtbot.waitUntil(lambda: train.annotations.find(again) is not None, timeout=30_000)
    qtbot.waitUntil(
        lambda: np.array_equal(train.annotations.find(again).labels, before), timeout=30_000
    )


def test_a_project_opens_its_windows_again(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any, make_napari_viewer: Any
) -> None:
    _, before = saved(train, viewer, mosaic, qtbot)
    folder = train.autosave.state.folder
    train.close_work()
    other = make_napari_viewer()
    widget = open_train(other)
    widget.autosave.open(folder)
    qtbot.waitUntil(lambda: any(WINDOW in la.metadata for la in other.layers), timeout=60_000)
    [layer] = [la for la in other.layers if la.metadata.get(WINDOW)]
    np.testing.assert_array_equal(layer.data, PHOTO[512:1024, 512:1024])
    np.testing.assert_allclose(layer.data_to_world((7, 9)), mosaic.data_to_world((519, 521)))
    qtbot.waitUntil(lambda: widget.annotations.find(layer) is not None, timeout=30_000)
    np.testing.assert_array_equal(widget.annotations.find(layer).labels, before)
    widget.close_work()
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def test_classes_are_seen_over_an_image_that_was_opened_after_its_windows(
    viewer: Any, train: Any, mosaic: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    windows = [draw(train, viewer, mosaic, qtbot, *at) for at in ((700, 900), (100, 100))]
    strokes = [train.annotations.find(window).layer for window in windows]
    viewer.layers.move(viewer.layers.index(mosaic), len(viewer.layers))
    dock.large.choose_folder(tmp_path / "labels")
    train.images.choose(mosaic)
    run(dock)
    wanted = [mosaic, viewer.layers["mosaic – classes"], *strokes]
    assert sorted(wanted, key=viewer.layers.index) == wanted


def test_a_stroke_beside_its_window_says_so(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any
) -> None:
    window = draw(train, viewer, mosaic, qtbot, 700, 900)
    viewer.reset_view()
    qtbot.wait(200)
    native, said = viewer.window._qt_viewer.canvas.native, f"What is painted beside “{window.name}”"
    warned: list[str] = []
    train.messages.warned.connect(warned.append)

    def stroke(*places: tuple[int, int]) -> None:
        train.status.clear()
        points = [canvas_point(viewer, mosaic.data_to_world(place)) for place in places]
        qtbot.mousePress(native, LEFT, pos=points[0])
        for point in points[1:]:
            qtbot.mouseMove(native, point)
        qtbot.mouseRelease(native, LEFT, pos=points[-1])

    stroke((600, 600), (650, 700))
    assert not train.status.text() and train.annotations.find(window).record.codes.any()
    for _ in range(2):
        stroke((600, 900), (300, 900))
    # Of a part of a stroke once.
    assert len(warned) == 1 and warned[0].startswith(said)
    assert "choose “mosaic” above" in warned[0]
    for _ in range(2):
        stroke((310, 900), (320, 950))
    assert warned == 3 * warned[:1]
    viewer.layers.selection.active.mode = "pan_zoom"
    stroke((300, 900), (320, 950))
    assert len(warned) == 3


def test_a_window_of_words_looks_as_its_image(viewer: Any, train: Any, qtbot: Any) -> None:
    viewer.window.show()
    grey = PHOTO[..., 1].astype(np.uint16)
    image = viewer.add_image(grey, name="words", contrast_limits=(3, 200))
    window = draw(train, viewer, image, qtbot, 700, 900)
    assert window.data.dtype == np.uint16 and window.contrast_limits == [3, 200]


def test_a_large_stack_says_what_to_do(viewer: Any, train: Any, qtbot: Any) -> None:
    stack = np.zeros((5, 1000, 1100), np.uint8)
    train.images.choose(viewer.add_image(stack, name="series"))
    with qtbot.waitSignal(train.messages.warned) as warned:
        train.labels.new.click()
    assert warned.args[0].startswith("“series” is a large stack") and "cut the" in warned.args[0]


def test_a_window_of_another_image_at_the_same_place_is_not_painted_in(
    viewer: Any, train: Any, mosaic: Any, qtbot: Any
) -> None:
    july = viewer.add_image(PHOTO[::-1].copy(), name="july", scale=mosaic.scale, translate=(3, 4))
    viewer.add_image(PHOTO[:, ::-1].copy(), name="august", scale=mosaic.scale, translate=(3, 4))
    windows = [draw(train, viewer, mosaic, qtbot, 700, 900)]
    for image in (july, viewer.layers["august"]):
        windows.append(draw(train, viewer, image, qtbot, 700, 900))
        part = image.data[512:1024, 512:1024]
        np.testing.assert_array_equal(windows[-1].data, part)
    assert len(set(windows)) == 3 and draw(train, viewer, july, qtbot, 700, 900) is windows[1]
