"""Where an image has no data nothing is said, counted, learned or explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_gaussproto.core.base.errors import ImageError, LabelError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.explain.explain import explain, explain_mask
from napari_gaussproto.core.explain.places import most_novel_places, most_uncertain_places
from napari_gaussproto.core.model.predict import segment, segment_to_zarr
from napari_gaussproto.core.model.stack import segment_stack_steps
from napari_gaussproto.core.training.quick_fit import quick_fit
from tests.core.builders import tiny_model, two_tone

IMAGE, TRUTH = two_tone()
HOLE = np.zeros(TRUTH.shape, bool)
HOLE[:, :64] = True
PARTITIONS = ("grid", "superpixel")


def holed(rubbish: int = 0) -> np.ndarray:
    image = np.where(HOLE[..., None], np.uint8(rubbish), IMAGE)
    return np.dstack([image, np.where(HOLE, 0, 255)]).astype(np.uint8)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_nothing_is_said_of_a_hole(partition: str) -> None:
    model = tiny_model(partition=partition)
    segmentation = segment(holed(), model)
    assert np.array_equal(segmentation.labels == 0, HOLE)
    assert segmentation.data_share == 0.5
    counts = np.bincount(segmentation.labels[~HOLE], minlength=3)[1:]
    assert list(segmentation.cover().values()) == pytest.approx(counts / counts.sum())
    assert segmentation.prototype_share().sum() == pytest.approx(1, abs=1e-5)
    for cells in (False, True):
        maps = [segmentation.novelty(cells), segmentation.uncertainty(cells)]
        maps += [segmentation.likelihood(0, cells), segmentation.responsibility(0, cells)]
        maps += list(segmentation.class_probabilities(cells))
        for values in maps:
            middle = 64 // (segmentation.map_pixel_size if cells else 1)
            assert not values[:, :middle].any() and values[:, middle:].any()
    # Whatever stands in a hole, it changes nothing.
    assert np.array_equal(segment(holed(255), model).labels, segmentation.labels)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_streamed_labels_have_the_same_hole(partition: str, tmp_path: Path) -> None:
    model = tiny_model(partition=partition)
    path = segment_to_zarr(holed(), model, tmp_path / "labels.zarr", tile=32)
    assert np.array_equal(np.asarray(zarr.open(str(path), mode="r")) == 0, HOLE)


def test_the_cover_of_a_stack_is_over_all_its_data() -> None:
    model = tiny_model()
    stack = np.stack([holed(), np.dstack([IMAGE, np.full(TRUTH.shape, 255, np.uint8)])])
    segmentation = run(segment_stack_steps(stack, model, rgb=True))
    counts = np.bincount(segmentation.labels.ravel(), minlength=3)
    assert counts[0] == HOLE.sum() and segmentation.data_share == 0.75
    assert list(segmentation.cover.values()) == pytest.approx(counts[1:] / counts[1:].sum())


def test_a_black_picture_has_no_class_and_no_cover() -> None:
    segmentation = segment(np.zeros((64, 64, 3), np.uint8), tiny_model())
    assert not segmentation.labels.any() and segmentation.data_share == 0
    assert set(segmentation.cover().values()) == {0.0}
    assert np.isfinite(segmentation.prototype_share()).all()
    assert not segmentation.novelty().any()
    assert not most_novel_places(segmentation)


def test_a_hole_has_no_explanation_and_is_no_place_to_look_at() -> None:
    segmentation = segment(holed(), tiny_model())
    with pytest.raises(ImageError, match="holds no data here"):
        explain(segmentation, 40, 10)
    with pytest.raises(ImageError, match="holds no data here"):
        explain_mask(segmentation, HOLE)
    whole = explain_mask(segmentation, np.ones_like(HOLE))
    part = explain_mask(segmentation, ~HOLE)
    assert whole.class_probability == pytest.approx(part.class_probability)
    for places in (most_novel_places(segmentation), most_uncertain_places(segmentation)):
        assert places and not any(HOLE[place.y, place.x] for place in places)


def test_strokes_in_a_hole_teach_nothing() -> None:
    labels = np.zeros(TRUTH.shape, np.uint8)
    labels[30:60, 80:120] = TRUTH[30:60, 80:120]
    wrong = labels.copy()
    wrong[:, :50] = 3 - TRUTH[:, :50]
    start = tiny_model()
    fits = [quick_fit(holed(), own, start=start, device="cpu") for own in (labels, wrong)]
    means = [fit.layer.mean.detach().numpy() for fit in fits]
    assert np.array_equal(*means)
    with pytest.raises(LabelError, match="Only pixels without data are labelled"):
        quick_fit(holed(), wrong * HOLE, start=start, device="cpu")
