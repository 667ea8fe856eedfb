"""The Prototypes dock in a real viewer: why a place has its class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from skimage.segmentation import flood

from napari_gaussproto.core.explain.explain import explain
from napari_gaussproto.jobs import insight
from napari_gaussproto.widgets.layers.clicks import pixel_at
from napari_gaussproto.widgets.prototypes.why_panel import WhyPanel
from napari_gaussproto.widgets.prototypes.why_tool import image_at
from tests.core.builders import two_tone
from tests.widgets.docks import LEFT, by_role, canvas_point, click, labels_of, pick


def test_clicking_the_canvas_explains_the_cell(
    viewer: Any, prototypes: Any, qtbot: Any, shown: None
) -> None:
    native = viewer.window._qt_viewer.canvas.native
    click(qtbot, prototypes.why_panel.button)
    qtbot.mouseMove(native, canvas_point(viewer, (41, 66)))
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    found = prototypes.why.explanation
    assert found is not None
    assert abs(found.y - 41) <= 1 and abs(found.x - 66) <= 1
    first = prototypes.why_panel.rows[0]
    assert first.name.text() == found.reasons[0].name
    assert found.familiarity == prototypes.why_panel.novelty.text()
    (outline,) = by_role(viewer, "why")
    bright = outline.data[outline.edge_color[:, 0] == 1]
    corners = np.concatenate([bright[:, 0], bright.sum(1)])
    half = outline.edge_width / 2
    assert corners.min(0) == pytest.approx([found.top - 0.5 - half, found.left - 0.5 - half])
    count = len(viewer.layers)
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (20, 30)))
    assert prototypes.why.explanation is not found
    assert len(viewer.layers) == count  # the outline's layer is used again
    # Clicking a prototype of the explanation chooses it.
    click(qtbot, first)
    assert prototypes.state.prototype == first.index
    # Switched off, a click is only a click.
    last = prototypes.why.explanation
    click(qtbot, prototypes.why_panel.button)
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (60, 90)))
    assert prototypes.why.explanation is last
    listening = [*viewer.mouse_drag_callbacks, *viewer.mouse_move_callbacks]
    assert not any(getattr(call, "__self__", None) is prototypes.why.tool for call in listening)


def test_the_outline_survives_an_empty_viewer(
    viewer: Any, prototypes: Any, dock: Any, run: Any, qtbot: Any, shown: None
) -> None:
    # Paths of a Shapes layer crash here, with napari 0.9.2.
    prototypes.why.ask((), 41, 66)
    (outline,) = by_role(viewer, "why")
    assert type(outline).__name__ == "Vectors"
    prototypes.why.reset()
    assert len(outline.data) == 0
    prototypes.why.ask((), 41, 66)
    assert len(outline.data) and outline.visible
    qtbot.wait(100)
    viewer.layers.clear()
    qtbot.wait(100)
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    prototypes.why.ask((), 41, 66)
    assert len(by_role(viewer, "why")) == 1


def test_an_image_without_a_result_is_not_explained_by_another(
    viewer: Any,
    prototypes: Any,
    photo: Any,
    dock: Any,
    run: Any,
    qtbot: Any,
    shown: None,
) -> None:
    assert prototypes.image_name.text() == "Image: field"
    photo.name = "plot 7"
    assert prototypes.image_name.text() == "Image: plot 7"
    native = viewer.window._qt_viewer.canvas.native
    click(qtbot, prototypes.why_panel.button)
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    assert prototypes.why.explanation is not None
    other = viewer.add_image(two_tone(60, 80)[0], name="B <1>")
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    assert prototypes.why.explanation is None
    heading = prototypes.why_panel.heading.text()
    assert heading.startswith("B &lt;1&gt; is not segmented yet: choose it in the Segment dock")
    # Beside it, and where it is hidden, the image below is seen.
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (80, 100)))
    assert prototypes.why.explanation is not None
    other.visible = False
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    assert prototypes.why.explanation.y in (40, 41, 42)
    other.visible = True
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (41, 66)))
    assert "is not segmented yet" in prototypes.why_panel.heading.text()
    dock.images.choose(other)
    run(dock)
    assert prototypes.why_panel.heading.text().startswith("Click a place in the image")
    assert prototypes.image_name.text() == "Image: B <1>"
    viewer.layers.selection.active = None
    # A click on an image that has a result speaks about that one.
    qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (80, 100)))
    assert prototypes.state.current.source is photo
    assert prototypes.image_name.text() == "Image: plot 7"
    assert prototypes.why.explanation is not None


def test_the_dock_says_whose_figures_stay_while_another_image_is_chosen(
    viewer: Any, prototypes: Any, photo: Any, dock: Any, run: Any
) -> None:
    heading, name = prototypes.why_panel.heading, prototypes.image_name
    other = viewer.add_image(two_tone(60, 80)[0], name="B")
    about = "Image: field. The chosen one, “B”, is not segmented yet: press Segment"
    assert dock.images.image() is other and name.text().startswith(about)
    assert heading.text().startswith("B is not segmented yet")
    pick(dock, photo)
    assert name.text() == "Image: field" and heading.text().startswith("Press Why?")
    prototypes.why.ask((), 41, 66)
    asked = heading.text()
    pick(dock, other)
    assert name.text().startswith(about) and heading.text() == asked  # of the image named above
    run(dock)
    assert name.text() == "Image: B"
    third = viewer.add_image(two_tone(60, 80)[0], name="C")
    assert name.text().startswith("Image: B. The chosen one, “C”")
    viewer.layers.remove(third)
    assert dock.state.image is other and name.text() == "Image: B"


def test_the_dock_lets_go_of_an_image_that_is_removed(
    viewer: Any, prototypes: Any, photo: Any, dock: Any, run: Any
) -> None:
    other = viewer.add_image(two_tone(60, 80)[0], name="other")
    dock.images.choose(other)
    run(dock)
    prototypes.why.ask((), 20, 30)
    viewer.layers.remove(other)
    assert prototypes.state.current.source is photo
    assert prototypes.image_name.text() == "Image: field"
    assert prototypes.why.explanation is None
    prototypes.why_panel.button.setChecked(True)
    prototypes.why.ask((), 20, 30)
    viewer.layers.remove(photo)
    assert prototypes.state.current is None and prototypes.why.explanation is None
    assert prototypes.empty.isVisibleTo(prototypes)
    assert not prototypes.why.tool.on


def test_dragging_moves_the_image_and_asks_nothing(
    viewer: Any, prototypes: Any, qtbot: Any, shown: None
) -> None:
    native = viewer.window._qt_viewer.canvas.native
    click(qtbot, prototypes.why_panel.button)
    start, end = canvas_point(viewer, (41, 66)), canvas_point(viewer, (60, 90))
    qtbot.mousePress(native, LEFT, pos=start)
    qtbot.mouseMove(native, end)
    qtbot.mouseMove(native, end + QPoint(1, 1))
    qtbot.mouseRelease(native, LEFT, pos=end)
    assert prototypes.why.explanation is None


def test_shift_explains_under_the_mouse(viewer: Any, prototypes: Any) -> None:
    prototypes.why_panel.button.setChecked(True)

    class Event:
        modifiers = ("Shift",)
        position = (41.0, 66.0)

    plain = Event()
    plain.modifiers = ()
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, plain)
    assert prototypes.why.explanation is None
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, Event())
    found = prototypes.why.explanation
    assert (found.y, found.x) == (41, 66)
    beside = Event()
    beside.position = (42.0, 67.0)  # the same cell: nothing to do
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, beside)
    assert prototypes.why.explanation is found


def test_the_tool_lays_the_brush_down_and_takes_it_up(
    viewer: Any, prototypes: Any, qtbot: Any
) -> None:
    layer = labels_of(prototypes)
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    before = layer.data.copy()
    click(qtbot, prototypes.why_panel.button)
    assert str(layer.mode) == "pan_zoom"
    click(qtbot, prototypes.why_panel.button)
    assert str(layer.mode) == "paint"
    np.testing.assert_array_equal(layer.data, before)


def test_a_region_is_explained_as_a_whole(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    labels = labels_of(prototypes).data
    y, x = np.argwhere(labels == 2)[40]
    prototypes.why_panel.component.setChecked(True)
    with qtbot.waitSignal(prototypes.why.runner.finished, timeout=10_000):
        prototypes.why.tool.asked.emit((), int(y), int(x))
    found = prototypes.why.explanation
    assert found.is_mask and found.label == 1
    height, width = found.mask.shape
    inside = labels[found.top : found.top + height, found.left : found.left + width]
    assert (inside[found.mask] == 2).all() and found.mask[y - found.top, x - found.left]
    assert found.mask.sum() == flood(labels, (y, x), connectivity=2).sum()
    assert prototypes.why_panel.heading.text().startswith("This region is")
    # The outline of a cell has fewer sides, and napari draws them at once.
    (outline,) = by_role(viewer, "why")
    sides = len(outline.data)
    prototypes.why.ask((), int(y), int(x))
    assert 0 < len(outline.data) < sides and len(outline.edge_color) == len(outline.data)


def test_a_click_shows_at_once_that_an_answer_is_on_its_way(
    viewer: Any, prototypes: Any, qtbot: Any, shown: None
) -> None:
    native, panel = viewer.window._qt_viewer.canvas.native, prototypes.why_panel
    panel.component.setChecked(True)
    click(qtbot, panel.button)
    for y, x in ((41, 66), (20, 30)):
        former = prototypes.why.explanation
        qtbot.mouseClick(native, LEFT, pos=canvas_point(viewer, (y, x)))
        # In the same turn of the loop: no thread can have told anything yet.
        assert panel.heading.text() == "Finding out what this place is like…"
        (mark,) = by_role(viewer, "why")
        middle = (mark.data[:, 0] + mark.data[:, 1] / 2).mean(0)
        assert np.abs(middle - (y, x)).max() <= 1
        # The former answer stays in its place, but nothing of it can be pressed.
        assert panel.export.isVisible() == (former is not None) and not panel.export.isEnabled()
        qtbot.waitUntil(lambda: not prototypes.why.runner.running, timeout=10_000)
        assert prototypes.why.explanation is not former and panel.export.isEnabled()
        assert panel.heading.text().startswith("This region is")


def test_an_answer_that_fails_leaves_no_waiting_behind(
    viewer: Any, prototypes: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*about: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(insight, "component_job", fail)
    with qtbot.waitSignal(prototypes.why.runner.finished, timeout=10_000):
        prototypes.why.ask((), 41, 66, component=True)
    assert "memory" in prototypes.status.text().lower()
    assert prototypes.why_panel.heading.text().startswith("Press Why?")
    assert not len(by_role(viewer, "why")[0].data)


def test_a_new_dock_explains_regions_first() -> None:
    panel = WhyPanel()
    assert panel.component.isChecked() and not panel.cell.isChecked()


@pytest.mark.parametrize("pure", [True, False])
def test_the_reasons_are_of_the_class_that_they_explain(prototypes: Any, pure: bool) -> None:
    segmentation = prototypes.state.current.segmentation
    panel, classes = prototypes.why_panel, segmentation.classes
    found = explain(segmentation.planes[0], 41, 66)
    own = [part for part in found.responsible if part.class_index == found.label]
    others = [part for part in found.responsible if part.class_index != found.label]
    shares = (0.8, 0.1, 0.1, 0.001) if pure else (0.4, 0.003, 0.5, 0.097)
    parts = [
        replace(part, responsibility=share, typicality=0.3)
        for part, share in zip([*own, *others], shares, strict=True)
    ]
    probability = np.zeros(2)
    for part in parts:
        probability[part.class_index] += part.responsibility
    found = replace(found, responsible=parts, class_probability=probability)
    panel.show_explanation(found, segmentation.prototypes, classes)
    rows = [row for row in panel.rows if row.isVisibleTo(panel)]
    # What has 0% has no row; what speaks against the class stands below words that say so.
    assert [row.percent.text() for row in rows] == (
        ["80%", "10%", "10%"] if pure else ["40%", "50%", "10%"]
    )
    assert "more typical than 30% of its own examples" in rows[0].closeness.text()
    leads = [row.lead.text() for row in rows if row.lead.isVisibleTo(panel)]
    assert leads == ["a small part" if pure else "and on the other side like"]
    heading = panel.heading.text()
    assert f"<b>{classes[found.label].name}</b>" in heading
    assert (f"<b>{classes[1 - found.label].name}</b>" in heading) == (not pure)


@pytest.mark.parametrize(("strokes", "warns"), [(3, True), (12, False), (None, False)])
def test_after_few_strokes_novelty_says_little(
    prototypes: Any, qtbot: Any, strokes: int | None, warns: bool
) -> None:
    if strokes is not None:
        prototypes.state.current.model.card.log("quick fit", strokes=strokes)
    prototypes.why.ask((), 41, 66)
    panel, places = prototypes.why_panel, prototypes.places
    prototypes.tabs.setCurrentWidget(places)
    qtbot.waitUntil(lambda: places.lists["novel"].count() > 0, timeout=10_000)
    for label, part in ((panel.caution, panel), (places.caution, places)):
        assert label.text().startswith("After 3 strokes, how novel") == warns
        assert label.isVisibleTo(part) == warns


def test_an_explanation_follows_an_edit(prototypes: Any, wait: Any) -> None:
    prototypes.why.ask((), 41, 66)
    leader = prototypes.why.explanation.responsible[0].index
    prototypes.edits.switch(leader, False)
    wait()
    again = prototypes.why.explanation
    assert (again.y, again.x) == (41, 66)
    assert leader not in [r.index for r in again.responsible]
    assert not prototypes.why_panel.rows[3].isVisibleTo(prototypes.why_panel)


def test_an_explanation_is_exported(prototypes: Any, qtbot: Any, tmp_path: Path) -> None:
    prototypes.why.ask((), 41, 66)
    with qtbot.waitSignal(prototypes.why.exporter.finished, timeout=30_000):
        prototypes.why.save_figure(tmp_path / "why.svg")
    drawn = (tmp_path / "why.svg").read_text()
    assert "Responsible prototypes" in drawn
    found, edition = prototypes.why.explanation, prototypes.state.model.card.edition
    name = prototypes.state.current.segmentation.classes[found.label].name
    assert f"field · row 41, column 66: {name} · {edition}" in drawn
    assert prototypes.status.text() == "Saved why.svg."
    prototypes.why.ask((), 30, 20)  # another place, of which nothing is saved
    assert prototypes.status.text() == ""
    with qtbot.waitSignal(prototypes.why.exporter.finished, timeout=30_000):
        prototypes.why.save_figure(tmp_path / "why.bmp")
    assert "choose PNG, SVG or PDF" in prototypes.status.text()


def test_points_are_found_under_any_transform(viewer: Any, prototypes: Any) -> None:
    result = prototypes.state.current
    source = result.source
    source.scale, source.translate, source.rotate = (0.5, 2.0), (10, -20), 30
    assert pixel_at(result, source.data_to_world((41, 66))) == ((), 41, 66)
    assert pixel_at(result, source.data_to_world((-3, 66))) is None


def test_a_stack_is_explained_on_the_plane_clicked(
    viewer: Any, prototypes: Any, dock: Any, run: Any, wait: Any
) -> None:
    stack = np.stack([two_tone(60, 80, seed)[0] for seed in range(3)])
    layer = viewer.add_image(stack, name="time", rgb=True, scale=(2, 1, 1))
    dock.images.choose(layer)
    run(dock)
    assert pixel_at(prototypes.state.current, (2.0, 20.0, 30.0)) == ((1,), 20, 30)
    prototypes.why.ask((1,), 20, 30)
    plane = prototypes.state.current.segmentation.planes[1]
    expected = explain(plane, 20, 30)
    assert prototypes.why.explanation.responsible == expected.responsible
    (outline,) = [la for la in by_role(viewer, "why") if la.ndim == 3]
    assert set(outline.data[:, 0, 0]) == {1.0} and set(outline.data[:, 1, 0]) == {0.0}
    np.testing.assert_allclose(outline.data_to_world((1, 20, 30)), layer.data_to_world((1, 20, 30)))
    prototypes.edits.switch(2, False)
    wait()
    assert labels_of(prototypes).data.shape == (3, 60, 80)


@pytest.mark.parametrize("painted", [0, 1, 9])
def test_strokes_on_the_result_do_not_change_what_the_model_said(
    prototypes: Any, wait: Any, painted: int
) -> None:
    layer, segmentation = labels_of(prototypes), prototypes.state.current.segmentation
    y, x = np.argwhere(layer.data == 2)[40]
    layer.brush_size = 6
    layer.paint((y, x), painted)
    assert layer.data[y, x] == painted
    prototypes.why.ask((), int(y), int(x))
    assert prototypes.why.explanation.label == 1 == segmentation.labels[y, x] - 1
    prototypes.edits.rename(0, "bare")
    wait()
    assert prototypes.state.undo.names == ["rename soil 1 to bare"]
    assert "No pixel changed" in prototypes.status.text()


def test_a_painted_place_says_what_was_painted_and_what_the_model_says(
    viewer: Any, prototypes: Any, train: Any
) -> None:
    result, panel = prototypes.state.current, prototypes.why_panel
    predicted = result.segmentation.labels
    y, x = np.argwhere(predicted == 1)[0].tolist()
    name, other = (result.segmentation.classes[c].name for c in (0, 1))
    prototypes.why.ask((), y, x)
    assert panel.painted.isHidden()
    result.labels.data_setitem((np.array([y]), np.array([x])), 2)
    prototypes.why.ask((), y, x)
    assert panel.painted.text() == (
        f"You painted this place as <b>{other}</b>; the model says <b>{name}</b>, and why:"
    )
    assert name in panel.heading.text() and panel.painted.isVisibleTo(panel)
    prototypes.why.ask((), y + 9, x + 9)
    assert panel.painted.isHidden()
    # A label of the Train dock counts more than a brush in the classes.
    annotation = train.annotations.annotate(result.source)
    place = train.annotations.classes.index(
        next(entry for entry in train.annotations.classes if entry.name == name)
    )
    annotation.layer.data_setitem((np.array([y]), np.array([x])), place + 1)
    prototypes.why.ask((), y, x)
    assert panel.painted.text().endswith(f"<b>{name}</b>, and the model says the same:")
    prototypes.why.reset()
    assert panel.painted.isHidden()


def test_an_image_of_many_channels_is_found_at_all_of_its_pixels(viewer: Any) -> None:
    viewer.add_image(np.zeros((50, 50), np.uint8), name="below")
    names = ("channel", "y", "x")
    bands = viewer.add_image(np.zeros((5, 40, 60), np.uint8), axis_labels=names, rgb=False)
    assert image_at(viewer, (0, 39, 59)) is bands
    assert image_at(viewer, (0, 40, 2)) is viewer.layers["below"]
