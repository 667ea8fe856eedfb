"""Docks as napari opens them: what they are given is a proxy of the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from napari.utils._proxies import PublicOnlyProxy

from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import TINY_BACKBONE, two_tone
from tests.widgets.docks import by_role
from tests.widgets.train_dock import WAIT, click, draw, settled, stroke


@pytest.fixture
def segment(viewer: Any, model_file: Path, qtbot: Any) -> Any:
    widget = SegmentWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(widget, name="Segment", area="right")
    assert widget.models.choose_file(model_file)
    yield widget
    widget.runner.cancel()
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)


@pytest.fixture
def proxied(viewer: Any, qtbot: Any) -> Any:
    widget = TrainWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(widget, name="Train", area="right")
    widget.start.pretrained = False
    widget.start.backbone.setCurrentText(TINY_BACKBONE)
    yield widget
    widget.fits.cancel()
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)


def test_the_train_dock_knows_its_layers(viewer: Any, proxied: Any, qtbot: Any) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    layer = draw(proxied)
    settled(proxied, qtbot)
    viewer.layers.remove(layer)
    assert "are kept and count still" in proxied.status.text()
    click(proxied.labels.new)
    assert len(proxied.annotations.all) == len(by_role(viewer, "annotations")) == 1
    # Who draws on another image than the chosen one goes on with that one.
    viewer.add_image(two_tone(seed=1)[0], name="second")
    assert proxied.images.image() is not first
    viewer.layers.selection.active = by_role(viewer, "annotations")[0]
    stroke(proxied, 2, 5)
    assert proxied.images.image() is first
    settled(proxied, qtbot)


def test_the_segment_dock_knows_its_layers(viewer: Any, segment: Any, run: Any, qtbot: Any) -> None:
    viewer.add_image(two_tone()[0], name="field")
    run(segment)
    (labels,) = by_role(viewer, "labels")
    assert segment.cover.isVisibleTo(segment) and viewer.layers.selection.active is labels
    viewer.layers.remove(labels)
    qtbot.waitUntil(lambda: segment.cover.isHidden(), timeout=WAIT)
