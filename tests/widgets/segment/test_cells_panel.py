"""Superpixel models and the preview of their cells, in a real viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.core.model.model_file import save_model
from tests.core.builders import tiny_model, two_tone

SUPERPIXELS = {"partition": "superpixel", "region_size": 8}


@pytest.fixture
def superpixel_dock(dock: Any, tmp_path: Path) -> Any:
    assert dock.models.choose_file(save_model(tiny_model(**SUPERPIXELS), tmp_path / "regions"))
    return dock


def preview(dock: Any, qtbot: Any) -> Any:
    """Wait for the next preview and return its layer."""
    with qtbot.waitSignal(dock.cells.runner.succeeded, timeout=60_000):
        pass
    return dock.cells.layer


def test_a_grid_model_shows_its_cells_and_offers_no_size(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    viewer.add_image(two_tone()[0], name="field")
    assert not dock.cells.size.isEnabled() and dock.cells.size.value() == 4
    dock.cells.preview.click()
    layer = preview(dock, qtbot)
    assert layer.data[0].all() and not layer.data[1:4, 1:4].any()


def test_preview_follows_the_size(viewer: Any, superpixel_dock: Any, qtbot: Any) -> None:
    dock = superpixel_dock
    viewer.add_image(two_tone(200, 240)[0], name="field")
    assert dock.cells.size.isEnabled() and dock.cells.size.value() == 8
    dock.cells.preview.click()
    small = preview(dock, qtbot)
    borders = small.data.mean()
    assert "in all" in dock.cells.note.text()
    dock.cells.size.setValue(24)
    large = preview(dock, qtbot)
    assert large is small and large.data.mean() < 0.6 * borders
    assert dock.images.count() == 1  # the preview is no image to segment
    dock.cells.preview.click()
    assert small not in viewer.layers


def test_preview_covers_the_visible_part_and_lies_over_it(
    viewer: Any, superpixel_dock: Any, qtbot: Any
) -> None:
    dock = superpixel_dock
    image = viewer.add_image(two_tone(900, 1100)[0], scale=(0.5, 0.5), translate=(7, 3))
    # Set by the canvas when it draws, which a hidden test window does not do.
    image.corner_pixels = np.array([[300, 410], [470, 640]])
    dock.cells.preview.click()
    layer = preview(dock, qtbot)
    assert layer.data.size < 0.2 * 900 * 1100
    y0, x0 = np.round(image.world_to_data(layer.data_to_world((0, 0)))).astype(int)
    assert 296 <= y0 <= 300 and 400 <= x0 <= 410
    assert y0 + layer.data.shape[0] == 471 and x0 + layer.data.shape[1] == 641
    assert viewer.layers.selection.active is image


def test_preview_of_the_plane_of_a_stack(viewer: Any, superpixel_dock: Any, qtbot: Any) -> None:
    stack = np.stack([two_tone(80, 90, seed)[0] for seed in range(3)])
    viewer.add_image(stack, name="time", scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 2)
    superpixel_dock.cells.preview.click()
    layer = preview(superpixel_dock, qtbot)
    assert layer.data.shape == (1, 80, 90)
    assert layer.data_to_world((0, 0, 0))[0] == pytest.approx(4)


def test_run_with_another_size_and_outlines(viewer: Any, superpixel_dock: Any, run: Any) -> None:
    dock = superpixel_dock
    viewer.add_image(two_tone(100, 120)[0], name="field")
    dock.extras["outlines"].setChecked(True)
    run(dock)
    cells = dock.state.current.segmentation.n_cells
    lines = dock.state.current.maps[MapRole("outlines")]
    assert lines.data.shape == (100, 120) and 0.1 < lines.data.mean() < 0.8
    dock.cells.size.setValue(20)
    run(dock)
    assert dock.state.current.segmentation.n_cells < 0.3 * cells
    assert dock.state.current.maps[MapRole("outlines")] is lines
    assert dock.state.current.labels.metadata["napari-gaussproto"]["cell_size"] == 20
    labels, partition = (
        dock.state.current.labels.data,
        dock.state.current.segmentation.planes[0].encoding.partition,
    )
    for cell in range(0, partition.n_cells, 5):  # a region has one class
        y0, x0, mask = partition.cell_mask(cell)
        window = labels[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        assert len(np.unique(window[mask])) == 1


def test_cells_suit_the_photograph_until_a_person_chooses(
    viewer: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    file = save_model(tiny_model(photo_pixels=96 * 128), tmp_path / "suits")
    assert dock.models.choose_file(file)
    viewer.add_image(two_tone()[0], name="small")
    assert dock.cells.size.isEnabled() and dock.cells.size.value() == 4
    viewer.add_image(np.kron(two_tone()[0], np.ones((3, 3, 1), np.uint8)), name="large")
    dock.images.setCurrentText("large")
    assert dock.cells.size.value() == 12 and dock.cells.chosen is None
    run(dock)
    assert dock.state.current.segmentation.planes[0].encoding.partition.cell_size == 12
    assert dock.state.current.labels.metadata["napari-gaussproto"]["cell_size"] == 12
    dock.cells.size.setValue(8)
    run(dock)
    assert dock.state.current.segmentation.planes[0].encoding.partition.cell_size == 8
    dock.images.setCurrentText("small")
    assert dock.cells.size.value() == 8  # what a person chose stays
    dock.cells.size.setValue(13)
    assert dock.cells.size.value() == dock.cells.chosen == 12
    dock.cells.size.setValue(4)
    assert dock.cells.chosen is None  # it is what the model has
    dock.images.setCurrentText("large")
    assert dock.cells.size.value() == 12
    dock.images.setCurrentText("small")
    read, write = dock.cells.setting()
    dock.cells.set_model(file)
    assert dock.cells.chosen is None and dock.cells.size.value() == 4 and read() == 0
    write(0)
    assert dock.cells.chosen is None
    write(12)
    assert dock.cells.chosen == read() == 12


def test_outlines_are_shown_from_near_alone(viewer: Any, superpixel_dock: Any, qtbot: Any) -> None:
    dock = superpixel_dock
    viewer.add_image(two_tone(200, 240)[0], name="field", scale=(0.5, 0.5))
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom = 4
    dock.cells.preview.click()
    layer = preview(dock, qtbot)
    assert layer.visible and "Zoom in" not in dock.cells.note.text()
    camera.zoom = 1.5  # of the world: a pixel of the image is 0.75 of the screen
    preview(dock, qtbot)
    assert not layer.visible and dock.cells.note.text().endswith("Zoom in to see them")
    camera.zoom = 3
    preview(dock, qtbot)
    assert layer.visible
