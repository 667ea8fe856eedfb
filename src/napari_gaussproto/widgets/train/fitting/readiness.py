"""What a person must do before a fit can begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gaussproto.widgets.layers.offers.channels import missing_answer
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.fit_controller import FitController

if TYPE_CHECKING:
    from napari.layers import Image


def missing_for_fit(
    image: Image | None,
    annotations: AnnotationSet,
    fits: FitController,
    learns_from_closed: bool,
    tunes: bool,
) -> str | None:
    """What is missing for a quick fit, or for a fine-tune, as a sentence; None for nothing.

    Parameters
    ----------
    image : Image or None
        The chosen one.
    annotations, fits
    learns_from_closed : bool
        Whether there are labels of closed images, which are to teach.
    tunes : bool
        Whether it is a fine-tune that is asked about.
    """
    if image is None:
        return "Open an image first: File > Open, or File > Open Sample"
    if (answer := missing_answer(image)) is not None:
        return answer
    if len(annotations.classes) < 2:
        return "Add at least two classes first"
    painted, classes = annotations.painted, annotations.classes
    if len(painted) > 1 or learns_from_closed:
        return None
    if painted and not tunes and fits.knows_a_class:
        return None  # a model that was fitted can be corrected
    if painted:
        return f"Only “{classes[painted[0]].name}” is painted: paint another class, too"
    if annotations.open:
        return "Paint a stroke of each of two classes first"
    return "Press Draw and paint a stroke of each class first"
