"""Clicks on the canvas that are meant for a dock: which they are, and where; how near it is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.workarounds import camera_of

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# Position along the leading axes, y and x.
Pixel = tuple[tuple[int, ...], int, int]


def is_click(event: Any) -> Generator[None, None, bool]:
    """Whether a press becomes a click and no drag, once the left button is released."""
    moved = False
    start = np.array(event.pos, float)
    yield
    while event.type == "mouse_move":
        # A hand is never quite still during a click.
        moved = moved or bool(np.abs(np.array(event.pos, float) - start).max() > 3)
        yield
    return not moved and event.button == 1


def moves_image(viewer: Viewer) -> bool:
    """Whether a click is free, and not a stroke that a person paints on purpose."""
    active = viewer.layers.selection.active
    return active is None or str(getattr(active, "mode", "pan_zoom")) == "pan_zoom"


def pixel_at(result: ImageResult, position: Any) -> Pixel | None:
    """See `pixel_in`, of the image of a result."""
    return pixel_in(result.source, result.segmentation.shape, position)


def pixel_in(image: Image, shape: Sequence[int], position: Any) -> Pixel | None:
    """Leading position, y and x of a point in world coordinates; None outside the image.

    ``shape`` is that of its labels, (..., H, W).
    """
    *leading, height, width = shape
    point = [round(float(value)) for value in image.world_to_data(position)]
    # What is left over in front of a plane are channels that its labels lack.
    at, (y, x) = tuple(point[:-2][: len(leading)]), point[-2:]
    inside = 0 <= y < height and 0 <= x < width
    inside &= all(0 <= i < n for i, n in zip(at, leading, strict=True))
    return (at, y, x) if inside else None


def pixels_on_screen(viewer: Viewer, image: Image) -> float:
    """Along how many pixels of the screen one of an image is drawn."""
    return float(camera_of(viewer).zoom * np.abs(image.scale[-2:]).mean())
