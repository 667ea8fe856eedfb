"""A large image is measured by its labels on disk, and by what is drawn in windows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.labels.annotations import Annotation, Annotations, identify
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.large.measure import measure_job
from napari_gaussproto.jobs.large.order import LargeMeasure, Streamed
from napari_gaussproto.jobs.large.window import window_job
from napari_gaussproto.jobs.train_image import TrainImage
from tests.core.builders import tiny_model, two_tone

MODEL, SIDE, AREA = tiny_model(), 64, (20, 30, 60, 90)
CLASSES = tuple(MODEL.classes)


@pytest.mark.parametrize("file", [None, "/gone/field.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_labels_of_windows_that_are_closed_count(
    tmp_path: Path, dtype: str, file: str | None
) -> None:
    pixels: Any = two_tone(96, 120)[0].astype(dtype)
    if dtype != "uint8":
        pixels[80:] *= 50  # the window is dark, and scaled as the whole is
    found = segment(pixels, MODEL, tile=SIDE).labels
    cut = run(window_job(TrainImage("a", pixels, True, file=file), AREA))
    own = np.zeros((40, 60), np.uint8)
    own[:30, :20], own[:30, 20:40] = 1, 2
    whole = np.zeros(pixels.shape[:2], np.uint8)
    whole[20:50, 30:50], whole[20:50, 50:70] = 1, 2
    drawn = Annotation(identify(cut.pixels, "w", file, AREA), own)
    about = Provenance.of(MODEL.card, MODEL.device, None, tile=SIDE)
    made = Streamed(pixels, True, file, tmp_path / "x", MODEL, found, SIDE, None, about)
    order = LargeMeasure("x", made, None, {}, "", 1, lambda: Annotations(CLASSES, (drawn,)))
    measured = run(measure_job(order))
    counts = np.bincount(np.where(whole > 0, whole, found).ravel(), minlength=3)
    assert measured.areas["pixels"].tolist() == counts[1:].tolist()
    assert set(measured.areas["labels"]) == {"with corrections"}
