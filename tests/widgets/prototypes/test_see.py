"""The Prototypes dock in a real viewer: gallery, maps, places, latent space, and the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.jobs import insight
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import LEFT, by_role, click, labels_of


def test_without_a_result_it_says_what_to_do(viewer: Any) -> None:
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes")
    assert widget.empty.isVisibleTo(widget)
    assert "Segment an image first" in widget.empty.text()
    widget.abandon()


def test_the_gallery_shows_every_prototype_with_its_share(prototypes: Any) -> None:
    rows = prototypes.gallery.rows
    assert [row.name.text() for row in rows] == ["soil 1", "soil 2", "plant 1", "plant 2"]
    share = prototypes.state.current.segmentation.prototype_share()
    assert sum(row.bar.share for row in rows) == pytest.approx(1, abs=1e-5)
    assert [row.bar.share for row in rows] == pytest.approx(share.tolist())
    assert all(row.on.isChecked() for row in rows)


def test_clicking_a_row_shows_its_map_at_once(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(2))
    (layer,) = by_role(viewer, "likelihood")
    segmentation = prototypes.state.current.segmentation
    np.testing.assert_array_equal(layer.data, segmentation.likelihood(2))
    assert layer.visible and not labels_of(prototypes).visible
    assert "plant 1" in layer.name
    click(qtbot, prototypes.classes_button)
    assert labels_of(prototypes).visible and not layer.visible


def test_both_docks_choose_the_same_prototype(prototypes: Any, dock: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(3))
    assert dock.likelihood.chooser.currentIndex() == 3
    assert dock.likelihood.likelihood.isChecked()
    dock.likelihood.chooser.setCurrentIndex(1)
    dock.likelihood.chooser.activated.emit(1)
    assert prototypes.gallery.row(1).selected and not prototypes.gallery.row(3).selected
    assert prototypes.edit_panel.title.text().find("soil 2") > 0


def test_quantities_have_one_scale_for_all_prototypes(viewer: Any, prototypes: Any) -> None:
    segmentation = prototypes.state.current.segmentation
    prototypes.choose(1)
    (layer,) = by_role(viewer, "likelihood")
    prototypes.quantity.setCurrentIndex(1)
    prototypes.quantity.activated.emit(1)
    np.testing.assert_array_equal(layer.data, segmentation.responsibility(1))
    assert layer.contrast_limits == [0, 1] and layer.name.startswith("field – responsibility")
    prototypes.quantity.setCurrentIndex(2)
    prototypes.quantity.activated.emit(2)
    limits = list(layer.contrast_limits)
    assert limits == pytest.approx(segmentation.log_likelihood_limits())
    prototypes.choose(3)
    assert list(layer.contrast_limits) == limits
    assert np.isfinite(layer.data).all()
    if hasattr(layer, "colorbar"):
        assert layer.colorbar.visible


def test_pin_keeps_the_map(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    click(qtbot, prototypes.gallery.row(2))
    active = viewer.layers.selection.active
    click(qtbot, prototypes.pin)
    (pinned,) = by_role(viewer, "pinned 2")
    kept = pinned.data.copy()
    click(qtbot, prototypes.gallery.row(0))
    np.testing.assert_array_equal(pinned.data, kept)
    assert viewer.layers.selection.active is active


def test_patches_are_enlarged_in_a_tooltip(prototypes: Any) -> None:
    strip = prototypes.gallery.rows[0].patches
    assert "No example patches" in strip.tooltip_html()
    patches = np.full((5, 48, 48, 3), 90, np.uint8)
    prototype = Prototype("<soil>", 0, patches, np.array([0, 1]))
    strip.show_prototype(prototype, prototypes.state.current.segmentation.classes)
    html = strip.tooltip_html()
    assert html.count("data:image/png;base64,") == 5 and "&lt;soil&gt;" in html
    assert html.count("not labelled") == 3


def test_health_is_told_in_words(prototypes: Any, wait: Any) -> None:
    prototypes.state.model.prototypes[1].patch_labels = np.array([1, 1, 1])
    prototypes.refresh()
    prototypes.choose(1)
    assert not prototypes.gallery.row(1).mark.isHidden()
    assert prototypes.gallery.row(0).mark.isHidden()
    assert "“plant”" in prototypes.gallery.row(1).mark.toolTip()
    assert "turn it off" in prototypes.edit_panel.findings.text()


def test_everything_has_a_tooltip(prototypes: Any) -> None:
    parts = [*prototypes.findChildren(QAbstractButton), *prototypes.findChildren(QComboBox)]
    ours = [part for part in parts if not part.objectName().startswith("qt_")]
    silent = [
        part
        for part in ours
        if not part.toolTip() and type(part.parent()).__name__ not in ("QTabBar",)
    ]
    assert len(ours) > 20 and not silent


def test_places_are_pictures_one_can_go_to(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    prototypes.tabs.setCurrentWidget(prototypes.places)
    view = prototypes.places.lists["novel"]
    qtbot.waitUntil(lambda: view.count() > 0, timeout=10_000)
    assert prototypes.places.lists["uncertain"].count() > 0
    item = view.item(0)
    y, x = item.data(Qt.ItemDataRole.UserRole)
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualItemRect(item).center())
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((y, x))
    assert camera.zoom >= 3
    assert (prototypes.why.explanation.y, prototypes.why.explanation.x) == (y, x)


def test_the_latent_space_is_drawn_and_can_be_clicked(prototypes: Any, qtbot: Any) -> None:
    prototypes.tabs.setCurrentWidget(prototypes.space)
    qtbot.waitUntil(lambda: prototypes.space.view is not None, timeout=30_000)
    view = prototypes.space.view
    assert "principal components" in prototypes.space.caption.text()
    for m in range(4):
        place = view.position_of(m)
        nearest = view.prototype_at(place)
        qtbot.mouseClick(view.viewport(), LEFT, pos=place)
        assert prototypes.state.prototype == nearest == m


def test_places_are_found_though_another_tab_was_looked_at_meanwhile(
    prototypes: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, started = insight.places_job, []

    def slow(*arguments: Any) -> Any:
        started.append(1)
        if len(started) == 1:
            while True:  # until it is cancelled
                yield
        return (yield from real(*arguments))

    monkeypatch.setattr(insight, "places_job", slow)
    prototypes.tabs.setCurrentWidget(prototypes.places)
    qtbot.waitUntil(lambda: bool(started), timeout=10_000)
    prototypes.tabs.setCurrentWidget(prototypes.space)
    qtbot.waitUntil(lambda: prototypes.space.view is not None, timeout=30_000)
    prototypes.tabs.setCurrentWidget(prototypes.places)
    qtbot.waitUntil(lambda: prototypes.places.lists["novel"].count() > 0, timeout=10_000)


def test_places_that_cannot_be_found_are_told(
    prototypes: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Any:
        yield
        raise ImageError("The image could not be read: open it again.")

    monkeypatch.setattr(insight, "places_job", failing)
    prototypes.tabs.setCurrentWidget(prototypes.places)
    qtbot.waitUntil(lambda: "open it again" in prototypes.status.text(), timeout=10_000)


def test_another_model_pins_a_layer_of_its_own(
    viewer: Any, prototypes: Any, dock: Any, run: Any, other_file: Path
) -> None:
    prototypes.choose(1)
    prototypes.pin.click()
    (pinned,) = by_role(viewer, "pinned 1")
    kept = pinned.data.copy()
    dock.models.choose_file(other_file)
    run(dock)
    prototypes.choose(1)
    prototypes.pin.click()
    np.testing.assert_array_equal(pinned.data, kept)
    other = prototypes.state.current.maps[MapRole.pinned(1)]
    assert other is not pinned and not np.array_equal(other.data, kept)


def test_cells_of_another_size_leave_one_map_in_view(
    viewer: Any, prototypes: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    prototypes.choose(1)
    assert prototypes.state.current.maps[MapRole("likelihood")].visible
    regions = tiny_model(partition="superpixel", region_size=8)
    dock.models.choose_file(save_model(regions, tmp_path / "regions"))
    run(dock)
    maps = by_role(viewer, "likelihood")
    now = prototypes.state.current.maps[MapRole("likelihood")]
    assert now.data.shape == (96, 128)
    assert [layer for layer in maps if layer.visible] == [now]
    prototypes.classes_button.click()
    assert not any(layer.visible for layer in maps)


def test_an_image_of_many_channels_is_shown_explained_and_looked_at(
    viewer: Any, prototypes: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 60, 80)).astype(np.uint8)
    source = viewer.add_image(
        pixels, name="bands", scale=(1, 0.5, 2), translate=(0, 7, -3), rotate=(0, 0, 0)
    )
    dock.models.choose_file(save_model(tiny_model(channels=5), tmp_path / "five"))
    dock.images.choose(source)
    run(dock)
    result = prototypes.state.current
    assert result.source is source and result.labels.data.shape == (60, 80)
    for point in ((0, 0), (31, 47)):
        expected = source.data_to_world((0, *point))[-2:]
        assert result.labels.data_to_world(point)[-2:] == pytest.approx(expected)
    prototypes.choose(1)
    assert by_role(viewer, "likelihood")[-1].data.shape == (15, 20)
    prototypes.tabs.setCurrentWidget(prototypes.places)
    qtbot.waitUntil(lambda: prototypes.places.lists["novel"].count() > 0, timeout=10_000)
    prototypes.go_to(31, 47)
    assert (prototypes.why.explanation.y, prototypes.why.explanation.x) == (31, 47)
    centre = getattr(viewer, "scene", viewer).camera.center[-2:]
    assert centre == pytest.approx(source.data_to_world((0, 31, 47))[-2:])
    prototypes.edit_panel.brush.click()
    assert by_role(viewer, "new prototype")[-1].data.shape == (60, 80)


def test_a_closed_dock_lets_go(
    viewer: Any, prototypes: Any, wait: Any, dock: Any, run: Any
) -> None:
    prototypes.why_panel.button.setChecked(True)
    before = len(viewer.mouse_drag_callbacks)
    viewer.window.remove_dock_widget(prototypes)
    prototypes.close()
    assert len(viewer.mouse_drag_callbacks) == before - 1
    run(dock)
    assert dock.status.text().startswith("Done in")


def test_a_closed_dock_listens_no_more(viewer: Any, dock: Any, run: Any, qtbot: Any) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    widget = PrototypesWidget(viewer)
    frame = viewer.window.add_dock_widget(widget, name="Prototypes", area="right")
    others = list(viewer.mouse_drag_callbacks)
    widget.why_panel.button.setChecked(True)
    assert list(viewer.mouse_drag_callbacks) != others
    gone = []
    widget.destroyed.connect(lambda: gone.append(True))
    frame.destroyOnClose()
    qtbot.waitUntil(lambda: bool(gone), timeout=10_000)
    assert list(viewer.mouse_drag_callbacks) == others
    dock.state.select_prototype(1)  # nobody is there to hear it
    run(dock)


def test_a_small_window_shows_three_rows(
    viewer: Any, prototypes: Any, shown: None, qtbot: Any
) -> None:
    viewer.window.resize(1280, 720)
    gallery, room = prototypes.gallery, {}
    for panel in (prototypes.why_panel, prototypes.edit_panel, prototypes.why_panel):
        prototypes.tabs.setCurrentWidget(panel)
        qtbot.wait(50)
        room[panel] = gallery.viewport().height()
        assert room[panel] >= 3 * gallery.rows[0].height()
        assert panel.height() >= panel.minimumSizeHint().height()  # nothing is cut off
    # The gallery has what the open tab does not need, here as long as nothing is explained.
    assert room[prototypes.why_panel] > room[prototypes.edit_panel]
