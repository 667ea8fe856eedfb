"""Why? in a large image, whose labels are on disk: the tile below the mouse is computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.steps import run as to_the_end
from napari_gaussproto.core.explain.part import part_steps
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.jobs.large import why
from napari_gaussproto.jobs.large.window import CutWindow
from napari_gaussproto.widgets.prototypes.dock import LARGE, PrototypesWidget
from napari_gaussproto.widgets.train.annotation.windows import add_window
from tests.core.builders import two_tone
from tests.widgets.docks import LEFT, by_role, canvas_point, click, large_from_a_megapixel

TILE = 256
PHOTO = two_tone(1100, 1300)[0]


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One megapixel is large, and tiles are small."""
    large_from_a_megapixel(monkeypatch, TILE)


@pytest.fixture
def mosaic(viewer: Any, dock: Any, tmp_path: Path) -> Any:
    dock.large.choose_folder(tmp_path / "labels")
    return viewer.add_image(PHOTO, name="mosaic", scale=(0.5, 0.5), translate=(3, 4))


@pytest.fixture
def asked(viewer: Any, mosaic: Any, dock: Any, run: Callable[[Any], None], qtbot: Any) -> Any:
    """The Prototypes dock over labels on disk, with the tool in hand."""
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes", area="right", tabify=True)
    widget.parent().raise_()
    assert widget.empty.isVisibleTo(widget)
    run(dock)
    viewer.window.show()
    viewer.reset_view()
    qtbot.waitUntil(lambda: widget.gallery.rows[0].isVisible(), timeout=10_000)
    qtbot.wait(100)
    click(qtbot, widget.why_panel.button)
    yield widget
    widget.close_work()
    qtbot.waitUntil(lambda: not widget.busy, timeout=30_000)


@pytest.fixture
def point(viewer: Any, asked: Any, mosaic: Any, qtbot: Any) -> Callable[[int, int], Any]:
    """Click a pixel of the mosaic, and wait for the answer."""

    def work(y: int, x: int) -> Any:
        native = viewer.window._qt_viewer.canvas.native
        place = canvas_point(viewer, mosaic.data_to_world((y, x)))
        with qtbot.waitSignal(asked.why.runner.finished, timeout=60_000):
            qtbot.mouseClick(native, LEFT, pos=place)
        return asked.why.explanation

    return work


def test_a_click_explains_the_label_that_is_seen(
    viewer: Any, asked: Any, mosaic: Any, point: Any, model_file: Path, qtbot: Any, tmp_path: Path
) -> None:
    assert asked.image_name.text() == "Image: mosaic" and asked.status.text() == LARGE
    assert not asked.edit_panel.isEnabled() and asked.gallery.rows[0].percent.text() == ""
    asked.why_panel.cell.setChecked(True)
    found = point(700, 900)
    assert abs(found.y - 700) <= 4 and abs(found.x - 900) <= 4
    [labels] = by_role(viewer, "labels")
    model = load_model_file(model_file)
    about = (as_source(PHOTO, model), model, TILE, found.y, found.x)
    expected = to_the_end(part_steps(*about)).explain(found.y, found.x)
    assert found.label + 1 == expected.label + 1 == labels.data[0][found.y, found.x]
    np.testing.assert_allclose(found.class_probability, expected.class_probability, rtol=1e-5)
    assert asked.why_panel.rows[0].name.text() == found.reasons[0].name
    assert not asked.why_panel.add.isEnabled() and asked.state.current is None
    # The outline lies over the mosaic.
    (outline,) = by_role(viewer, "why")
    np.testing.assert_allclose(outline.scale, mosaic.scale)
    middle = outline.data[:, 0].mean(0)
    assert np.abs(middle - (found.y, found.x)).max() < 32
    # A region is that of the label, too.
    asked.why_panel.component.setChecked(True)
    region = point(700, 900)
    own = np.asarray(labels.data[0][region.top : region.top + region.mask.shape[0]])
    own = own[:, region.left : region.left + region.mask.shape[1]]
    assert set(own[region.mask]) == {found.label + 1}
    assert len(by_role(viewer, "why")) == 1
    with qtbot.waitSignal(asked.why.exporter.succeeded, timeout=60_000):
        asked.why.save_figure(tmp_path / "why.svg")
    drawn = (tmp_path / "why.svg").read_text()
    # The place is that in the whole mosaic.
    assert f"mosaic · region around row {region.y}, column {region.x}: " in drawn
    assert asked.state.model.card.edition in drawn


def test_what_the_answer_depends_on_is_shown_over_the_mosaic(
    viewer: Any, asked: Any, point: Any, qtbot: Any
) -> None:
    asked.why_panel.cell.setChecked(True)
    found = point(700, 900)
    [labels] = by_role(viewer, "labels")
    with qtbot.waitSignal(asked.why.dependence.runner.succeeded, timeout=60_000):
        click(qtbot, asked.why_panel.dependence.button)
    (layer,) = by_role(viewer, "dependence")
    place = layer.world_to_data(labels.data_to_world((found.y, found.x)))
    assert all(0 <= at < n for at, n in zip(place, layer.data.shape, strict=True))
    assert layer.visible and not labels.visible
    click(qtbot, asked.why_panel.dependence.button)
    assert labels.visible and not layer.visible


def test_the_same_tile_is_not_computed_twice(
    asked: Any, point: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(700, 900)
    part = asked.why.explained.part
    monkeypatch.delattr(why, "part_steps")
    y0, x0, y1, x1 = part.area
    assert point((y0 + y1) // 2, (x0 + x1) // 2) is not None
    assert asked.why.explained.part is part


def test_before_it_is_segmented_a_click_says_what_to_do(
    viewer: Any, asked: Any, mosaic: Any, dock: Any, run: Callable[[Any], None], qtbot: Any
) -> None:
    other = viewer.add_image(PHOTO[::-1], name="B", scale=(0.5, 0.5), translate=(3, 4))
    native = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, mosaic.data_to_world((700, 900))))
    heading = asked.why_panel.heading.text()
    assert heading.startswith("B is not segmented yet: choose it in the Segment dock")
    # What is said is true no longer once its labels are on disk.
    dock.images.choose(other)
    run(dock)
    assert asked.why_panel.heading.text().startswith("Click a place in the image")
    viewer.layers.remove(other)
    qtbot.waitUntil(lambda: "B – classes" not in viewer.layers, timeout=5_000)
    assert "mosaic – classes" in viewer.layers
    click(qtbot, asked.why_panel.button)
    assert asked.why_panel.heading.text().startswith("Press Why? and click")


def test_a_window_without_a_result_hides_no_answer(
    viewer: Any, asked: Any, mosaic: Any, point: Any, qtbot: Any
) -> None:
    area = (600, 700, 856, 956)
    window = add_window(viewer, mosaic, CutWindow(PHOTO[600:856, 700:956], area, is_stored=True))
    assert viewer.layers.index(window) > viewer.layers.index(mosaic)
    assert point(700, 900) is not None
    assert asked.why.explained is not None  # of the mosaic
    (outline,) = by_role(viewer, "why")
    assert outline.name == "mosaic – why"
    # What a person sees of another image at that place is no answer for the window.
    mosaic.visible = False
    native = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, mosaic.data_to_world((700, 900))))
    assert asked.why_panel.heading.text().startswith(f"{window.name} is not segmented yet")


def test_the_answer_goes_with_the_image(
    viewer: Any, asked: Any, mosaic: Any, point: Any, qtbot: Any
) -> None:
    point(700, 900)
    assert len(by_role(viewer, "why")) == 1
    viewer.layers.remove(mosaic)
    qtbot.waitUntil(lambda: not by_role(viewer, "why"), timeout=5_000)
    assert asked.why.explanation is None and asked.empty.isVisibleTo(asked)


def test_the_heading_names_the_model_whose_prototypes_are_shown(
    asked: Any, model_file: Path
) -> None:
    shown = asked.model_name.text()
    fitted = load_model_file(model_file)
    fitted.card = fitted.card.model_copy(update={"name": "a later fit"})
    asked.state.set_model(fitted, ("fitted", 1))
    assert "a later fit" not in shown and asked.model_name.text().removesuffix(" *") == shown
