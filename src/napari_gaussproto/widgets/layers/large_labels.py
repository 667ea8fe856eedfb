"""The labels of a large image: a layer of several resolutions, drawn again as its tiles come."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer

from napari_gaussproto.core.imaging.tiles import Area, Focus
from napari_gaussproto.core.labels.class_table import label_names, overlay_colors
from napari_gaussproto.jobs.large.order import LargeStep, Streamed
from napari_gaussproto.widgets.layers.class_layers import (
    LABEL_OPACITY,
    class_metadata,
    keep_colors,
    put_below_annotations,
    show_classes,
)
from napari_gaussproto.widgets.layers.placement import (
    area_in_view,
    has_channels,
    pixels_of,
    placement,
    plane_in_view,
    set_aside,
    undisturbed,
)
from napari_gaussproto.widgets.shared.preferences import PLUGIN, preference
from napari_gaussproto.widgets.shared.state import SharedState
from napari_gaussproto.widgets.shared.tags import is_cut_from, is_earlier, is_ours
from napari_gaussproto.widgets.shared.workarounds import replace_levels
from napari_gaussproto.widgets.shared.workers import single_shot

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

# What a person can do where a large image is too large for something.
CUT_OUT = (
    "cut the place out as an image of its own, such as by viewer.add_image(data[y0:y1, x0:x1])"
)
_MEGA = 1_000_000
# Stacks may hold so many times the pixels of a single image: each plane is segmented by itself,
# and what all of them leave in memory is little beside it.
_OF_A_STACK = 4
# Milliseconds: tiles that come together are drawn together; how often the view is looked at.
_REST, _LOOK = 100, 200


def is_large(image: Image) -> bool:
    """Whether an image is segmented into labels on disk; see the preference."""
    height, width = shape_of(image)[-2:]
    limit, pixels = int(preference("large")) * _MEGA, int(np.prod(shape_of(image)))
    return height * width > limit or pixels > _OF_A_STACK * limit


def shape_of(image: Image) -> tuple[int, ...]:
    """(..., H, W) of the labels of an image."""
    pixels = pixels_of(image)
    shape = pixels.shape[:-1] if has_channels(image) else pixels.shape
    return tuple(int(n) for n in shape)


def streamed_of(state: SharedState, image: Image) -> Streamed | None:
    """How the labels of a large image are made, unless its pixels are others by now."""
    made = state.streamed.get(image)
    return made if made is not None and pixels_of(image) is made.pixels else None


def labels_of(viewer: Viewer, made: Streamed) -> Labels | None:
    """The layer that shows labels on disk, while it is in the viewer."""
    shown = (layer for layer in viewer.layers if is_ours(layer) and layer.multiscale)
    return next((la for la in shown if la.metadata[PLUGIN].get("folder") == str(made.path)), None)


class LargeLabels(QObject):
    """Shows labels on disk over their images, and says what a person looks at.

    Parameters
    ----------
    viewer : Viewer
    parent : QObject

    Attributes
    ----------
    focus : Focus
        Follows the view of the image that is watched.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self.focus = viewer, Focus()
        self._layers: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()
        self._watched: Image | None = None
        self._stale: Labels | None = None
        self._redraw = single_shot(self, _REST, self._draw)
        self._look = QTimer(self, interval=_LOOK)
        self._look.timeout.connect(self._follow)

    def watch(self, image: Image | None) -> None:
        """Follow the view of an image while it is segmented; None for no more."""
        if image is None and self._watched is not None:
            self._stale = self.layer_of(self._watched)
            self._draw()  # the picture in the layer list, too, which tiles out of view change
        self._watched = image
        if image is None:
            self._look.stop()
        else:
            self._follow()
            self._look.start()

    def show_levels(self, image: Image, step: LargeStep, former: Streamed | None) -> None:
        """Show labels that were just opened, in the layer that shows their folder, if there is.

        A layer with ``former`` ones, by another model, is set aside.
        """
        assert step.levels is not None
        layer = labels_of(self._viewer, step.made)  # which another dock may have shown
        known = None if former is None else labels_of(self._viewer, former)
        with undisturbed(self._viewer):
            if known is not None and known is not layer:
                set_aside(self._viewer, known)
                known.visible = False
            if layer is not None and is_earlier(layer):  # which is the newest again
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
                layer = None
            if layer is not None:
                replace_levels(layer, step.levels)
            else:
                layer = self._viewer.add_labels(
                    list(step.levels),
                    multiscale=True,
                    name=f"{image.name} – classes",
                    opacity=LABEL_OPACITY,
                    colormap=DirectLabelColormap(color_dict=overlay_colors(step.cover.classes)),
                    features=label_names(step.cover.classes),
                    metadata=class_metadata(step.cover.classes),
                    **placement(image, ndim=len(step.levels[0].shape)),
                )
                keep_colors(layer)
                cut = [la for la in self._viewer.layers if is_cut_from(la, image)]
                put_below_annotations(self._viewer, layer, *cut)
            self._layers[image] = layer
            about = step.cover.classes, step.made.provenance
            show_classes(layer, *about, folder=str(step.path))

    def layer_of(self, image: Image) -> Labels | None:
        """The layer of an image, while it is in the viewer."""
        layer = self._layers.get(image)
        return layer if layer is not None and layer in self._viewer.layers else None

    def show_tile(self, image: Image, plane: int, area: Area) -> None:
        """Draw a tile that was just finished, soon, if it is in view."""
        layer = self.layer_of(image)
        if layer is None or not layer.visible:
            return
        y0, x0, y1, x1 = area_in_view(self._viewer, layer)
        seen = area[0] < y1 and area[2] > y0 and area[1] < x1 and area[3] > x0
        if seen and plane == self._plane(image) and not self._redraw.isActive():
            self._stale = layer
            self._redraw.start()

    def _draw(self) -> None:
        layer, self._stale = self._stale, None
        if layer is not None and layer in self._viewer.layers:
            layer.refresh(extent=False, highlight=False)

    def _follow(self) -> None:
        image = self._watched
        if image is not None and image in self._viewer.layers:
            self.focus.view = (self._plane(image), area_in_view(self._viewer, image))

    def _plane(self, image: Image) -> int:
        leading = shape_of(image)[:-2]
        at = plane_in_view(self._viewer, image, leading)
        return int(np.ravel_multi_index(at, leading)) if leading else 0
