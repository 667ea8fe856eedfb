"""How much is labelled, and whether a fine-tune is likely to pay with that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.labels.strokes import Data, count_strokes, is_dense

# Dense photographs from which on a long training was clearly better than the quick fit on
# photographs that nobody labelled, for some kinds (python -m benchmarks.loop --mode fine-tune): for
# textures. For peanut and weeds nothing was kept, in one draw.
DENSE_PAYS = 5


@dataclass(frozen=True)
class Amount:
    """How much is labelled.

    Attributes
    ----------
    dense : int
        Photographs (planes) of which at least half of what holds data is labelled.
    strokes : int
        Connected strokes on the others.
    """

    dense: int = 0
    strokes: int = 0

    @classmethod
    def of(
        cls,
        masks: Sequence[npt.NDArray[Any]],
        data: Sequence[Data | None] | None = None,
    ) -> Amount:
        """What labels (H, W) hold, of each photograph or plane; 0 is not labelled.

        Only pixels with ``data`` (H, W) count, where it is known which these are.
        """
        dense = strokes = 0
        for mask, there in zip(masks, data or [None] * len(masks), strict=True):
            if is_dense(mask, there):
                dense += 1
                continue
            known = mask if there is None else mask * there
            strokes += count_strokes(_box(known)) if known.any() else 0
        return cls(dense, strokes)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.dense + other.dense, self.strokes + other.strokes)

    @property
    def pays(self) -> bool:
        """Whether a fine-tune was better than a quick fit for some kinds of photographs."""
        return self.dense >= DENSE_PAYS

    def advice(self) -> str:
        """What to do before a fine-tune pays, as a sentence; nothing where it does."""
        if self.pays or not (self.dense or self.strokes):
            return ""
        known = (_counted(self.dense, "dense photograph"), _counted(self.strokes, "stroke"))
        here = " and ".join(filter(None, known))
        return (
            f"With {here} a quick fit is mostly as good as minutes of training. These are "
            f"likelier to pay with {DENSE_PAYS} photographs that are labelled densely: by fill or "
            "Accept image, corrected."
        )


def _box(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The part of labels (H, W) that holds all that is labelled."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' if number != 1 else ''}" if number else ""
