"""Borders along the photograph's edges can be switched off, at once, wherever classes are shown."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.predict import segment
from tests.core.builders import tiny_model, two_tone
from tests.widgets.docks import TAG, by_role
from tests.widgets.train_dock import draw, quick


@pytest.fixture
def seeing(dock: Any, run: Any, viewer: Any, tmp_path: Path) -> Any:
    """The Segment dock after a run of a model that sees colours."""
    viewer.add_image(two_tone()[0], name="field")
    assert dock.models.choose_file(save_model(tiny_model(local_features=True), tmp_path / "seeing"))
    run(dock)
    return dock


def settle(dock: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.busy, timeout=30_000)


def test_outlines_change_at_once_and_come_back(seeing: Any, viewer: Any, qtbot: Any) -> None:
    layer, switch = by_role(viewer, "labels")[0], seeing.outlines
    assert switch.isEnabled() and switch.isChecked() and layer.metadata[TAG]["follow_edges"]
    before, encoding = layer.data.copy(), seeing.state.current.segmentation.planes[0].encoding
    switch.click()
    settle(seeing, qtbot)
    without = copy.copy(seeing.state.model)
    without.config = without.config.model_copy(update={"follow_edges": False})
    expected = segment(two_tone()[0], without).labels
    np.testing.assert_array_equal(layer.data, expected)
    assert (layer.data != before).any() and layer.metadata[TAG]["follow_edges"] is False
    # The cells are the same ones: nothing was encoded again.
    assert seeing.state.current.segmentation.planes[0].encoding.latents is encoding.latents
    switch.click()
    settle(seeing, qtbot)
    np.testing.assert_array_equal(layer.data, before)


def test_the_next_run_keeps_the_choice(seeing: Any, run: Any, viewer: Any, qtbot: Any) -> None:
    seeing.outlines.click()
    settle(seeing, qtbot)
    coarse = by_role(viewer, "labels")[0].data.copy()
    run(seeing)
    np.testing.assert_array_equal(by_role(viewer, "labels")[0].data, coarse)
    assert not seeing.outlines.isChecked()


def test_cells_that_cannot_say_why(
    dock: Any, run: Any, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    assert not dock.outlines.isEnabled() and "colours" in dock.outlines.toolTip()
    assert not dock.outlines.isChecked()
    assert "follow_edges" not in by_role(viewer, "labels")[0].metadata[TAG]
    regions = tiny_model(partition="superpixel", local_features=True)
    assert dock.models.choose_file(save_model(regions, tmp_path / "regions"))
    run(dock)
    assert not dock.outlines.isEnabled() and "Superpixels" in dock.outlines.toolTip()


def test_a_fit_keeps_the_choice_and_both_docks_show_it(
    viewer: Any, train: Any, image: Any, dock: Any, qtbot: Any
) -> None:
    dock.outlines.click()
    assert not train.outlines.isChecked()
    draw(train)
    quick(train, qtbot)
    labels = by_role(viewer, "labels")[0]
    assert labels.metadata[TAG]["follow_edges"] is False and train.outlines.isEnabled()
    train.outlines.click()
    settle(train, qtbot)
    assert labels.metadata[TAG]["follow_edges"] is True and dock.outlines.isChecked()
    # What was fitted is the same model as before.
    assert train.fits.beginning.made is train.state.model
