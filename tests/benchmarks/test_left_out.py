"""A class is left out of the labels, and its cells are told."""

from __future__ import annotations

import numpy as np

from benchmarks.loop.photos import Photo
from benchmarks.quality.left_out import MEASURES, markdown, measure, without


def test_a_class_is_left_out_of_the_labels() -> None:
    truth = np.array([[0, 1, 2, 3]], np.uint8)
    assert without(truth, 2).tolist() == [[0, 1, 0, 2]]
    assert without(truth, 2).dtype == np.uint8


def test_what_was_never_seen_is_told() -> None:
    colours = np.array([[130, 100, 70], [60, 150, 50], [230, 40, 200]])
    photos = []
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(-8, 9, (96, 192, 3))
        truth = np.repeat(np.arange(1, 4, dtype=np.uint8), 64)[None].repeat(96, 0)
        photos.append(Photo((colours[truth - 1] + noise).astype(np.uint8), truth, ""))
    row = measure(("drawing", ("soil", "leaf", "flower"), photos[:1], photos[1:]), 3)
    assert row is not None and set(row) == set(MEASURES)
    assert row["novelty"] > 0.95
    text = markdown({"drawing: flower": row, "none": dict.fromkeys(MEASURES, 0.5)})
    assert "| none | **0.500** | **0.500** | **0.500** | **0.500** |" in text
