"""What a person drew over what was predicted, for the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.annotations import overruled, values_between
from napari_gaussproto.core.labels.check import Labels, check_labels
from napari_gaussproto.core.labels.cover import cover_of
from napari_gaussproto.jobs.requests import Drawn


@dataclass(frozen=True)
class Corrected:
    """Labels of a person and of a model as one.

    Attributes
    ----------
    labels : (..., H, W) ndarray
        Class index + 1; 0 without data.
    cover : dict of str to float
        Share of each class in the pixels that have one.
    data_share : float
        Share of these pixels.
    is_drawn : bool
        Whether something was drawn in a project.
    """

    labels: Labels
    cover: dict[str, float]
    data_share: float
    is_drawn: bool


def corrected_labels(
    labels: npt.NDArray[np.uint8], classes: Sequence[SegmentationClass], drawn: Drawn
) -> Labels:
    """Labels where what was drawn overrules, but where there is no data.

    Parameters
    ----------
    labels : (..., H, W) ndarray
        Class index + 1.
    classes : sequence of SegmentationClass
        C of them.
    drawn : tuple
        Labels (..., H, W), and the classes that these are of.

    Returns
    -------
    (..., H, W) ndarray

    Raises
    ------
    LabelError
        When what was drawn is of another image, or of a class that is not among these.
    """
    given, own = drawn
    given = check_labels(given, labels.shape, len(own))
    given = values_between(own, classes, [given])[given]
    return overruled(labels, given)


def corrected_job(
    labels: npt.NDArray[np.uint8], classes: Sequence[SegmentationClass], drawn: Drawn | None
) -> Corrected:
    """Labels with what was drawn, and what they cover.

    Parameters
    ----------
    labels : (..., H, W) ndarray
        See `corrected_labels`, as for the others.
    classes : sequence of SegmentationClass
    drawn : tuple or None
        Labels (..., H, W), and the classes that these are of.

    Raises
    ------
    LabelError
        See `corrected_labels`; or when labels have values that are no class.
    """
    found = check_labels(labels, labels.shape, len(classes))
    if drawn is not None:
        found = corrected_labels(found, classes, drawn)
    counts = np.bincount(found.ravel(), minlength=len(classes) + 1)
    return Corrected(found, *cover_of(counts, classes), drawn is not None)
