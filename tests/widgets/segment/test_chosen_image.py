"""The Segment panel belongs to the image that is chosen, whatever ended or was opened meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from qtpy.QtGui import QPalette

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.widgets.layers.class_layers import show_classes
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import by_role, pick


def test_a_dock_opened_later_offers_what_there_is(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    dock.extras["novelty"].setChecked(True)
    run(dock)
    dock.state.select_prototype(2)
    again = SegmentWidget(viewer)
    viewer.window.add_dock_widget(again, name="Segment again", area="right")
    viewer.window.show()
    chooser = again.likelihood.chooser
    assert again.likelihood.isEnabled() and chooser.count() == 4
    assert chooser.currentIndex() == 2
    # A link in the colour of the text around it, which comes with napari's style.
    ink = again.maps.palette().color(QPalette.ColorRole.WindowText).name()
    assert ink in again.maps.names.text() and ink != "#000000"


def test_the_result_goes_to_the_image_chosen_at_the_start(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    first = viewer.add_image(two_tone(80, 90)[0], name="first")
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        viewer.add_image(two_tone(40, 50)[0], name="second")
    assert dock.state.current.source is first
    assert by_role(viewer, "labels")[0].data.shape == (80, 90)


def test_a_run_that_ends_beside_another_image_is_told_by_name(
    viewer: Any, dock: Any, run: Any, qtbot: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    second = viewer.add_image(two_tone()[0][::-1].copy(), name="second")
    dock.images.choose(first)
    active = viewer.layers.selection.active
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        dock.images.choose(second)
    assert first in dock.state.results and "“first”" in dock.status.text()
    assert not dock.likelihood.isEnabled() and dock.cover.isHidden()
    assert viewer.layers.selection.active is active
    dock.images.choose(first)
    assert dock.likelihood.isEnabled() and dock.likelihood.chooser.count() == 4
    # Where both have a result, the panel belongs to the chosen one.
    dock.images.choose(second)
    run(dock)
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        dock.images.choose(first)
    assert dock.state.current.source is first and dock.likelihood.isEnabled()


def test_the_brush_never_paints_a_class_that_there_is_not(viewer: Any) -> None:
    layer = viewer.add_labels(np.zeros((4, 5), np.uint8))
    provenance = Provenance.of(tiny_model().card, torch.device("cpu"), None)
    for count, brush in ((4, 1), (2, 2), (3, 2)):
        classes = [SegmentationClass(name=str(c), color="#00ff00") for c in range(count)]
        show_classes(layer, classes, provenance)
        assert layer.selected_label == brush
        if count == 4:
            layer.selected_label = 4


def test_an_image_that_is_picked_is_in_view_with_its_layers_alone(
    viewer: Any, dock: Any, run: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    run(dock)
    classes = dock.state.current.labels
    other = viewer.add_labels(classes.data.copy(), name="mine")
    second = viewer.add_image(two_tone()[0][::-1].copy(), name="second")
    apart = viewer.add_image(two_tone()[0], name="apart", translate=(5000, 0))

    pick(dock, second)
    assert second.visible and apart.visible and other.visible
    assert not first.visible and not classes.visible
    run(dock)
    pick(dock, first)
    assert first.visible and classes.visible
    assert not second.visible and not dock.state.results[second].labels.visible
    viewer.layers.remove(second)
    second = viewer.add_image(two_tone()[0], name="red", blending="additive")
    pick(dock, second)
    assert first.visible, "channels are looked at together"


def test_an_image_that_is_opened_is_the_one_that_is_segmented_next(
    viewer: Any, dock: Any, run: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    run(dock)
    second = viewer.add_image(two_tone(seed=1)[0], name="second")
    assert dock.images.image() is second
    assert not dock.likelihood.isEnabled() and dock.cover.isHidden()
    run(dock)
    assert dock.state.current.source is second
    # Neither layers of the plugin nor another name change the choice, and a removal leads back.
    dock.images.choose(first)
    dock.likelihood.pin.click()
    second.name = "renamed"
    assert dock.images.image() is first
    viewer.layers.remove(first)
    assert dock.images.image() is second


def test_an_image_that_is_opened_during_a_run_is_told_of(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        viewer.add_image(two_tone(seed=1)[0], name="second")
    assert dock.images.image() is first and dock.state.current.source is first
    told = "“second” was opened meanwhile: choose it above to go on with it."
    assert dock.status.text().startswith("Done") and dock.status.text().endswith(told)
    dock.images.setCurrentText("second")
    dock.images.choose(first)
    assert dock.images.passed == ""


def test_the_hidden_mask_of_a_sample_is_not_the_active_layer(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    image = viewer.add_image(two_tone()[0], name="sample")
    mask = viewer.add_labels(two_tone()[1], name="sample mask", visible=False)
    qtbot.waitUntil(lambda: viewer.layers.selection.active is image, timeout=5_000)
    seen = viewer.add_labels(two_tone()[1], name="mine")
    qtbot.wait(50)
    assert viewer.layers.selection.active is seen
    # One that was opened before the dock is left, too.
    viewer.layers.selection.active = mask
    viewer.window.add_dock_widget(SegmentWidget(viewer), name="Segment again", area="right")
    assert viewer.layers.selection.active is image
