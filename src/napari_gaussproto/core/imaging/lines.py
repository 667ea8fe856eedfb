"""Bright lines with a dark halo, as strips of one width: seen on any ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # it brings torch, which docks load in a thread
    from napari_gaussproto.core.imaging.masks import Polygon


def haloed_strips(
    polygons: Sequence[Polygon], width: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Cut outlines into strips: a bright one along every side, and a dark one on each side of it.

    All strips have one width, so that one layer of vectors can draw them; the line with its halo
    is three times as wide. Strips are longer than their side, so that corners have no gap.

    Parameters
    ----------
    polygons : sequence of ndarray
        Closed outlines, (K, 2) each.
    width : float
        Of one strip, in the unit of the polygons.

    Returns
    -------
    strips : ndarray
        (N, 2, 2): start of each strip, and the way from there to its end. The dark ones come
        first, to be drawn below.
    bright : ndarray
        (N,) bool.
    """
    starts = np.concatenate([np.empty((0, 2)), *(p[:-1] for p in polygons)])
    ends = np.concatenate([np.empty((0, 2)), *(p[1:] for p in polygons)])
    length = np.linalg.norm(ends - starts, axis=1, keepdims=True)
    kept = length[:, 0] > 0
    starts, ends, length = starts[kept], ends[kept], length[kept]
    along = (ends - starts) / length * width
    across = along[:, ::-1] * (1, -1)
    dark = [_strips(starts + s * across, ends + s * across, 1.5 * along) for s in (-1, 1)]
    line = _strips(starts, ends, 0.5 * along)
    bright = np.zeros(3 * len(line), dtype=bool)
    bright[2 * len(line) :] = True
    return np.concatenate([*dark, line]), bright


def _strips(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], more: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Starts and ways of strips that are made longer at both ends."""
    return np.stack([starts - more, ends - starts + 2 * more], axis=1)
