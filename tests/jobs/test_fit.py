"""Which detail a fit chooses, and what it computes anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.jobs.compare import compare_job
from napari_gaussproto.jobs.fit import FitResult, predict_job, quick_job
from napari_gaussproto.jobs.requests import CompareRequest, FitRequest, Start
from napari_gaussproto.jobs.train_image import Stage, TrainImage
from tests.core.builders import TINY_BACKBONE, tiny_model, two_tone
from tests.jobs.images import CLASSES

NEW = NewModel(backbone=TINY_BACKBONE, pretrained=False)
WIDE = 1900  # a square of so many pixels wants every second one
ENCODES = "Computing features"


def photo(key: str, side: int = 64, strokes: int = 1) -> TrainImage:
    """A photograph with strokes of both classes, each through a plant."""
    pixels, truth = two_tone(height=side, width=side)
    codes = np.zeros(truth.shape, np.uint16)
    middle = int(np.median(np.nonzero(truth == 2)[0]))
    for row in range(middle, middle + 4 * strokes, 4):
        codes[row : row + 2] = truth[row : row + 2]
    return TrainImage(key, pixels, True, Snapshot.of(codes), key, None)


def asked(start: Start, *images: TrainImage, cache: PyramidCache | None = None) -> FitRequest:
    return FitRequest(
        start=start,
        classes=CLASSES,
        renamed={},
        images=images,
        shown=images[0],
        maps=[],
        prototype=0,
        quantity="responsibility",
        cache=cache or PyramidCache(),
    )


def done(steps: Any) -> tuple[Any, int]:
    """What a job gives back, and how many tiles it encoded for that."""
    work = WithValue(steps)
    tiles = [step for step in work if isinstance(step, Stage) and ENCODES in step.text]
    return work.value, len(tiles)


def fitted(request: FitRequest) -> FitResult:
    return done(quick_job(request))[0]


def test_a_larger_photograph_that_is_added_gets_a_coarser_detail() -> None:
    first = fitted(asked(Start(new=NEW), photo("small")))
    assert first.base.config.downsample == 1
    after = Start(model=first.base, new=NEW)
    again = fitted(asked(after, photo("small"), photo("other")))
    assert again.base is first.base
    larger = fitted(asked(after, photo("small"), photo("large", WIDE)))
    assert larger.base.config.downsample == larger.model.config.downsample == 2
    back = fitted(asked(Start(model=larger.base, new=NEW), photo("small")))
    assert back.base.config.downsample == 1


def test_a_detail_that_a_person_chose_stays() -> None:
    new = NEW.model_copy(update={"downsample": 2})
    base = fitted(asked(Start(new=new), photo("small"))).base
    again = fitted(asked(Start(model=base, new=new), photo("small"), photo("other")))
    assert again.base is base and base.config.downsample == 2


def test_a_large_photograph_without_a_stroke_does_not_count() -> None:
    blank = photo("large", WIDE, strokes=0)
    assert fitted(asked(Start(new=NEW), photo("small"), blank)).base.config.downsample == 1


@pytest.fixture
def file(tmp_path: Any) -> Start:
    """A start in a file, with another backbone than a new model's."""
    model = tiny_model(seed=5, classes=CLASSES)
    return Start(file=save_model(model, tmp_path / "known"))


def test_going_to_and_fro_between_two_starts_encodes_each_image_once(file: Start) -> None:
    cache, one, other = PyramidCache(), photo("one"), photo("other")
    new, coarse = Start(new=NEW), Start(new=NEW.model_copy(update={"downsample": 2}))

    def encodes(start: Start) -> int:
        return done(quick_job(asked(start, one, other, cache=cache)))[1]

    assert [encodes(start) for start in (file, new, file, new)] == [2, 2, 0, 0]
    assert [encodes(start) for start in (coarse, new, file)] == [2, 0, 2]  # two are kept


def test_a_start_that_was_compared_needs_no_features_to_begin_with(file: Start) -> None:
    cache, image = PyramidCache(), photo("one", strokes=6)
    request = asked(file, image, cache=cache)
    assert done(quick_job(request))[1] == 1
    rival = Start(new=NEW)
    found, encodes = done(compare_job(CompareRequest(request, rival)))
    assert found.comparison is not None and encodes == 1
    assert done(quick_job(asked(rival, image, cache=cache)))[1] == 0


@pytest.mark.parametrize("strokes", [0, 1])
def test_a_prediction_has_the_cells_that_a_run_of_the_model_has(strokes: int) -> None:
    model = tiny_model(photo_pixels=2000)
    large, small = photo("large", 128, strokes=0), photo("small", 64, strokes=strokes)
    request = replace(
        asked(Start(model=model, device="cpu"), large, small), classes=tuple(model.classes)
    )
    result, _ = done(predict_job(request))
    own = segment(large.pixels, model)
    assert result.view.segmentation.map_pixel_size == own.map_pixel_size > model.cell_size
    np.testing.assert_array_equal(result.view.segmentation.labels, own.labels)
    assert result.model is model  # so that its edits show there
