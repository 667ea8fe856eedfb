"""Windows of large images as layers of their own, exactly over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.widgets.layers.placement import (
    area_in_view,
    channels_moved,
    has_channels,
    placement,
    undisturbed,
)
from napari_gaussproto.widgets.shared.tags import CUT_FROM, RESTORED, WINDOW, file_of, is_cut_from

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.jobs.large.window import CutWindow

# What a window looks like is what its image looks like.
_LOOK = ("gamma", "opacity", "blending", "interpolation2d")
# The line around a window, without dots at its corners: strokes beyond it are nowhere.
_BORDER = {"line_color": "yellow", "line_thickness": 2, "points": False, "visible": True}


def place_in_view(viewer: Viewer, image: Image) -> tuple[int, int]:
    """The pixel of an image, y and x, in the middle of what is in view."""
    y0, x0, y1, x1 = area_in_view(viewer, image)
    return (y0 + y1) // 2, (x0 + x1) // 2


def window_of(viewer: Viewer, image: Image, area: Area) -> Image | None:
    """The layer of a window of an image, if it is open."""
    return next((la for la in viewer.layers if area_of_window(la, image) == area), None)


def area_of_window(layer: Layer, image: Image) -> Area | None:
    """Which pixels of an image a layer shows, if it is a window of that image."""
    known = layer.metadata.get(WINDOW)
    if known is None or not is_cut_from(layer, image):
        return None
    y0, x0, y1, x1 = known
    corner = image.data_to_world((*(0,) * (image.ndim - 2), y0, x0))[-2:]
    first: Any = layer.data_to_world((0,) * layer.ndim)[-2:]
    return (y0, x0, y1, x1) if np.allclose(first, corner) else None


def add_window(viewer: Viewer, image: Image, cut: CutWindow) -> Image:
    """Show a window over its image, as a layer that labels are drawn on as on any image."""
    y0, x0, _, _ = cut.area
    channels = has_channels(image) and not image.rgb
    data = channels_moved(cut.pixels, -1, 0) if channels else cut.pixels
    limits = image.contrast_limits if cut.is_stored else (0, 1)
    look = {name: getattr(image, name) for name in _LOOK}
    known = {} if image.rgb else {"contrast_limits": limits, "colormap": image.colormap}
    about = {WINDOW: list(cut.area), RESTORED: {"file": file_of(image)}}
    with undisturbed(viewer):
        layer: Image = viewer.add_image(
            data,
            name=f"{image.name} (y {y0}, x {x0})",
            rgb=bool(image.rgb),
            metadata=about | {CUT_FROM: str(image.unique_id)},
            **look,
            **known,
            **placement(image, origin=(y0, x0)),
        )
        layer.bounding_box.update(_BORDER)
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(image) + 1)
    return layer
