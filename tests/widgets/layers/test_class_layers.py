"""What a person painted into the classes of a result, when another result takes their place."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_gaussproto.widgets.shared.tags import is_edited
from tests.core.builders import two_tone
from tests.widgets.train_dock import WAIT, click, draw, quick, settled


def painted(viewer: Any, dock: Any, run: Any) -> Any:
    """The layer of classes of a first run, on which a person paints."""
    viewer.add_image(two_tone()[0], name="field")
    run(dock)
    layer = dock.state.current.labels
    layer.data_setitem((np.arange(9), np.arange(9)), 2)
    viewer.layers.selection.active = layer
    return layer


def test_classes_that_were_painted_on_give_way_to_a_new_result(
    viewer: Any, dock: Any, run: Any
) -> None:
    former = painted(viewer, dock, run)
    drawn = former.data.copy()
    run(dock)
    now = dock.state.current.labels
    assert now is not former and now.visible
    assert former.name == "field – classes (edited)" and not former.visible
    assert np.array_equal(former.data, drawn)
    # The brush goes to what is seen, not to what is hidden.
    assert viewer.layers.selection.active is now
    viewer.layers.selection.active = former
    run(dock)
    assert viewer.layers.selection.active is former, "a person chose it since"


def test_a_hidden_result_stays_hidden_when_it_is_replaced(viewer: Any, dock: Any, run: Any) -> None:
    former = painted(viewer, dock, run)
    dock.likelihood.likelihood.click()
    assert not former.visible
    run(dock)
    assert not dock.state.current.labels.visible and not former.visible


def test_strokes_lie_above_classes_and_soil_is_faint_below_them(
    viewer: Any, train: Any, dock: Any, run: Any, tmp_path: Any
) -> None:
    viewer.add_image(two_tone()[0], name="field")
    strokes = draw(train)
    run(dock)
    classes = dock.state.current.labels
    assert viewer.layers.index(classes) < viewer.layers.index(strokes)
    assert viewer.layers.selection.active is strokes and strokes.mode == "paint"
    soil, plant = (classes.colormap.map(value) for value in (1, 2))
    assert soil[3] < 0.5 and plant[3] == 1
    assert all(strokes.colormap.map(value)[3] == 1 for value in (1, 2))
    classes.save(str(tmp_path / "classes.labels.ome.tif"), plugin="napari-gaussproto")
    [opened] = viewer.open(tmp_path / "classes.labels.ome.tif", plugin="napari-gaussproto")
    assert np.allclose(opened.colormap.map(1), [*soil[:3], 1])


def test_a_fit_replaces_painted_classes_too_and_they_can_become_labels(
    viewer: Any, train: Any, dock: Any, run: Any, qtbot: Any, monkeypatch: Any
) -> None:
    image = viewer.add_image(two_tone()[0], name="field")
    draw(train)
    quick(train, qtbot)
    former = train.state.current.labels
    place = tuple(np.argwhere(former.data == 1)[:50].T)
    former.data_setitem(place, 2)
    quick(train, qtbot)
    settled(train, qtbot)
    assert is_edited(former) and not former.visible
    assert train.state.current.labels.visible
    assert f"Layer “{former.name}”…" in [action.text() for action in train.labels.menu.actions()]
    click(train.labels.clear)
    asked: list[Any] = []
    monkeypatch.setattr(train.labelling.imports, "ask", lambda d: asked.append(d) or True)
    train.labelling.use_layer(former)
    annotation = train.annotations.find(image)
    qtbot.waitUntil(lambda: bool((annotation.labels[place] == 2).all()), timeout=WAIT)
    assert asked[0].mapping() == {1: 1, 2: 2}
    settled(train, qtbot)
