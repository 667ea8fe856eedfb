"""What the Train dock asks of a thread: fit a model to strokes, and see the image anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.base.device import one_thread, release_memory
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.base.steps import WithValue, without_pauses
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.strokes import count_strokes
from napari_gaussproto.core.model.maps import maps_of, values_of
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, leading_of, plane_sources
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tuning
from napari_gaussproto.core.training.pyramid import (
    EncodedImage,
    encode_pyramid_steps,
    latents_of_image,
)
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.start import begin, unknown_classes
from napari_gaussproto.core.training.trainer import Trained
from napari_gaussproto.core.training.trial_fit import trial_fit_steps
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.jobs.requests import (
    ClosedRequest,
    FitRequest,
    FitResult,
    Judgement,
    TuneRequest,
    lost_sentence,
)
from napari_gaussproto.jobs.train_image import Stage, TrainImage

# Held-out mean IoU above which no training can do better.
_PERFECT = 0.999

Job = Callable[..., Generator[Any, None, FitResult]]


def timed(job: Job) -> Job:
    """A job that says how long it worked, without the time that it was paused."""

    @wraps(job)
    def timed(*arguments: Any) -> Generator[Any, None, FitResult]:
        begun, pauses = time.monotonic(), [0.0]
        result = yield from without_pauses(job(*arguments), pauses.append)
        return replace(result, seconds=time.monotonic() - begun - sum(pauses))

    return timed


@timed
def quick_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Fit neck and prototypes to all strokes, and segment the shown image."""
    encoded = []
    with _reading(request.closed):
        request, lost = yield from _with_closed(request)
        base, scratch = _begin(request)
        places = _places(request)
        for image, number, _ in places:
            encoded.append((yield from _pyramid(request.cache, base, image, number)))
    labels = [mask for _, _, mask in places]
    fitted = yield from quick_fit_steps(
        encoded, labels, base, classes=request.classes, scratch=scratch
    )
    result = yield from _see(request, base, fitted.model)
    return replace(
        result,
        measures={"labelled accuracy": fitted.accuracy},
        settings={"from": "a new model" if scratch else base.card.name},
        strokes=sum(map(count_strokes, labels)),
        images=_labelled_images(request),
        lost=lost,
    )


@timed
def tune_job(request: FitRequest, tune: TuneRequest) -> Generator[Any, None, FitResult]:
    """Train end to end, and segment the shown image."""
    with _reading(request.closed):
        request, lost = yield from _with_closed(request)
        base, scratch = _begin(request)
        try:
            learned = yield from _learn(request, tune, base, scratch)
        except GeneratorExit:
            # When napari is closed or killed the state stays, and the next fine-tune goes on.
            if tune.given_up():
                _forget(tune.checkpoint)
            raise
        finally:
            release_memory(base.device)
    # A quick fit that is kept instead is one in all respects: the next begins where it did.
    result = yield from _see(request, learned.model if learned.steps else base, learned.model)
    miou = learned.validation_miou
    said = {"steps": learned.steps, "minutes": tune.minutes, **tune.semi}
    return replace(
        result,
        began_with=base,
        judgement=_judgement(learned),
        measures={} if miou is None else {"held-out mIoU": miou},
        settings={name: value for name, value in said.items() if value and learned.steps},
        stopped=tune.stop(),
        trained=learned.steps > 0,
        strokes=sum(count_strokes(mask) for _, _, mask in _places(request)),
        images=_labelled_images(request),
        lost=lost,
    )


def _judgement(learned: Trained) -> Judgement | None:
    if learned.validation_miou is None:
        return "too few strokes"
    if learned.steps:
        return None
    return "right already" if learned.validation_miou > _PERFECT else "no gain"


@timed
def predict_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Segment the shown image by the model as it is."""
    base, _ = _begin(request)
    return (yield from _see(request, base, base))


# -- steps of the jobs -------------------------------------------------------------------------


@contextmanager
def _reading(closed: ClosedRequest | None) -> Iterator[None]:
    """Closed images may be read; afterwards, however it ends, none of them takes memory."""
    try:
        yield
    finally:
        if closed is not None:
            closed.reader.reset()


def _with_closed(
    request: FitRequest,
) -> Generator[Any, None, tuple[FitRequest, list[str]]]:
    """With the labelled images that are not open; and the names of those that are lost."""
    asked = request.closed
    if asked is None:
        return request, []
    steps = asked.reader.find(asked.stored(), request.images, asked.removed, asked.opened)
    closed = yield from steps
    images = [*request.images, *closed.images]
    if closed.lost and not any(image.labelled_planes() for image in images):
        raise LabelError(
            "What is labelled cannot be read, so there is nothing to learn from."
            + lost_sentence(closed.lost)
        )
    # A training that goes on must see them in the order that it began with.
    return replace(request, images=asked.reader.order(images)), closed.lost


def _begin(request: FitRequest) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with, of the classes asked for, and whether it is a new one."""
    start = request.start
    source = start.new or start.file or start.model
    assert source is not None  # as `Start` says
    return begin(source, request.classes, start.device, request.renamed)


def _places(request: FitRequest) -> list[tuple[TrainImage, int, Any]]:
    """All labelled planes: the image, the number of the plane, and its labels."""
    return [
        (image, number, mask)
        for image in request.images
        for number, mask in image.labelled_planes()
    ]


def _labelled_images(request: FitRequest) -> int:
    return sum(bool(image.labelled_planes()) for image in request.images)


def _pyramid(
    cache: PyramidCache, model: PrototypeSegmenter, image: TrainImage, plane: int
) -> Generator[Any, None, EncodedImage]:
    kept = cache.get(model, image, plane)
    if kept is None:
        steps = encode_pyramid_steps(_source(image, model, plane), model)
        for tile in (work := WithValue(steps)):
            yield Stage("Computing features of the image", tile.index, tile.total)
        kept = work.value
        cache.put(model, image, plane, kept)
    return kept


def _see(
    request: FitRequest, base: PrototypeSegmenter, model: PrototypeSegmenter
) -> Generator[Any, None, FitResult]:
    """Segment the shown image, all its planes, and compute all that is shown of it."""
    image = request.shown
    leading = leading_of(image.pixels, model, image.rgb)
    planes: list[Segmentation] = []
    for plane in range(int(np.prod(leading))):
        encoded = yield from _pyramid(request.cache, model, image, plane)
        planes.append(model.decode(latents_of_image(model, encoded)))
        yield Stage("Segmenting", plane + 1, int(np.prod(leading)))
    segmentation = StackSegmentation(planes, leading)
    prototype = min(request.prototype, len(model.prototypes) - 1)
    with one_thread():
        values = values_of(segmentation, prototype, request.quantity)
        _ = segmentation.labels, segmentation.cover, segmentation.prototype_share()
        maps = maps_of(segmentation, request.maps)
    unknown = [model.classes[c].name for c in unknown_classes(model)]
    return FitResult(base, model, base, segmentation, prototype, values, maps, unknown=unknown)


def _learn(
    request: FitRequest, tune: TuneRequest, base: PrototypeSegmenter, scratch: bool
) -> Generator[Any, None, Trained]:
    places = _places(request)
    labelled = {image.key for image, _, _ in places}

    def encode(model: PrototypeSegmenter, place: int) -> Generator[Any, None, EncodedImage]:
        image, number, _ = places[place]
        return _pyramid(request.cache, model, image, number)

    def learn() -> Generator[Any, None, Trained]:
        return trial_fit_steps(
            base,
            [_source(image, base, number) for image, number, _ in places],
            [mask for _, _, mask in places],
            TuneSettings(
                training=fine_tuning(**({} if tune.steps is None else {"steps": tune.steps})),
                semi=SemiSettings.only(**tune.semi),
                minutes=tune.minutes,
                seed=tune.seed,
                checkpoint=tune.checkpoint,
                stop=tune.stop,
            ),
            unlabelled=[
                _source(image, base, 0) for image in tune.unlabelled if image.key not in labelled
            ],
            scratch=scratch,
            encode=encode,
        )

    try:
        learned = yield from learn()
    except ConfigError:
        if tune.checkpoint is None or not tune.checkpoint.exists():
            raise
        # Left by another training, which this one cannot go on from.
        _forget(tune.checkpoint)
        learned = yield from learn()
    _forget(tune.checkpoint)
    return learned


def _forget(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def _source(image: TrainImage, model: PrototypeSegmenter, plane: int) -> ImageSource:
    return plane_sources(image.pixels, model, rgb=image.rgb)(plane)
