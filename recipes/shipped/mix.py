"""Squares with parts of other squares, so that a network relies less on what stands around.

After Yun et al. 2019, "CutMix: Regularization strategy to train strong classifiers with
localizable features".
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

# Parts of another square in one, and their sides as shares of its side.
_PARTS, _SIDES = (1, 4), (0.2, 0.6)


def mix(
    images: Tensor, labels: Tensor, rng: np.random.Generator, share: float
) -> tuple[Tensor, Tensor]:
    """Copies in which some squares hold rectangles of others.

    Parameters
    ----------
    images : (B, 3, S, S) Tensor
    labels : (B, S, S) Tensor
    rng : Generator
    share : float
        Of the squares that are changed.
    """
    mixed, known = images.clone(), labels.clone()
    count, side = len(images), images.shape[-1]
    for own in range(count if count > 1 else 0):
        if rng.random() >= share:
            continue
        for _ in range(rng.integers(*_PARTS)):
            other = (own + int(rng.integers(1, count))) % count
            height, width = (max(1, round(side * part)) for part in rng.uniform(*_SIDES, 2))
            (to_y, from_y), (to_x, from_x) = (
                rng.integers(0, side - length + 1, 2).tolist() for length in (height, width)
            )
            to = np.s_[..., to_y : to_y + height, to_x : to_x + width]
            source = np.s_[..., from_y : from_y + height, from_x : from_x + width]
            mixed[own][to] = images[other][source]
            known[own][to] = labels[other][source]
    return mixed, known
