"""Regions of an image that were computed in one run, kept for the next."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import ModelConfig


class RegionMemo:
    """What a run computed of the cells of one image, as long as image and settings are the same.

    Pixels are compared by a digest, because a person may change an array in place.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._planes: dict[int, dict[Any, Any]] = {}

    def planes(self, pixels: Any, config: ModelConfig) -> dict[int, dict[Any, Any]] | None:
        """What is known of each plane, by its number; see `segment_stack_steps`.

        None where there is nothing worth keeping, or where pixels would first have to be read
        from where they are stored.
        """
        if not config.has_regions or not isinstance(pixels, np.ndarray):
            return None
        digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
        key = (digest, pixels.shape, pixels.dtype, config.channels, config.region_size)
        if key != self._key:
            self._key, self._planes = key, {}
        return self._planes
