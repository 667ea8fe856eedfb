"""Large images in the Segment dock: labels on disk that fill in while one looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.large.order import LargeStep
from napari_gaussproto.widgets.layers.placement import area_in_view
from napari_gaussproto.widgets.segment import dock as segment_module
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from tests.core.builders import two_tone
from tests.io.test_ome_images import written
from tests.widgets.docks import by_role, large_from_a_megapixel, without_end

TILE = 256
PHOTO = two_tone(1100, 1300)[0]


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One megapixel is large, and tiles are small."""
    large_from_a_megapixel(monkeypatch, TILE)


@pytest.fixture
def out(dock: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    dock.large.choose_folder(folder)
    return folder


@pytest.fixture
def expected(model_file: Path) -> np.ndarray:
    return segment(PHOTO, load_model_file(model_file), tile=TILE).labels


def is_tile(step: object) -> bool:
    return isinstance(step, LargeStep) and step.cover.done >= 3


@pytest.fixture
def stopped(dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Press Segment, and Cancel after some tiles."""

    def press() -> None:
        with monkeypatch.context() as patch:
            without_end(patch, segment_module, is_tile)
            with qtbot.waitSignal(dock.runner.progressed, timeout=60_000, check_params_cb=is_tile):
                dock.run_button.click()
            dock.cancel_button.click()
            qtbot.waitUntil(lambda: not dock.runner.busy, timeout=60_000)

    return press


def test_a_large_image_fills_in_and_gives_the_same_labels(
    viewer: Any, dock: Any, run: Callable[[Any], None], out: Path, expected: np.ndarray
) -> None:
    image = viewer.add_image(PHOTO, name="mosaic", scale=(0.5, 0.5), translate=(3, 4))
    assert not dock.large.isHidden() and f"stay in {out}" in dock.large.words.text()
    run(dock)
    [layer] = by_role(viewer, "labels")
    assert layer.multiscale and layer.name == "mosaic – classes"
    np.testing.assert_array_equal(np.asarray(layer.data[0][:]), expected)
    np.testing.assert_allclose(layer.data_to_world((7, 9)), image.data_to_world((7, 9)))
    assert list(layer.features["class"]) == ["not labelled", "soil", "plant"]
    shares = [(expected == value).mean() for value in (1, 2)]
    assert dock.cover.shares == pytest.approx(shares)
    assert "<b>Cover</b> of mosaic" in dock.cover.heading.text()
    assert dock.status.text().endswith(f"30 tiles, in {out / 'mosaic.labels.ome.zarr'}.")
    assert dock.state.model is not None and dock.state.current is None
    run(dock)
    assert dock.status.text().startswith("All 30 tiles were done before")
    assert by_role(viewer, "labels") == [layer]


def test_a_cancel_keeps_what_is_done_and_segment_goes_on(
    viewer: Any,
    dock: Any,
    run: Callable[[Any], None],
    stopped: Callable[[], None],
    out: Path,
    expected: np.ndarray,
) -> None:
    viewer.add_image(PHOTO, name="mosaic")
    stopped()
    [layer] = by_role(viewer, "labels")
    done = int(dock.status.text().split("; ")[1].split()[0])
    assert 3 <= done < 30
    assert dock.status.text() == (
        f"Cancelled; {done} of 30 tiles are done and stay. Press Segment to go on."
    )
    part = np.asarray(layer.data[0][:])
    filled = part > 0
    assert 0 < filled.mean() < 1
    np.testing.assert_array_equal(part[filled], expected[filled])
    assert "of mosaic" in dock.cover.heading.text() and "%" in dock.cover.heading.text()
    run(dock)
    assert by_role(viewer, "labels") == [layer]
    np.testing.assert_array_equal(np.asarray(layer.data[0][:]), expected)
    assert (layer.thumbnail[..., 3] > 0).mean() > 0.7
    # The coarsest level is what is seen of the whole image, at once.
    coarsest, step = layer.data[-1], 2 ** (len(layer.data) - 1)
    np.testing.assert_array_equal(np.asarray(coarsest), expected[::step, ::step])
    before = int(dock.status.text().split(" tiles, ")[1].split()[0])
    assert done <= before <= done + 1  # a tile that was under way when it was cancelled


def test_what_is_in_view_is_done_first(
    viewer: Any, stopped: Callable[[], None], qtbot: Any, out: Path
) -> None:
    viewer.window.show()
    image = viewer.add_image(PHOTO, name="mosaic")
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (1000, 1200), 8
    qtbot.waitUntil(lambda: area_in_view(viewer, image)[0] > 900, timeout=60_000)
    stopped()
    [layer] = by_role(viewer, "labels")
    labels = np.asarray(layer.data[0][:])
    y0, x0, y1, x1 = area_in_view(viewer, image)
    assert labels[y0:y1, x0:x1].all() and not labels[:256, :256].any()


def test_the_layer_is_drawn_as_tiles_come(
    viewer: Any, stopped: Callable[[], None], qtbot: Any, out: Path
) -> None:
    viewer.window.show()
    viewer.add_image(PHOTO, name="mosaic")
    stopped()
    [layer] = by_role(viewer, "labels")
    qtbot.wait(300)
    canvas = viewer.screenshot(flash=False)
    layer.visible = False
    plain = viewer.screenshot(flash=False)
    changed = (canvas != plain).any(-1)
    assert 0.02 < changed.mean() < 0.9


@pytest.mark.parametrize("kind", ["zarr", "dask", "multiscale"])
def test_stored_images_of_any_kind(
    viewer: Any,
    dock: Any,
    run: Callable[[Any], None],
    out: Path,
    expected: np.ndarray,
    tmp_path: Path,
    kind: str,
) -> None:
    stored = zarr.create_array(
        str(tmp_path / "i.zarr"), shape=PHOTO.shape, chunks=(256, 256, 3), dtype="uint8"
    )
    stored[:] = PHOTO
    data = {
        "zarr": stored,
        "dask": da.from_zarr(stored),
        "multiscale": [stored, da.from_zarr(stored)[::2, ::2], PHOTO[::4, ::4]],
    }[kind]
    options = {"multiscale": True} if kind == "multiscale" else {}
    viewer.add_image(data, rgb=True, name="mosaic", contrast_limits=(0, 255), **options)
    run(dock)
    [layer] = by_role(viewer, "labels")
    np.testing.assert_array_equal(np.asarray(layer.data[0][:]), expected)


def test_an_ome_zarr_folder_is_opened_and_segmented(
    viewer: Any, dock: Any, run: Callable[[Any], None], expected: np.ndarray, tmp_path: Path
) -> None:
    channels_first = np.moveaxis(PHOTO, -1, 0)
    path = written(tmp_path / "mosaic.ome.zarr", channels_first, "cyx", [1, 0.5, 0.5])
    [image] = viewer.open(path, plugin="napari-gaussproto")
    assert image.rgb and image.multiscale
    run(dock)
    [layer] = by_role(viewer, "labels")
    np.testing.assert_array_equal(np.asarray(layer.data[0][:]), expected)
    np.testing.assert_allclose(layer.scale, [0.5, 0.5])
    folder = tmp_path / "mosaic.labels.ome.zarr"
    assert dock.status.text().endswith(f"in {folder}.")
    # Opened again, it is what was written.
    [again] = viewer.open(folder, plugin="napari-gaussproto")
    np.testing.assert_array_equal(np.asarray(again.data), expected)
    np.testing.assert_allclose(again.scale, [0.5, 0.5])


def test_a_large_stack_fills_in_plane_by_plane(
    viewer: Any, dock: Any, run: Callable[[Any], None], out: Path, model_file: Path
) -> None:
    stack = np.stack([two_tone(1000, 1100, seed)[0] for seed in range(2)])
    viewer.add_image(stack, name="series")
    run(dock)
    [layer] = by_role(viewer, "labels")
    model = load_model_file(model_file)
    for number, photo in enumerate(stack):
        plane = np.asarray(layer.data[0][number])
        np.testing.assert_array_equal(plane, segment(photo, model, tile=TILE).labels)


def test_another_model_writes_beside_it(
    viewer: Any,
    dock: Any,
    run: Callable[[Any], None],
    out: Path,
    model_file: Path,
    other_file: Path,
) -> None:
    viewer.add_image(PHOTO, name="mosaic")
    run(dock)
    [first] = by_role(viewer, "labels")
    before = np.asarray(first.data[0][:])
    assert dock.models.choose_file(other_file)
    run(dock)
    assert len(by_role(viewer, "labels")) == 2
    assert {path.name for path in out.iterdir()} == {
        "mosaic.labels.ome.zarr", "mosaic-2.labels.ome.zarr"
    }  # fmt: skip
    np.testing.assert_array_equal(np.asarray(first.data[0][:]), before)
    assert seen_of(viewer) == {"mosaic – classes": True, "mosaic – classes (earlier run)": False}
    assert first.name == "mosaic – classes (earlier run)"
    assert dock.models.choose_file(model_file)  # the tiles of which are done
    run(dock)
    assert seen_of(viewer) == {"mosaic – classes": True, "mosaic – classes (earlier run)": False}
    np.testing.assert_array_equal(np.asarray(viewer.layers["mosaic – classes"].data[0][:]), before)


def seen_of(viewer: Any) -> dict[str, bool]:
    return {layer.name: layer.visible for layer in by_role(viewer, "labels")}


def test_an_image_removed_while_it_fills_in_ends_with_a_sentence(
    viewer: Any, dock: Any, qtbot: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = viewer.add_image(PHOTO, name="mosaic")
    without_end(monkeypatch, segment_module, is_tile)
    with qtbot.waitSignal(dock.runner.progressed, timeout=60_000, check_params_cb=is_tile):
        dock.run_button.click()
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        viewer.layers.remove(image)
    assert "was removed" in dock.status.text()
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=60_000)


def test_small_images_say_nothing_of_it(viewer: Any, dock: Any, run: Callable[[Any], None]) -> None:
    viewer.add_image(PHOTO[:200, :300], name="photo")
    assert dock.large.isHidden()
    run(dock)
    [layer] = by_role(viewer, "labels")
    assert not layer.multiscale and dock.state.current is not None


def test_labels_go_beside_the_file_of_the_image(viewer: Any, dock: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mosaic.tif", PHOTO, photometric="rgb")
    [image] = viewer.open(tmp_path / "mosaic.tif", plugin="napari")
    assert dock.large.folder_of(image) == tmp_path
    assert str(tmp_path) in dock.large.words.text()
    order = dock.large.begin(image)
    dock.large.end()
    assert (order.folder, order.stem) == (tmp_path, "mosaic")


def test_a_folder_that_cannot_be_written_is_a_sentence(
    viewer: Any, dock: Any, run: Callable[[Any], None], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    dock.large.choose_folder(tmp_path / "file")
    viewer.add_image(PHOTO, name="mosaic")
    run(dock)
    assert "choose another folder" in dock.status.text() and len(viewer.layers) == 1


def test_labels_go_with_their_image_also_when_their_dock_was_closed(
    viewer: Any, dock: Any, run: Callable[[Any], None], out: Path, qtbot: Any
) -> None:
    image = viewer.add_image(PHOTO, name="mosaic")
    run(dock)
    dock.close_work()
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: not viewer.layers, timeout=5_000)
    assert (out / "mosaic.labels.ome.zarr").is_dir()


def test_labels_of_a_file_that_is_open_twice_go_with_the_last_of_its_images(
    viewer: Any, dock: Any, run: Callable[[Any], None], tmp_path: Path, qtbot: Any
) -> None:
    tifffile.imwrite(tmp_path / "mosaic.tif", PHOTO, photometric="rgb")
    images = []
    for _ in range(2):
        images += viewer.open(tmp_path / "mosaic.tif", plugin="napari")
        run(dock)
    [layer] = by_role(viewer, "labels")
    viewer.layers.remove(images[0])
    qtbot.wait(50)
    assert layer in viewer.layers
    viewer.layers.remove(images[1])
    qtbot.waitUntil(lambda: not viewer.layers, timeout=5_000)


def test_a_dock_opened_later_goes_on_in_the_layer_that_is_there(
    viewer: Any, dock: Any, run: Callable[[Any], None], out: Path, model_file: Path, qtbot: Any
) -> None:
    viewer.add_image(PHOTO, name="mosaic")
    run(dock)
    [layer] = by_role(viewer, "labels")
    dock.close_work()
    again = SegmentWidget(viewer)
    viewer.window.add_dock_widget(again, name="Segment again", area="right")
    assert again.models.choose_file(model_file)
    again.large.choose_folder(out)
    run(again)
    assert again.status.text().startswith("All 30 tiles were done before")
    assert by_role(viewer, "labels") == [layer]
    qtbot.waitUntil(lambda: not again.busy, timeout=60_000)
