"""Labels of most of a photograph, which is seen below them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.widgets.docks import by_role
from tests.widgets.train_dock import WAIT, click, draw, quick, settled


def test_a_photograph_is_seen_below_labels_of_most_of_it(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    settled(train, qtbot)
    assert looks(layer) == (0.8, 1.0, 1.0)
    annotation = train.annotations.open[0]
    quick(train, qtbot)
    [classes] = by_role(viewer, "labels")
    assert classes.visible
    click(train.labels.accept_all)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=WAIT)
    settled(train, qtbot)
    assert looks(layer) == pytest.approx((0.5, 0.3, 1.0), abs=0.01)
    # A plant that is corrected to soil would be seen through the soil.
    assert not classes.visible
    layer.visible = False
    assert classes.visible
    layer.visible = True
    assert not classes.visible
    quick(train, qtbot)
    assert not classes.visible
    annotation.hide()
    qtbot.waitUntil(lambda: classes.visible, timeout=WAIT)
    layer = annotation.show()
    assert looks(layer) == pytest.approx((0.5, 0.3, 1.0), abs=0.01)
    assert not classes.visible
    annotation.clear()
    settled(train, qtbot)
    assert looks(layer) == (0.8, 1.0, 1.0) and classes.visible
    layer.opacity = 0.65
    annotation.apply(annotation.record.accept_plane())
    settled(train, qtbot)
    assert looks(layer) == pytest.approx((0.65, 0.3, 1.0), abs=0.01)


def looks(layer: Any) -> tuple[float, ...]:
    """Opacity of annotations, and that of soil and of plants among them."""
    return (float(layer.opacity), *(float(layer.colormap.map(value)[3]) for value in (1, 2)))
