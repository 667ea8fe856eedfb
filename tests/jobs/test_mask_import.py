"""Masks for an image of the viewer, and the picture of what they are taken for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.io.masks import CodedMask
from napari_gaussproto.jobs.mask_import import read_job
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import two_tone


@pytest.mark.parametrize("grey", [False, True])
def test_the_preview_shows_classes_in_their_colours(grey: bool) -> None:
    photo, truth = two_tone()
    pixels = photo[..., 0].astype(np.float32) if grey else photo
    image = TrainImage("a", pixels, not grey)
    mask = CodedMask(truth.astype(np.int64))
    read = read_job(lambda: mask, image, "mask", False)
    before = read.preview(mask, {1: 0, 2: 0}, ["#ff0000"])
    after = read.preview(mask, {1: 0, 2: 1}, ["#ff0000"])
    assert before is not None and after is not None and after.shape == (*truth.shape, 3)
    changed = (before != after).any(-1)
    assert changed[truth == 2].all() and not changed[truth == 1].any()
    assert (after[truth == 2][:, 0] >= 153).all()  # red


def test_a_stack_has_no_preview() -> None:
    photo, truth = two_tone()
    image = TrainImage("a", np.stack([photo, photo]), True)
    mask = CodedMask(np.stack([truth, truth]).astype(np.int64))
    read = read_job(lambda: mask, image, "mask", False)
    assert read.preview(mask, {1: 1}, ["#ff0000"]) is None
