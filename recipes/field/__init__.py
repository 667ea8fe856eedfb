"""Synthetic fields with exact masks: two photographs of each, the same on every machine."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from .bank import Split, bank
from .photograph import Mask, Photo, photograph
from .world import world

__all__ = ["field"]


def field(
    number: int,
    *,
    assets: str | PathLike[str] | None = None,
    split: Split = "train",
    size: tuple[int, int] = (512, 384),
) -> list[tuple[Photo, Mask]]:
    """Two photographs of one field, with the same soil, species, light and camera.

    Parameters
    ----------
    number
        Which field; the same number gives the same field with the same versions of libraries.
    assets
        A folder of more pictures of plants, leaves and grounds (see `recipes.field.bank.bank`).
    split
        "train", or "held-out" for families and grounds that no field for training has.
    size
        Width and height in pixels.

    Returns
    -------
    list of tuple
        For each photograph its colours (H, W, 3) and species (H, W), both uint8: 0 soil, 1 crop,
        2 and more the others.
    """
    pictures = bank(None if assets is None else Path(assets), split)
    rng = np.random.default_rng([number, split == "held-out"])
    shared = world(rng, pictures)
    return [photograph(view, shared, size) for view in rng.spawn(2)]
