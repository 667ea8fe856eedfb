"""How label layers look in napari: class colours, and class names in the status bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.corrections import PREDICTED

# A label value that no class has must be seen, so that nobody paints invisibly.
UNKNOWN_COLOR = "magenta"


def class_colors(classes: Sequence[SegmentationClass]) -> dict[int | None, str]:
    """Colours that napari takes as a colormap: label c + 1 gets the colour of class c."""
    colors: dict[int | None, str] = {None: UNKNOWN_COLOR, 0: "transparent"}
    return colors | {c + 1: entry.color for c, entry in enumerate(classes)}


def class_features(classes: Sequence[SegmentationClass]) -> Any:
    """Table that lets napari show a label's class name in the status bar."""
    import pandas as pd

    names = ["not labelled", *(entry.name for entry in classes)]
    return pd.DataFrame({"index": range(len(names)), "class": names})


def annotation_colors(classes: Sequence[SegmentationClass]) -> dict[int | None, str]:
    """Colours of an array of codes: labels in class colours.

    What is only predicted is transparent: the layer below shows it.
    """
    return class_colors(classes) | {PREDICTED + c + 1: "transparent" for c in range(len(classes))}


def annotation_features(classes: Sequence[SegmentationClass]) -> Any:
    """Table that lets napari tell labels and predictions in the status bar."""
    import pandas as pd

    labelled = ["not labelled", *(entry.name for entry in classes)]
    predicted = [f"{entry.name}, predicted" for entry in classes]
    values = [*range(len(labelled)), *(PREDICTED + c + 1 for c in range(len(classes)))]
    return pd.DataFrame({"index": values, "class": labelled + predicted})
