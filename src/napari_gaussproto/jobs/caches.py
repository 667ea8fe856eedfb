"""What one run computed of images, kept for the next."""

from __future__ import annotations

import hashlib
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import ModelConfig
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.training.pyramid import EncodedImage
    from napari_gaussproto.jobs.train_image import TrainImage

# Of features that are kept: enough for two hundred photographs of 1296 x 966 pixels.
_MOST_BYTES = 1 << 31


class RegionMemo:
    """What a run computed of the cells of one image, as long as image and settings are the same.

    Pixels are compared by a digest, because a person may change an array in place. The GUI thread
    only hands it on; threads read and fill it.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._planes: dict[int, dict[Any, Any]] = {}
        self._lock = Lock()

    def planes(self, pixels: Any, config: ModelConfig) -> dict[int, dict[Any, Any]] | None:
        """What is known of each plane, by its number; see `segment_stack_steps`.

        None where there is nothing worth keeping, or where pixels would first have to be read
        from where they are stored.
        """
        if not config.has_regions or not isinstance(pixels, np.ndarray):
            return None
        digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
        key = (digest, pixels.shape, pixels.dtype, config.channels, config.region_size)
        with self._lock:
            if key != self._key:
                self._key, self._planes = key, {}
            return self._planes


class PyramidCache:
    """Features of planes: valid for one backbone, the same levels and one way of cutting cells.

    Threads fill it while the GUI takes out images that were removed. What was put in first is
    dropped when it grows too large.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        # With the array that was encoded: a layer may get other data.
        self._kept: dict[tuple[Any, int], tuple[Any, EncodedImage]] = {}
        self._most_bytes = most_bytes
        self._backbone: Any = None
        self._cut: Any = None
        self._lock = Lock()

    def get(self, model: PrototypeSegmenter, image: TrainImage, plane: int) -> EncodedImage | None:
        """What is kept of a plane for this model."""
        with self._lock:
            self._expect(model)
            pixels, encoded = self._kept.get((image.key, plane), (None, None))
            return encoded if pixels is image.pixels else None

    def put(
        self, model: PrototypeSegmenter, image: TrainImage, plane: int, encoded: EncodedImage
    ) -> None:
        """Keep the features of a plane."""
        with self._lock:
            self._expect(model)
            self._kept[(image.key, plane)] = (image.pixels, encoded)
            excess = sum(kept.n_bytes for _, kept in self._kept.values()) - self._most_bytes
            for known in list(self._kept)[:-1]:
                if excess <= 0:
                    break
                excess -= self._kept.pop(known)[1].n_bytes

    def remove(self, key: Any) -> None:
        """Remove what is kept of an image."""
        with self._lock:
            for known in [known for known in self._kept if known[0] == key]:
                del self._kept[known]

    def _expect(self, model: PrototypeSegmenter) -> None:
        config = model.config
        cut = (
            *(config.partition, config.region_size, config.compactness, config.pooling),
            *(config.local_features, config.downsample, config.output_stride),
        )
        if self._backbone is not model.extractor.backbone or self._cut != cut:
            self._kept.clear()
            self._backbone, self._cut = model.extractor.backbone, cut
