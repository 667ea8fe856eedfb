"""The Measure section over a large image: tile by tile, from its labels on disk."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_gaussproto.core.labels.pieces import components
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.batch.plane_tables import measured_image
from napari_gaussproto.widgets.shared import workers
from tests.core.builders import two_tone
from tests.widgets.docks import LEFT, canvas_point, large_from_a_megapixel

TILE = 512
PHOTO = two_tone(1100, 1300)[0]


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One megapixel is large, and tiles are small."""
    large_from_a_megapixel(monkeypatch, TILE)


@pytest.fixture
def panel(viewer: Any, dock: Any, tmp_path: Path, qtbot: Any) -> Any:
    """The section, open, with a large image that is not segmented yet."""
    dock.large.choose_folder(tmp_path / "labels")
    viewer.add_image(PHOTO, name="mosaic", scale=(2, 2))
    dock.measure.header.click()
    yield dock.measure
    dock.measure.runner.cancel()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)


def press(panel: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(panel.runner.finished, timeout=60_000):
        panel.run_button.click()


def test_its_tables_are_those_of_the_image_at_once(
    panel: Any,
    dock: Any,
    run: Any,
    qtbot: Any,
    viewer: Any,
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "INTERVAL", 0)  # every step is told, however quick they are
    assert panel.large.isVisibleTo(dock) and "tile by tile" in panel.large.text()
    assert panel.run_button.toolTip() == "Segment the image first"
    run(dock)
    assert panel.run_button.isEnabled() and not panel.cancel_button.isEnabled()
    panel.pixel_size.setText("0.5mm")
    steps: list[Any] = []
    panel.runner.progressed.connect(steps.append)
    said: list[str] = []
    panel.runner.progressed.connect(lambda _: said.append(panel.status.text()))
    press(panel, qtbot)
    found = segment(PHOTO, load_model_file(model_file), tile=TILE)
    pieces = components(found.labels, panel.least_area.value())
    objects, areas = measured_image(found, found.labels, pieces, {}, None)
    assert panel.status.text() == f"{len(objects)} objects."
    panel.save(tmp_path / "o.csv")
    ours = pd.read_csv(tmp_path / "o.csv")
    assert ours["area_px"].tolist() == objects["area_px"].tolist()
    np.testing.assert_allclose(ours["area_mm2"], objects["area_px"] / 4)
    np.testing.assert_allclose(ours[["y_px", "x_px"]], objects[["y_px", "x_px"]], atol=1e-3)
    assert set(ours["labels"]) == {"predicted"} and set(ours["image"]) == {"mosaic"}
    shares = pd.read_csv(tmp_path / "o-areas.csv")["pixels"].tolist()
    assert shares == areas["pixels"].tolist()
    assert all(0 <= step.done <= step.total for step in steps)
    assert any(re.fullmatch(r"Measuring, \d+ s left…", sentence) for sentence in said)
    # A click on an object chooses its row, and a row brings its object into view.
    viewer.window.show()
    viewer.reset_view()
    qtbot.wait(100)
    number = int(ours["area_px"].nlargest(2).index[1])
    y, x = np.argwhere(pieces == number + 1)[len(np.argwhere(pieces == number + 1)) // 2]
    native = viewer.window._qt_viewer.canvas.native
    place = canvas_point(viewer, viewer.layers[0].data_to_world((y, x)))
    qtbot.mouseClick(native, LEFT, pos=place)
    assert panel.table.texts()[panel.table.currentIndex().row()][0] == str(number + 1)
    panel.table.choose(0 if number else 1)
    panel.table.choose(number)
    camera = getattr(viewer, "scene", viewer).camera
    row = ours.iloc[number]
    assert tuple(camera.center)[-2:] == pytest.approx((2 * row["y_px"], 2 * row["x_px"]), abs=1)


def test_a_cancel_leaves_nothing(
    panel: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    run(dock)
    panel.run_button.click()
    panel.cancel_button.click()
    assert panel.status.text() == "Cancelled." and panel.run_button.isEnabled()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    left = [path.name for path in (tmp_path / "labels").iterdir()]
    assert left == ["mosaic.labels.ome.zarr"]


def test_objects_of_another_layer_and_regions(
    panel: Any, dock: Any, run: Callable[[Any], None], qtbot: Any, viewer: Any
) -> None:
    objects = np.zeros(PHOTO.shape[:2], np.int32)
    objects[400:700, 450:600], objects[1000:1100, 1200:1300] = 7, 9
    viewer.add_labels(objects, name="plots", scale=(2, 2))
    shape = np.array([[300.0, 300], [300, 800], [800, 800], [800, 300]])
    viewer.add_shapes([shape], shape_type="polygon", scale=(2, 2), features={"name": ["A"]})
    run(dock)
    panel.objects.setCurrentIndex(panel.objects.findText("plots"))
    panel.regions.setCurrentIndex(1)
    press(panel, qtbot)
    assert panel.status.text() == "2 objects."
    assert "<b>A</b>" in panel.areas.text()
    assert panel.table.count == 2
