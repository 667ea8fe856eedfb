"""Images in files, and what is drawn on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tifffile import imwrite

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.jobs.closed_images import ClosedImages
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone

CLASSES = (
    SegmentationClass(name="soil", color="#aa7744"),
    SegmentationClass(name="plant", color="#00aa55"),
)


def labels_like(image: Any, value: int = 1) -> Any:
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[10:14, 10:40] = value
    return labels


def kept_of(*images: tuple[Any, str | None]) -> Annotations:
    kept = Annotations(CLASSES)
    for pixels, file in images:
        labels = labels_like(pixels)
        name = "photo" if file is None else Path(file).name
        identity = identify(pixels, name, file)
        kept = kept.with_annotation(Annotation(identity, labels))
    return kept


def train_image(key: Any, pixels: Any, value: int = 1, file: str | None = None) -> TrainImage:
    codes = labels_like(pixels, value).astype(np.uint16)
    return TrainImage(key, pixels, True, Snapshot.of(codes), str(key), file)


def saved(folder: Path, seed: int = 0, name: str = "photo.tif") -> tuple[Any, str]:
    pixels = two_tone(seed=seed)[0]
    file = folder / name
    imwrite(file, pixels, photometric="rgb")
    return pixels, str(file)


def find(reader: ClosedImages, *what: Any) -> Any:
    return run(reader.find(*what))
