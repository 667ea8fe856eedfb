"""The Prototypes dock in a real viewer: what an answer depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.explain.dependence import dependence
from napari_gaussproto.core.model.maps import NOVELTY
from tests.core.builders import two_tone
from tests.widgets.docks import by_role, click, labels_of


@pytest.fixture
def finish(prototypes: Any, qtbot: Any) -> Any:
    """Press the button and wait for the map."""

    def press() -> Any:
        click(qtbot, prototypes.why_panel.dependence.button)
        qtbot.waitUntil(lambda: not prototypes.why.dependence.runner.running, timeout=60_000)
        (layer,) = [la for la in by_role(prototypes.viewer, "dependence") if la.visible]
        return layer

    return press


def test_the_button_says_why_it_cannot_be_pressed(viewer: Any, prototypes: Any) -> None:
    panel = prototypes.why_panel
    button, first = panel.dependence.button, "It needs an answer first. "
    assert not button.isEnabled() and button.toolTip().startswith(f"{first}Press Why? and click")
    panel.button.click()  # who presses it again stops asking
    assert button.toolTip().startswith(f"{first}Click a place in the image")
    prototypes.why.ask((), 41, 66)
    assert button.isEnabled() and button.text() == "Show what it depends on"
    prototypes.why.reset()
    assert not button.isEnabled()
    viewer.add_image(two_tone(seed=1)[0], name="B")
    assert button.toolTip().startswith(f"{first}B is not segmented yet")


def test_the_map_is_shown_in_the_place_of_the_classes(
    viewer: Any, prototypes: Any, finish: Any, qtbot: Any
) -> None:
    panel, labels = prototypes.why_panel.dependence, labels_of(prototypes)
    prototypes.why.ask((), 41, 66)
    active = viewer.layers.selection.active
    layer = finish()
    state = prototypes.state
    expected = dependence(two_tone()[0], state.model, state.current.segmentation.planes[0], 41, 66)
    np.testing.assert_allclose(layer.data, expected.levels, atol=1e-4)
    assert panel.sentence.text() == expected.sentence and panel.sentence.isVisibleTo(panel)
    assert f"(y {expected.y}, x {expected.x})" in layer.name
    assert not labels.visible and layer.colorbar.visible
    assert viewer.layers.selection.active is active
    assert "1: the answer depends on it most" in viewer.text_overlay.text
    # The button takes it away and brings it back, without computing it again.
    click(qtbot, panel.button)
    assert not layer.visible and labels.visible and panel.sentence.text() == ""
    click(qtbot, panel.button)
    assert layer.visible and not labels.visible and not prototypes.why.dependence.runner.running
    # It belongs to its place: another one has none yet, and uses the layer again.
    prototypes.why.ask((), 20, 30)
    assert not layer.visible and labels.visible
    assert panel.button.text() == "Show what it depends on"
    assert finish() is layer and "(y 22, x 30)" in layer.name
    # A prototype that is chosen is shown, and classes do not cover it.
    prototypes.choose(1)
    (map_of_prototype,) = by_role(viewer, "likelihood")
    assert map_of_prototype.visible and not layer.visible and not labels.visible


def test_cancel_stops_and_leaves_nothing(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    panel, part = prototypes.why_panel.dependence, prototypes.why.dependence
    prototypes.why.ask((), 41, 66)
    click(qtbot, panel.button)
    assert panel.button.text() == "Cancel" and panel.progress.isVisibleTo(panel)
    qtbot.waitUntil(lambda: panel.progress.value() > 0, timeout=30_000)
    click(qtbot, panel.button)
    assert not part.runner.running and panel.button.text() == "Show what it depends on"
    assert not panel.progress.isVisibleTo(panel)
    qtbot.waitUntil(lambda: not part.runner.busy, timeout=10_000)
    assert not by_role(viewer, "dependence") and labels_of(prototypes).visible
    # Asking about another place is a cancel, too.
    click(qtbot, panel.button)
    prototypes.why.ask((), 20, 30)
    assert not part.runner.running


def test_an_edit_makes_the_map_one_of_before(
    viewer: Any, prototypes: Any, finish: Any, wait: Any
) -> None:
    prototypes.why.ask((), 41, 66)
    layer = finish()
    leader = prototypes.why.explanation.responsible[0].index
    prototypes.edits.switch(leader, False)
    wait()
    assert not layer.visible
    assert prototypes.why_panel.dependence.button.text() == "Show what it depends on"


def test_a_map_that_is_removed_gives_the_classes_back(
    viewer: Any, prototypes: Any, finish: Any, photo: Any
) -> None:
    prototypes.why.ask((), 41, 66)
    viewer.layers.remove(finish())
    assert labels_of(prototypes).visible
    layer = finish()
    layer.visible = False  # by the eye in napari's list
    assert prototypes.why_panel.dependence.button.text() == "Show what it depends on"
    viewer.layers.remove(photo)
    assert not prototypes.why_panel.dependence.button.isEnabled()


@pytest.mark.parametrize("kind", ["shrunk", "cropped", "turned", "pyramid", "stack"])
def test_the_map_lies_where_the_image_lies(
    viewer: Any, prototypes: Any, dock: Any, run: Any, finish: Any, kind: str
) -> None:
    image, look = two_tone(90, 120, 3)[0], {"scale": (0.5, 0.5)}
    data: Any = image
    if kind == "cropped":
        data, look = image[10:, 20:], {"translate": (10, 20)}
    elif kind == "turned":
        look = {"scale": (2, 3), "rotate": 30, "translate": (7, -40), "shear": [0.2]}
    elif kind == "pyramid":
        data, look = [image, image[::2, ::2]], {"multiscale": True}
    elif kind == "stack":
        data, look = np.stack([image, image[::-1]]), {"scale": (3, 2, 2)}
    layer = viewer.add_image(data, name=kind, rgb=True, **look)
    dock.images.choose(layer)
    run(dock)
    leading = (1,) if kind == "stack" else ()
    prototypes.why.ask(leading, 41, 66)
    shown = finish()
    found = dependence(
        image[::-1] if kind == "stack" else (data[0] if kind == "pyramid" else data),
        prototypes.state.model, prototypes.state.current.segmentation.plane_at(leading), 41, 66,
    )  # fmt: skip
    assert shown.data.shape == (1,) * len(leading) + found.share.shape
    # The middle of an element is the middle of the pixels that it stands for.
    for row, column in ((0, 0), (3, 5), (10, 2)):
        y = found.top + found.pixel_size * (row + 0.5) - 0.5
        x = found.left + found.pixel_size * (column + 0.5) - 0.5
        here = shown.data_to_world((0,) * len(leading) + (row, column))
        np.testing.assert_allclose(here, layer.data_to_world((*leading, y, x)), atol=1e-6)


def test_other_maps_come_back(prototypes: Any, dock: Any, run: Any, finish: Any) -> None:
    dock.extras["novelty"].setChecked(True)
    run(dock)
    dock.maps.toggle(NOVELTY)
    (novelty,) = by_role(prototypes.viewer, "novelty")
    assert novelty.visible
    prototypes.why.ask((), 41, 66)
    finish()
    assert not novelty.visible
    prototypes.why.dependence.press()
    assert novelty.visible and not labels_of(prototypes).visible
