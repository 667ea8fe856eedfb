"""Labels as a picture whose numbers are the labels and whose palette has the class colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgba
from PIL import Image

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass


def write_png(path: Path, labels: npt.NDArray[Any], classes: Sequence[SegmentationClass]) -> None:
    """Write labels (H, W) as a PNG of 8 bits whose palette has the colours of the classes.

    Numbers of more bits, without classes, become a picture of 16 bits.
    """
    if labels.max(initial=0) > np.iinfo(np.uint8).max:
        picture = Image.fromarray(np.ascontiguousarray(labels.astype(np.uint16)))
    else:
        picture = Image.fromarray(np.ascontiguousarray(labels.astype(np.uint8)))
        colours = [(0, 0, 0), *(bytes_of(entry.color)[:3] for entry in classes)]
        picture.putpalette([value for colour in colours for value in colour])
    with replacing(path) as partial:
        picture.save(partial, format="PNG")


def bytes_of(color: str) -> tuple[int, ...]:
    """A colour as red, green, blue and alpha from 0 to 255."""
    return tuple(round(255 * value) for value in to_rgba(color))
