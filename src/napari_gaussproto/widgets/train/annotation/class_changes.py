"""A change of the class table, done to the labels of one image and taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.class_table import Relabelling, Table, TableChange, WayBack
from napari_gaussproto.core.labels.forgotten import Forgotten
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer
from napari_gaussproto.widgets.train.annotation.predicted import name_table

Values = npt.NDArray[np.uint8]


class TableHistory(NamedTuple):
    """Changes of the table that can be taken back or done again, the last one last.

    What was done comes with what it made indistinguishable, by the keys of images.
    """

    done: list[tuple[TableChange, dict[Any, Forgotten]]]
    undone: list[TableChange]


def check_change(annotations: Collection[AnnotationLayer], change: TableChange) -> None:
    """Make sure, before any label changes, that all of them are of classes in the table.

    Raises
    ------
    LabelError
        When one is not.
    """
    if any(c >= len(change.before) for a in annotations for c in a.painted):
        raise LabelError("The classes changed meanwhile: choose the class again.")


def change_labels(
    annotation: AnnotationLayer, change: TableChange, result: ImageResult | None
) -> Forgotten:
    """Do a change to labels that are settled; returns what its way back needs.

    What is predicted is that of ``result``, by the names of the classes.
    """
    painted = _moved(annotation.painted, change.became())
    step = Relabelling(change)
    _become(annotation, change.after, step, painted, result)
    return step.forgotten


def revert_labels(
    annotation: AnnotationLayer, change: TableChange, lost: Forgotten, result: ImageResult | None
) -> None:
    """Take a change of labels, which are settled, back; ``result`` as in `change_labels`."""
    # Of classes that come back it is not known whether all of them were drawn over.
    painted = None if len(lost) else _moved(annotation.painted, change.back())
    _become(annotation, change.before, WayBack(change, lost), painted, result)


def _become(
    annotation: AnnotationLayer,
    table: Table,
    became: Callable[[Values], Values],
    painted: tuple[int, ...] | None,
    result: ImageResult | None,
) -> None:
    none = (None, np.zeros(256, np.uint8))
    below = none if result is None else (result.segmentation.labels, name_table(result, table))
    annotation.change_classes(table, became, painted, below)


def _moved(painted: Collection[int], became: Values) -> tuple[int, ...]:
    """Indices of the labelled classes after a change that gives each value another."""
    return tuple(sorted({int(became[c + 1]) - 1 for c in painted} - {-1}))
