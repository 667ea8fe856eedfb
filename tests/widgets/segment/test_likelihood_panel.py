"""Maps of the Segment dock: one that follows the chosen prototype, pinned ones, and a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.model.model_file import save_model
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import by_role


def test_choosing_a_prototype_moves_one_layer(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    (layer,) = by_role(viewer, "likelihood")
    count = len(viewer.layers)
    dock.likelihood.chooser.setCurrentIndex(2)
    dock.likelihood.chooser.activated.emit(2)
    assert len(viewer.layers) == count
    expected = dock.state.current.segmentation.likelihood(2)
    np.testing.assert_array_equal(layer.data, expected)
    assert layer.visible and not by_role(viewer, "labels")[0].visible
    assert "plant 1" in layer.name


def test_pin_all_and_stack(viewer: Any, dock: Any, run: Any, qtbot: Any) -> None:
    viewer.add_image(two_tone()[0])
    run(dock)
    active = viewer.layers.selection.active
    dock.likelihood.pin.click()
    assert len(by_role(viewer, "pinned 0")) == 1
    dock.likelihood.as_layers.trigger()
    qtbot.waitUntil(lambda: all(by_role(viewer, f"pinned {m}") for m in range(4)), timeout=10_000)
    dock.likelihood.as_stack.trigger()
    (stack,) = by_role(viewer, "stack")
    assert stack.data.shape[0] == 4
    assert stack.axis_labels[0] == "prototype"
    assert viewer.layers.selection.active is active
    # Nothing else lies over or under the stack but the image.
    assert [layer for layer in viewer.layers if layer.visible] == [viewer.layers[0], stack]


def test_one_stack_however_often_it_is_asked_for(viewer: Any, dock: Any, run: Any) -> None:
    image = viewer.add_image(two_tone()[0])
    run(dock)
    dock.likelihood.as_stack.trigger()
    dock.likelihood.as_stack.trigger()
    (stack,) = by_role(viewer, "stack")
    before = stack.data.copy()
    image.data = image.data[::-1].copy()
    run(dock)
    (stack,) = by_role(viewer, "stack")
    assert not np.array_equal(stack.data, before)
    for m, shown in enumerate(stack.data):
        np.testing.assert_array_equal(shown, dock.state.current.segmentation.likelihood(m))


def test_no_map_of_an_earlier_run_looks_current(
    viewer: Any, dock: Any, run: Any, tmp_path: Path
) -> None:
    image = viewer.add_image(two_tone()[0], name="field")
    for box in dock.extras.values():
        box.setChecked(True)
    run(dock)
    dock.likelihood.pin.click()
    (pinned,) = by_role(viewer, "pinned 0")
    for box in dock.extras.values():
        box.setChecked(False)
    image.data = image.data[::-1].copy()
    run(dock)
    segmentation = dock.state.current.segmentation
    for role, values in (
        ("novelty", segmentation.novelty()),
        ("probability 1", segmentation.class_probability(1)),
        ("pinned 0", segmentation.likelihood(0)),
    ):
        (layer,) = by_role(viewer, role)
        np.testing.assert_array_equal(layer.data, values)
    # Another model: the first prototype is another one, and there are fewer pixels.
    assert dock.models.choose_file(save_model(tiny_model(seed=1), tmp_path / "other"))
    image.data = image.data[:40].copy()
    run(dock)
    assert pinned.name.endswith("(earlier run)") and pinned in viewer.layers
    old, new = by_role(viewer, "novelty")
    assert old.name.endswith("(earlier run)") and new.name == "field – novelty"
    run(dock)
    assert len(by_role(viewer, "novelty")) == 2


def test_a_pinned_map_removed_during_a_run_stays_away(
    viewer: Any, dock: Any, run: Any, photo: Any, qtbot: Any
) -> None:
    run(dock)
    dock.likelihood.pin.click()
    (pinned,) = by_role(viewer, "pinned 0")
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run_button.click()
        viewer.layers.remove(pinned)
    assert not by_role(viewer, "pinned 0")
    assert not [layer.name for layer in viewer.layers if "None" in layer.name]
