"""Show what a model says about an image: the layers, and what the docks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.widgets.follow import prototype_map
from napari_gaussproto.widgets.layers import show_labels, show_map, undisturbed
from napari_gaussproto.widgets.state import Outcome, SharedState

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

Maps = dict[str, npt.NDArray[np.float32]]


def succeed(state: SharedState, outcome: Outcome) -> Outcome:
    """Let a result take over the layers of the last one of its image."""
    former = state.outcomes.get(outcome.source)
    if former is not None:
        outcome.labels, outcome.labels_checksum = former.labels, former.labels_checksum
        outcome.maps = former.maps
    return outcome


def redraw(viewer: Viewer, outcome: Outcome, maps: Maps) -> None:
    """Show new values in the maps that an image has besides the likelihood."""
    for role, values in maps.items():
        layer = outcome.maps[role]
        if layer in viewer.layers:
            show_map(
                viewer, outcome, role, values, layer.name, visible=layer.visible, keep_name=True
            )
    # What was pinned stays as it was; the same number may name another prototype now.
    for role in [role for role in outcome.maps if role.startswith("pinned ")]:
        del outcome.maps[role]


def publish(
    viewer: Viewer,
    state: SharedState,
    outcome: Outcome,
    maps: Maps,
    prototype: int,
    values: npt.NDArray[np.float32],
    below: Layer | None,
) -> None:
    """Show a new result of an image and make it the current one.

    Parameters
    ----------
    viewer, state
    outcome : Outcome
    maps : dict
        Role -> new values, of maps that the image has.
    prototype : int
        The one whose map is shown, with its ``values``.
    below : Layer or None
        New labels are put below this layer, so that it can be painted on.
    """
    with undisturbed(viewer):
        fresh = outcome.labels is None or outcome.labels not in viewer.layers
        show_labels(viewer, outcome, outcome.segmentation.labels)
        if fresh and below is not None and below in viewer.layers:
            layers: Any = viewer.layers
            layers.move(layers.index(outcome.labels), layers.index(below))
        redraw(viewer, outcome, maps)
        state.prototype = prototype
        state.set_outcome(outcome)
        prototype_map(viewer).show(outcome, prototype, values)
