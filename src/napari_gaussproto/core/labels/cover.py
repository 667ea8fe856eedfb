"""How much of an image each class covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass


def cover_of(
    counts: npt.NDArray[np.int64], classes: Sequence[SegmentationClass]
) -> tuple[dict[str, float], float]:
    """Share of each class in the pixels with data, by name, and the share of these in all.

    Where there are none, all are 0.

    Parameters
    ----------
    counts : (C + 1,) ndarray of int
        Pixels of each label, the first without data.
    classes : sequence of SegmentationClass
        C of them.
    """
    known = int(counts[1:].sum())
    shares = (counts[1:] / max(1, known)).tolist()
    cover = {entry.name: share for entry, share in zip(classes, shares, strict=True)}
    return cover, known / max(1, int(counts.sum()))
