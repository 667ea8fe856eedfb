"""Prototypes beside their controls, on a drawing with a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.quality.controls import (
    NAMES,
    Seen,
    at_random,
    cells_of,
    classes_in,
    control,
    curves,
    linear_heat,
    markdown,
    of_heat,
    of_prototypes,
    typical_heat,
)
from napari_gaussproto import PrototypeSegmenter, segment
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture(scope="module")
def seen(model: PrototypeSegmenter) -> Seen:
    image, labels = two_tone()
    encoding = segment(image, model).encoding
    return Seen(image, labels, encoding, encoding)


def test_random_prototypes_stand_on_cells_of_their_class(model: PrototypeSegmenter) -> None:
    image, labels = two_tone()
    cells = cells_of(model, [image], [labels])
    other = control(model, cells, at_random)
    for m, mean in enumerate(other.layer.mean.detach()):
        own = cells.values[cells.majority == int(other.layer.class_index[m])]
        assert float((own - mean).norm(dim=1).min()) < 1e-4
        assert len(other.prototypes[m].distance_quantiles)
    assert not torch.equal(other.layer.mean, model.layer.mean)


def test_what_is_measured(model: PrototypeSegmenter, seen: Seen) -> None:
    found = of_prototypes(model, [seen])
    assert found["stability"] == 1  # the same cells twice
    assert found["purity"] > 0.8 and found["precision"] > 0.5
    assert list(classes_in(seen)) == [0, 1]
    image, labels = two_tone()
    heat = linear_heat(cells_of(model, [image], [labels]))
    assert of_heat(heat, model, [seen])["precision"] > 0.5
    assert heat(model.decode(seen.cells), 1).min() >= 0


def test_covering_what_is_named_takes_the_class_away(model: PrototypeSegmenter, seen: Seen) -> None:
    found = curves(typical_heat, model, model, [seen])
    assert 0 <= found["deletion"] <= 1 and 0 <= found["insertion"] <= 1
    assert np.isfinite(list(found.values())).all()


def test_what_was_not_measured_is_a_dash() -> None:
    text = markdown({"ours": dict.fromkeys(NAMES, 0.5), "heat": {"precision": 0.25}})
    assert "| localisation precision | 0.500 | 0.250 |" in text
    assert text.count("| – |") == len(NAMES) - 1
