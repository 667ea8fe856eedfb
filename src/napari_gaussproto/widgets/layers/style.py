"""How napari draws label layers."""

from __future__ import annotations

import numpy as np

from napari_gaussproto.core.labels.class_table import first_table, label_colors


def warm_up_labels() -> None:
    """Let napari compile how it draws labels: seconds that the GUI would stand still for."""
    from napari.utils.colormaps import DirectLabelColormap

    DirectLabelColormap(color_dict=label_colors(first_table())).map(np.zeros((1, 1), np.uint8))
