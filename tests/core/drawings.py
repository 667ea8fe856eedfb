"""Annotations for tests: two states of the same images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.labels.class_table import merge_classes

CLASSES = (
    SegmentationClass(name="soil", color="#d55e00"),
    SegmentationClass(name="Löwenzahn", color="#009e73"),
    SegmentationClass(name="weed", color="#56b4e9"),
)


def annotation(seed: int, name: str = "", shape: tuple[int, ...] = (40, 50)) -> Annotation:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = rng.integers(0, 4, shape, dtype=np.uint8)
    return Annotation(identify(image, name or f"photo {seed}"), labels)


def equal(a: Annotations, b: Annotations) -> bool:
    return (
        a.classes == b.classes
        and [x.image for x in a.images] == [x.image for x in b.images]
        and all(np.array_equal(x.labels, y.labels) for x, y in zip(a.images, b.images, strict=True))
    )


BEFORE = Annotations(CLASSES, (annotation(0), annotation(1), annotation(2, shape=(3, 8, 9))))
# Another drawing on one image, one image less, one more, and another class table.
AFTER = (
    BEFORE.with_annotation(replace(BEFORE.images[0], labels=annotation(7).labels))
    .without(BEFORE.images[1].image)
    .with_annotation(annotation(3))
    .changed(merge_classes(CLASSES, 2, 1))[0]
)
