"""Strokes: the connected pieces of what a person drew."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from skimage.measure import label as connected


def count_strokes(labels: npt.NDArray[Any]) -> int:
    """Number of connected pieces of one class each, in an image (H, W) of labels."""
    _, count = connected(labels, background=0, connectivity=2, return_num=True)
    return int(count)
