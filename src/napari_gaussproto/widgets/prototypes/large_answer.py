"""Answers about places in a large image, of which no result is kept: what lies over it for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.widgets.layers.large_labels import labels_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.core.explain.part import Part
    from napari_gaussproto.jobs.large.order import Streamed


class LargeAnswers:
    """The layers over one large image, and the part of it that was segmented last.

    Parameters
    ----------
    viewer, source
    made : Streamed
    former : LargeAnswers, optional
        Whose layers these answers go on with: those about labels of another model.

    Attributes
    ----------
    maps : dict of MapRole to Layer
    part : Part or None
        A place in it is explained at once.
    part_leading : tuple of int
        Its plane.
    """

    def __init__(
        self, viewer: Viewer, source: Image, made: Streamed, former: LargeAnswers | None = None
    ) -> None:
        self._viewer = viewer
        self.source, self.made = source, made
        self.maps: dict[MapRole, Layer] = {} if former is None else former.maps
        self.part: Part | None = None
        self.part_leading: tuple[int, ...] = ()

    @property
    def ndim(self) -> int:
        """Axes of the labels."""
        return len(self.made.labels.shape)

    @property
    def provenance(self) -> Provenance:
        """Of the labels."""
        return self.made.provenance

    @property
    def labels(self) -> Labels | None:
        """The layer that shows the labels, while it is in the viewer."""
        return labels_of(self._viewer, self.made)

    def known(self, leading: tuple[int, ...], y: int, x: int) -> Part | None:
        """The part that was segmented last, if it holds a pixel."""
        part = self.part if leading == self.part_leading else None
        return part if part is not None and part.holds(y, x) else None

    def remove_layers(self) -> None:
        """Take what lies over the image off the viewer, as when the image was removed."""
        for layer in self.maps.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.maps.clear()
