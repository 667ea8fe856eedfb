"""What is drawn on images: found again by their pixels, and changed with the class table."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.labels.class_table import add_class, merge_classes, remove_class
from tests.core.drawings import BEFORE, CLASSES, equal


def test_images_are_recognised_by_their_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (400, 500, 3), dtype=np.uint8)
    known = identify(image, "a")
    assert known.same_pixels(identify(image.copy(), "renamed"))
    assert not known.same_pixels(identify(image[:-1], "a"))
    windows = [identify(image, "a", window=(y, 0, y + 64, 64)) for y in (0, 64)]
    assert not windows[0].same_pixels(windows[1]), "plain ground looks alike everywhere"
    other = image.copy()
    other[200, 250] += 1  # the middle is always sampled
    assert not known.same_pixels(identify(other, "a"))
    assert not known.same_pixels(identify(image.astype(np.uint16), "a"))
    store = Annotations(CLASSES, (Annotation(known, image[..., 0] % 4),))
    assert store.find(identify(image, "renamed")) is store.images[0]
    assert store.find(identify(other, "a")) is None


def test_class_changes_reach_every_image_and_are_taken_back() -> None:
    for change in (merge_classes(CLASSES, 0, 2), remove_class(CLASSES, 1)):
        changed, forgotten = BEFORE.changed(change)
        assert changed.classes == change.after
        assert all(a.labels.max() <= 2 for a in changed.images)
        assert equal(changed.reverted(change, forgotten), BEFORE)
    with pytest.raises(LabelError, match="changed in the meantime"):
        BEFORE.changed(add_class(CLASSES[:2], "stone"))


def test_what_is_no_annotation_is_refused() -> None:
    image = BEFORE.images[0].image
    with pytest.raises(LabelError, match="8-bit"):
        Annotation(image, np.zeros((2, 2), np.int64))
