"""How the labels of an image are shown: as strokes, or as those of most of a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_gaussproto.widgets.layers.class_layers import LABEL_OPACITY

if TYPE_CHECKING:
    from napari.layers import Labels

# Of strokes, and of dense labels, below which the photograph must be seen.
_OPACITIES = {False: 0.8, True: LABEL_OPACITY}
# Pixels of the brush on a photograph 1296 pixels long, and the range that napari's slider has.
_BRUSH, _BRUSH_PER, _BRUSHES = 10, 1296, (4, 40)


def brush_for(shape: Sequence[int]) -> int:
    """Diameter of a brush in pixels that looks the same on images (..., H, W) of any size."""
    least, most = _BRUSHES
    return min(max(round(_BRUSH * max(shape[-2:]) / _BRUSH_PER), least), most)


class Look:
    """Dense labels look as predicted classes do; a person's own opacity stays.

    Attributes
    ----------
    dense : bool
        Whether at least half of an image, or of a plane of it, is labelled.
    """

    def __init__(self) -> None:
        self.dense = False
        self._set_by_hand = False

    @property
    def opacity(self) -> float:
        """What a new layer has."""
        return _OPACITIES[self.dense]

    def take_over(self, layer: Labels) -> None:
        """Go on with a layer as a former dock left it."""
        self.dense = layer.opacity == _OPACITIES[True]

    def change(self, layer: Labels | None, dense: bool) -> bool:
        """Say whether labels are dense, and give their layer its opacity; whether that is news."""
        before, self.dense = self.dense, dense
        if layer is not None and dense != before:
            self._set_by_hand |= layer.opacity != _OPACITIES[before]
            if not self._set_by_hand:
                layer.opacity = self.opacity
        return dense != before
