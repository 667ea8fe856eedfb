"""What one run computed of images, kept for the next."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import ModelConfig
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.training.pyramid import EncodedImage
    from napari_gaussproto.jobs.train_image import TrainImage

    # By an image's key and the number of a plane; with the array that was encoded, for a layer may
    # get other data.
    _Planes = dict[tuple[Any, int], tuple[Any, EncodedImage]]

# Of features that are kept: enough for three hundred photographs of 1296 x 966 pixels.
_MOST_BYTES = 3 << 30
# So that a person may go to and fro between two.
_MOST_STARTS = 2


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
    """Features of planes as the last two starts see them.

    A start is known by what its features depend on: the weights of its backbone, however often
    they are read, its levels and its way of cutting cells. Threads fill it while the GUI takes
    out images that were removed. When it grows too large, what was put in first is dropped, of
    the start that was not used last before that of the other.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        # The start that was used last stands last.
        self._starts: dict[Any, _Planes] = {}
        self._most_bytes = most_bytes
        self._lock = Lock()

    def get(self, model: PrototypeSegmenter, image: TrainImage, plane: int) -> EncodedImage | None:
        """What is kept of a plane for this model."""
        start, backbone = _start_of(model), model.extractor.backbone
        with self._lock:
            pixels, encoded = self._of(start).get((image.key, plane), (None, None))
        if encoded is None or pixels is not image.pixels:
            return None
        # An equal one computed them, perhaps.
        return encoded if encoded.backbone is backbone else replace(encoded, backbone=backbone)

    def put(
        self, model: PrototypeSegmenter, image: TrainImage, plane: int, encoded: EncodedImage
    ) -> None:
        """Keep the features of a plane."""
        start = _start_of(model)
        with self._lock:
            self._of(start)[(image.key, plane)] = (image.pixels, encoded)
            every = [(planes, key) for planes in self._starts.values() for key in planes]
            excess = sum(planes[key][1].n_bytes for planes, key in every) - self._most_bytes
            for planes, key in every[:-1]:
                if excess <= 0:
                    break
                excess -= planes.pop(key)[1].n_bytes

    def remove(self, key: Any) -> None:
        """Remove what is kept of an image."""
        with self._lock:
            for planes in self._starts.values():
                for known in [known for known in planes if known[0] == key]:
                    del planes[known]

    def _of(self, start: Any) -> _Planes:
        """What is kept for a start, which becomes the one that was used last."""
        planes = self._starts[start] = self._starts.pop(start, {})
        for former in list(self._starts)[:-_MOST_STARTS]:
            del self._starts[former]
        return planes


def _start_of(model: PrototypeSegmenter) -> Any:
    """What the features of a model depend on."""
    config, backbone = model.config, model.extractor.backbone
    cut = (
        *(config.partition, config.region_size, config.compactness, config.pooling),
        *(config.local_features, config.downsample, config.output_stride),
    )
    return backbone.identity, backbone.digest(), str(model.device), cut
