"""The methods that are compared, by name: ours, from the package's own facade, and rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.loop.photos import Image, Labels
from benchmarks.loop.rivals import RIVALS, Method, Predict
from napari_gaussproto import NewModel, PrototypeSegmenter, quick_fit, segment
from napari_gaussproto.core.network.backbone import OFFLINE_BACKBONE

OURS = "quick fit, "
# What a quick fit begins with when no other start is named.
STARTS = ("auto", "new", "peanut-grid")


def method(name: str) -> Method:
    """A rival, or "quick fit, START" with "auto", "new", a shipped model or a model file.

    "auto" begins with the shipped start, "new" with ImageNet's features.

    "auto" and "new" may be followed by " superpixel"; other starts have their own cells.

    Raises
    ------
    ValueError
        For any other name.
    """
    if name in RIVALS:
        return RIVALS[name]
    if name.startswith(OURS):
        return quick(name.removeprefix(OURS))
    rivals = "”, “".join(RIVALS)
    raise ValueError(f"no method “{name}”: name “{OURS}” and a start, or one of “{rivals}”")


def quick(start: str, **options: Any) -> Method:
    """A quick fit from a start.

    The first class has the name of soil, which a shipped model knows; the others are new to
    it. So it begins with what it knows of plants, and not of crop and weed of its own.
    """

    def fit(images: Sequence[Image], strokes: Sequence[Labels]) -> Predict:
        return predictor(fitted(start, images, strokes, **options))

    return fit


def fitted(
    start: str, images: Sequence[Image], strokes: Sequence[Labels], **options: Any
) -> PrototypeSegmenter:
    """A model that a quick fit has made of strokes."""
    n_classes = max(int(labels.max()) for labels in strokes)
    classes = ["soil", *(f"region {number}" for number in range(2, n_classes + 1))]
    kind, superpixels = start.removesuffix(" superpixel"), start.endswith(" superpixel")
    cells: Any = "superpixel" if superpixels else "grid"
    begin = NewModel(backbone=OFFLINE_BACKBONE, partition=cells) if kind == "new" else kind
    return quick_fit(
        list(images), list(strokes), begin, classes=classes, partition=cells, **options
    )


def predictor(model: PrototypeSegmenter) -> Predict:
    return lambda image: segment(image, model).labels
