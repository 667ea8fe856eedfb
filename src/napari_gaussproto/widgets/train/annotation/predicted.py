"""What is predicted, in the classes of the labels; and what becomes of labels, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.strips import looked_up
from napari_gaussproto.widgets.shared.state import ImageResult

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_gaussproto.core.base.config import SegmentationClass

Values = npt.NDArray[np.uint8]


def kept_sentence(image: Image) -> str:
    """That labels stay although their layer was removed."""
    return (
        f"The labels of “{image.name}” are kept and count still: Draw shows them again, Clear "
        "labels takes them back for good."
    )


def taken_over_sentence(name: str, taken: int, kept: int) -> str:
    """What became of the pixels that a person changed in a layer of classes."""
    rest = (
        f"{kept:,} pixels that you changed in “{name}” stay there: they are erased, of a class "
        "that is not listed here, or labelled as another already."
    )
    if not taken:
        return rest
    words = f"{taken:,} pixels that you painted into “{name}” are labels now."
    return f"{words} {rest}" if kept else words


def prediction_of(result: ImageResult, classes: Sequence[SegmentationClass]) -> Values:
    """Labels (..., H, W) of a result in a class table, by the names of the classes."""
    labels, table = result.segmentation.labels, name_table(result, classes)
    n_classes = len(result.segmentation.classes)
    same = np.array_equal(table[: n_classes + 1], np.arange(n_classes + 1))
    return labels if same else looked_up(table, labels)


def name_table(result: ImageResult, classes: Sequence[SegmentationClass]) -> Values:
    """For every label value of a result, the value in a class table, or 0: (256,) uint8."""
    names = {entry.name: c + 1 for c, entry in enumerate(classes)}
    table = np.zeros(256, np.uint8)
    for c, entry in enumerate(result.segmentation.classes):
        table[c + 1] = names.get(entry.name, 0)
    return table
