"""How label layers look in napari: class colours, and class names in the status bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.corrections import PREDICTED

# A label value that no class has must be seen, so that nobody paints invisibly.
UNKNOWN_COLOR = "magenta"


def direct_colormap(classes: Sequence[SegmentationClass]) -> Any:
    """Napari colormap that gives label c + 1 the colour of class c."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, str] = {None: UNKNOWN_COLOR, 0: "transparent"}
    return DirectLabelColormap(
        color_dict=colors | {c + 1: entry.color for c, entry in enumerate(classes)}
    )


def class_features(classes: Sequence[SegmentationClass]) -> Any:
    """Table that lets napari show a label's class name in the status bar."""
    import pandas as pd

    names = ["not labelled", *(entry.name for entry in classes)]
    return pd.DataFrame({"index": range(len(names)), "class": names})


def annotation_colormap(classes: Sequence[SegmentationClass]) -> Any:
    """Napari colormap of an array of codes: labels in class colours.

    What is only predicted is transparent: the layer below shows it.
    """
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, str] = {None: UNKNOWN_COLOR, 0: "transparent"}
    for c, entry in enumerate(classes):
        colors |= {c + 1: entry.color, PREDICTED + c + 1: "transparent"}
    return DirectLabelColormap(color_dict=colors)


def annotation_features(classes: Sequence[SegmentationClass]) -> Any:
    """Table that lets napari tell labels and predictions in the status bar."""
    import pandas as pd

    labelled = ["not labelled", *(entry.name for entry in classes)]
    predicted = [f"{entry.name}, predicted" for entry in classes]
    values = [*range(len(labelled)), *(PREDICTED + c + 1 for c in range(len(classes)))]
    return pd.DataFrame({"index": values, "class": labelled + predicted})
