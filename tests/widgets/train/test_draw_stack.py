"""On a stack, what is looked at is what changed; nothing is lost where that takes several turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from qtpy.QtCore import QObject

from napari_gaussproto.core.labels.class_table import first_table
from napari_gaussproto.core.labels.codes import PREDICTED, Snapshot
from napari_gaussproto.core.labels.corrections import Corrections
from napari_gaussproto.widgets.train.annotation import annotation_layer
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer

# Each plane is one strip.
SHAPE = (300, 32, 48)
SHOWN = 250


class Looks:
    """Counts the strips that are looked at, in each turn of the event loop."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.turns: list[int] = []
        original = Corrections.settle

        def settle(
            record: Corrections, last: Snapshot, n: int, numbers: Iterable[int] | None = None
        ) -> tuple[bool, Snapshot]:
            numbers = list(range(SHAPE[0]) if numbers is None else numbers)
            self.turns += [len(numbers)] if numbers else []
            return original(record, last, n, numbers)

        patch.setattr(Corrections, "settle", settle)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.fixture
def annotation(make_napari_viewer: Callable[..., Any], qtbot: Any, looks: Looks) -> Any:
    """Annotations of a stack of which a late plane is in view; all was looked at already."""
    viewer = make_napari_viewer(show=True)  # hidden, napari shows the whole anew at each stroke
    image = viewer.add_image(np.zeros(SHAPE, np.float32), name="stack")
    viewer.dims.set_current_step(0, SHOWN)
    owner = QObject()
    found = AnnotationLayer(viewer, image, first_table(), owner)
    found.show()
    qtbot.wait(200)
    found.settle()
    looks.turns.clear()
    yield found
    found.close()


def predicted(value: int) -> npt.NDArray[np.uint8]:
    return np.full(SHAPE, value, np.uint8)


def test_nothing_is_copied_before_anything_is_drawn(annotation: Any) -> None:
    assert annotation.painted == ()
    assert not any(piece.flags.owndata for piece in annotation.snapshot.pieces)


def test_a_stroke_costs_what_it_covers(annotation: Any, looks: Looks, qtbot: Any) -> None:
    before = annotation.snapshot
    with qtbot.waitSignal(annotation.edited):
        annotation.layer.paint((SHOWN, 9, 9), 1)
    assert looks.turns == [1] and annotation.painted == (0,)
    after = annotation.snapshot
    same = [a is b for a, b in zip(after.pieces, before.pieces, strict=True)]
    assert same == [plane != SHOWN for plane in range(SHAPE[0])]


def test_an_undo_is_looked_for_in_several_turns_and_told_once(
    annotation: Any, looks: Looks, qtbot: Any
) -> None:
    annotation.layer.paint((SHOWN, 9, 9), 1)
    annotation.settle()
    looks.turns.clear()
    told: list[int] = []
    annotation.edited.connect(lambda: told.append(1))
    annotation.layer.undo()
    qtbot.waitUntil(lambda: bool(told))
    assert annotation.painted == () and sum(looks.turns) == SHAPE[0]
    assert max(looks.turns) <= annotation_layer.AT_ONCE and len(looks.turns) > 1
    qtbot.wait(100)
    assert len(told) == 1


def test_a_prediction_comes_first_where_a_person_looks(annotation: Any, qtbot: Any) -> None:
    annotation.set_prediction(predicted(2))
    shown = annotation.record.prediction.all(axis=(1, 2))
    assert shown[SHOWN] and shown.sum() == annotation_layer.AT_ONCE
    qtbot.waitUntil(lambda: bool(annotation.record.prediction.all()))
    assert (annotation.snapshot.codes == PREDICTED + 2).all() and annotation.painted == ()


def _stroke(annotation: Any) -> None:
    annotation.layer.data[40, 3, 3] = 1
    annotation.layer.refresh()


@pytest.mark.parametrize(
    "end",
    [
        lambda annotation: annotation.settle(),
        lambda annotation: annotation.hide(),
        lambda annotation: annotation.set_prediction(predicted(3)),
    ],
    ids=["settled", "removed", "predicted anew"],
)
def test_what_comes_between_the_turns_loses_nothing(
    annotation: Any, qtbot: Any, end: Callable[[Any], object]
) -> None:
    annotation.set_prediction(predicted(3))
    _stroke(annotation)
    end(annotation)
    qtbot.waitUntil(lambda: bool(annotation.record.prediction.all()))
    annotation.settle()
    labels = annotation.snapshot.labels
    assert np.argwhere(labels).tolist() == [[40, 3, 3]] and labels.max() == 1
    assert np.count_nonzero(annotation.snapshot.codes == PREDICTED + 3) == labels.size - 1


def test_a_stroke_between_the_turns_of_a_prediction_is_told(annotation: Any, qtbot: Any) -> None:
    annotation.set_prediction(predicted(2))
    with qtbot.waitSignal(annotation.edited):
        annotation.layer.paint((SHOWN, 9, 9), 1)
    qtbot.waitUntil(lambda: bool(annotation.record.prediction.all()))
    assert annotation.painted == (0,) and annotation.snapshot.labels[SHOWN, 9, 9] == 1
