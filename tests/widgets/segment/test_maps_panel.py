"""Maps that explain themselves: words on the canvas, and in the dock what a run added."""

from __future__ import annotations

from typing import Any

import pytest

from napari_gaussproto.core.model.maps import NOVELTY
from napari_gaussproto.jobs.train_image import Stage
from napari_gaussproto.widgets.layers.captions import canvas_text
from napari_gaussproto.widgets.layers.legends import ENOUGH_STROKES, sentence_of
from tests.core.builders import two_tone
from tests.widgets.docks import by_role


@pytest.fixture
def ran(viewer: Any, dock: Any, run: Any) -> Any:
    """The dock after a run that added every map."""
    viewer.add_image(two_tone()[0], name="field")
    for box in dock.extras.values():
        box.setChecked(True)
    run(dock)
    return dock


def shown(viewer: Any) -> set[str]:
    roles = ("labels", "likelihood", "novelty", "uncertainty", "probability 1", "stack")
    return {role for role in roles for layer in by_role(viewer, role) if layer.visible}


def click(dock: Any, role: str) -> None:
    dock.maps.names.linkActivated.emit(role)


def test_after_a_run_the_dock_names_the_maps_that_it_added(
    viewer: Any, dock: Any, run: Any
) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    assert dock.maps.isHidden()
    dock.extras["novelty"].setChecked(True)
    dock.extras["probability"].setChecked(True)
    run(dock)
    text = dock.maps.names.text()
    assert dock.maps.isVisibleTo(dock)
    assert "novelty" in text and "probability of plant" in text and "uncertainty" not in text
    assert "click one to show it" in text and "<b>" not in text


def test_a_click_shows_one_map_alone_and_says_what_it_is(viewer: Any, ran: Any) -> None:
    assert shown(viewer) == {"labels"}
    click(ran, "novelty")
    assert shown(viewer) == {"novelty"}
    assert "more familiar" in ran.maps.meaning.text() and "<b>" in ran.maps.names.text()
    click(ran, "probability 1")
    assert shown(viewer) == {"probability 1"}
    assert "surely plant" in ran.maps.meaning.text()
    click(ran, "probability 1")
    assert shown(viewer) == {"labels"} and ran.maps.meaning.isHidden()
    click(ran, "uncertainty")
    ran.likelihood.classes.click()
    assert shown(viewer) == {"labels"}
    click(ran, "uncertainty")
    ran.likelihood.likelihood.click()
    assert shown(viewer) == {"likelihood"}


def test_a_new_run_keeps_the_map_in_view(viewer: Any, ran: Any, run: Any) -> None:
    click(ran, "novelty")
    run(ran)
    assert shown(viewer) == {"novelty"}


def test_a_removed_map_is_not_named_any_more(viewer: Any, ran: Any) -> None:
    click(ran, "novelty")
    viewer.layers.remove(by_role(viewer, "novelty")[0])
    assert "novelty" not in ran.maps.names.text() and ran.maps.meaning.isHidden()


def test_a_map_in_view_has_a_title_and_words_at_both_ends(viewer: Any, ran: Any) -> None:
    overlay = canvas_text(viewer)
    assert not overlay.visible
    click(ran, "novelty")
    title, high, low = overlay.text.splitlines()
    assert overlay.visible and title == "field – novelty"
    assert high.startswith("1: unlike") and low.startswith("0: like")
    assert by_role(viewer, "novelty")[0].colorbar.visible
    click(ran, "uncertainty")
    assert overlay.text.startswith("field – uncertainty")
    click(ran, "uncertainty")
    assert not overlay.visible


def test_a_text_that_a_person_put_on_the_canvas_stays(viewer: Any, ran: Any) -> None:
    overlay = canvas_text(viewer)
    overlay.text, overlay.visible = "plot 7", True
    click(ran, "novelty")
    assert overlay.text == "plot 7"


def test_the_slider_of_the_stack_names_its_prototype(viewer: Any, ran: Any) -> None:
    ran.likelihood.as_stack.trigger()
    names = [prototype.name for prototype in ran.state.current.segmentation.prototypes]
    (stack,) = by_role(viewer, "stack")
    for place in (2, 0):
        viewer.dims.set_current_step(0, place)
        assert viewer.dims.axis_labels[0] == names[place]
        assert canvas_text(viewer).text.startswith(f"{stack.name}: {names[place]}")
    stack.visible = False
    assert viewer.dims.axis_labels[0] == "prototype"


def test_a_run_says_what_it_does(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0], name="field")
    said: list[Any] = []
    dock.runner.progressed.connect(said.append)
    run(dock)
    stages = [step.text for step in said if isinstance(step, Stage)]
    assert stages == ["Loading the model", "Segmenting", "Computing the maps"]
    said.clear()
    run(dock)
    assert [step.text for step in said if isinstance(step, Stage)] == stages[1:]


def test_after_few_strokes_the_dock_says_what_novelty_is_worth(viewer: Any, ran: Any) -> None:
    ran.state.current.model.card.log("quick fit", strokes=ENOUGH_STROKES - 1)
    click(ran, "novelty")
    assert "only its order" in ran.maps.meaning.text()
    segmentation = ran.state.current.segmentation
    assert "only its order" not in sentence_of(NOVELTY, segmentation, ENOUGH_STROKES)
    assert "only its order" not in sentence_of(NOVELTY, segmentation, None)


def test_the_radio_buttons_say_what_is_in_view(viewer: Any, ran: Any, run: Any) -> None:
    panel = ran.likelihood
    assert panel.classes.isChecked() and panel.other.isHidden()
    click(ran, "novelty")
    assert panel.other.isChecked() and panel.other.text() == "Novelty"
    assert panel.other.isVisibleTo(ran) and not panel.classes.isChecked()
    ran.state.show(quantity="responsibility")
    assert panel.other.isChecked()
    run(ran)
    assert panel.other.isChecked() and shown(viewer) == {"novelty"}
    panel.classes.click()
    assert panel.classes.isChecked() and panel.other.isHidden()
    click(ran, "probability 1")
    assert panel.other.text() == "Probability of plant"
    panel.likelihood.click()
    assert panel.likelihood.isChecked() and panel.other.isHidden()
    click(ran, "novelty")
    # With the eyes of the layer list, too.
    by_role(viewer, "labels")[0].visible = True
    assert panel.classes.isChecked() and panel.other.isHidden()
    by_role(viewer, "labels")[0].visible = False
    assert panel.other.isChecked()
    by_role(viewer, "novelty")[0].visible = False
    assert panel.classes.isChecked()


def test_pin_says_where_the_map_is(viewer: Any, ran: Any) -> None:
    ran.likelihood.pin.click()
    (layer,) = by_role(viewer, "pinned 0")
    said = f"This map is kept as the layer “{layer.name}”, hidden: its eye in the layer list"
    assert ran.status.text() == f"{said} shows it."
    layer.visible = True
    ran.likelihood.pin.click()
    assert ran.status.text() == f"This map was kept before as the layer “{layer.name}”."


def test_outlines_of_cells_wait_to_be_shown(viewer: Any, ran: Any, run: Any) -> None:
    (lines,) = by_role(viewer, "outlines")
    assert not lines.visible and "cells" in ran.maps.names.text()
    click(ran, "outlines")
    assert lines.visible and "Zoom in where" in ran.maps.meaning.text()
    run(ran)
    assert lines.visible, "who shows them wants to see them after the next run"
