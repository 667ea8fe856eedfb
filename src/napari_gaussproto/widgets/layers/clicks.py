"""Clicks on the canvas that are meant for a dock: which they are, and where."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.widgets.shared.state import ImageResult

if TYPE_CHECKING:
    from napari.viewer import Viewer


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


def pixel_at(result: ImageResult, position: Any) -> tuple[tuple[int, ...], int, int] | None:
    """Leading position, y and x of a point in world coordinates; None outside the image."""
    segmentation = result.segmentation
    point = [round(float(value)) for value in result.source.world_to_data(position)]
    leading = tuple(point[:-2][: len(segmentation.leading)])
    y, x = point[-2:]
    height, width = segmentation.planes[0].shape
    inside = 0 <= y < height and 0 <= x < width
    inside &= all(0 <= i < n for i, n in zip(leading, segmentation.leading, strict=True))
    return (leading, y, x) if inside else None
