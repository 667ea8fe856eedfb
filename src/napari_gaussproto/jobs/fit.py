"""What the Train dock asks of a thread: fit a model to strokes, and see the image anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import WithValue, without_pauses
from napari_gaussproto.core.model.maps import maps_of, values_of
from napari_gaussproto.jobs.libraries import load_libraries
from napari_gaussproto.jobs.requests import (
    ClosedRequest,
    FitRequest,
    FitResult,
    NewModel,
    PyramidCache,
    TuneRequest,
)
from napari_gaussproto.jobs.train_image import Stage, TrainImage
from napari_gaussproto.widgets.train.fitting.sentences import lost_sentence

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.imaging.source import ImageSource
    from napari_gaussproto.core.model.segmentation import Segmentation
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.training.pyramid import EncodedImage
    from napari_gaussproto.core.training.trial_fit import Learned

_TOO_FEW = (
    "There are too few strokes to set some aside: no IoU can be given, and the last weights "
    "are kept. Draw at least two strokes of a class."
)
_NO_GAIN = (
    "Fine-tuning made strokes that were set aside no better, so the quick fit is kept. More "
    "strokes, on more images, help."
)
# Held-out mean IoU above which no training can do better.
_PERFECT = 0.999
_ALL_RIGHT = (
    "Strokes that were set aside were right without it, so the quick fit is kept. Paint where it "
    "is wrong, then fine-tune."
)


Job = Callable[..., Generator[Any, None, FitResult]]


def timed(job: Job) -> Job:
    """A job that says how long it worked, without the time that it was paused."""

    @wraps(job)
    def timed(*arguments: Any) -> Generator[Any, None, FitResult]:
        begun, pauses = time.monotonic(), [0.0]
        result = yield from without_pauses(job(*arguments), pauses.append)
        result.seconds = time.monotonic() - begun - sum(pauses)
        return result

    return timed


@timed
def quick_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Fit neck and prototypes to all strokes, and segment the shown image."""
    load_libraries()
    from napari_gaussproto.core.labels.strokes import count_strokes
    from napari_gaussproto.core.training.quick_fit import quick_fit_steps

    encoded, labels = [], []
    with _reading(request.closed):
        request, lost = yield from _with_closed(request)
        base, scratch = _begin(request)
        for image in request.images:
            for number, plane in image.labelled_planes():
                encoded.append((yield from _pyramid(request.cache, base, image, number)))
                labels.append(plane)
    fitted = yield from quick_fit_steps(
        encoded, labels, base, classes=request.classes, scratch=scratch
    )
    result = yield from _see(request, base, fitted.model)
    result.measures = {"labelled accuracy": fitted.accuracy}
    result.settings = {"from": "a new model" if scratch else base.card.name}
    result.strokes = sum(count_strokes(mask) for mask in labels)
    result.images = sum(bool(image.labelled_planes()) for image in request.images)
    result.lost = lost
    return result


@timed
def tune_job(request: FitRequest, tune: TuneRequest) -> Generator[Any, None, FitResult]:
    """Train end to end, and segment the shown image."""
    load_libraries()
    from napari_gaussproto.core.base.device import release_memory
    from napari_gaussproto.core.labels.strokes import count_strokes

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
    result.began_with = base
    if learned.held_out_miou is None:
        result.warning = _TOO_FEW
    else:
        result.measures = {"held-out mIoU": learned.held_out_miou}
        perfect = learned.held_out_miou > _PERFECT
        result.warning = "" if learned.steps else _ALL_RIGHT if perfect else _NO_GAIN
    said = {"steps": learned.steps, "minutes": tune.minutes, **tune.semi}
    result.stopped, result.trained = tune.stop(), learned.steps > 0
    result.settings = {name: value for name, value in said.items() if value and result.trained}
    labels = [mask for image in request.images for _, mask in image.labelled_planes()]
    result.strokes = sum(count_strokes(mask) for mask in labels)
    result.images = sum(bool(image.labelled_planes()) for image in request.images)
    result.lost = lost
    return result


@timed
def predict_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Segment the shown image by the model as it is."""
    load_libraries()
    base, _ = _begin(request)
    result = yield from _see(request, base, base)
    return result


# -- steps of the jobs -------------------------------------------------------------------------


@contextmanager
def _reading(closed: ClosedRequest | None) -> Iterator[None]:
    """Closed images may be read; afterwards, however it ends, none of them takes memory."""
    try:
        yield
    finally:
        if closed is not None:
            closed.shelf.put_away()


def _with_closed(
    request: FitRequest,
) -> Generator[Any, None, tuple[FitRequest, list[str]]]:
    """With the labelled images that are not open; and the names of those that are lost."""
    asked = request.closed
    if asked is None:
        return request, []
    steps = asked.shelf.find_steps(asked.stored(), request.images, asked.removed, asked.opened)
    closed = yield from steps
    images = [*request.images, *closed.images]
    if closed.lost and not any(image.labelled_planes() for image in images):
        raise LabelError(
            "What is labelled cannot be read, so there is nothing to learn from."
            + lost_sentence(closed.lost)
        )
    # A training that goes on must see them in the order that it began with.
    return replace(request, images=asked.shelf.order(images)), closed.lost


def _begin(request: FitRequest) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with, of the classes asked for, and whether it is a new one."""
    from napari_gaussproto.core.base.device import resolve_device, same_device
    from napari_gaussproto.core.editing.class_change import adapt
    from napari_gaussproto.core.model.model_file import load_model_file

    start = request.start
    if start.new is not None:
        return new_model(start.new, request.classes, start.device), True
    model = start.model
    if model is None:
        assert start.file is not None  # as `Start` says
        model = load_model_file(start.file, resolve_device(start.device))
    if list(model.classes) != list(request.classes):
        went = request.renamed
        mapping = {i: went[c.name] for i, c in enumerate(model.classes) if c.name in went}
        model = adapt(model, request.classes, mapping)
    device = resolve_device(start.device)
    if not same_device(model.device, device):
        model = model.on_device(device)
    # A model that was never fitted has nothing to go on from, however often it is begun with.
    return model, not len(model.density_quantiles)


def new_model(
    new: NewModel, classes: Sequence[SegmentationClass], device: str
) -> PrototypeSegmenter:
    """A model that knows nothing but its backbone."""
    from napari_gaussproto.core.base.config import ModelConfig
    from napari_gaussproto.core.base.device import resolve_device
    from napari_gaussproto.core.base.seeds import seeded
    from napari_gaussproto.core.model.card import now
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

    config = ModelConfig(
        classes=list(classes),
        partition=new.partition,
        backbone=new.backbone,
        pretrained=new.pretrained,
        prototypes_per_class=new.prototypes_per_class,
        downsample=new.downsample,
        region_size=new.region_size,
    )
    with seeded(0):
        model = PrototypeSegmenter(config, pretrained=new.pretrained)
    model.card.name = f"{new.partition} model"
    model.card.history.append({"what": "new model", "when": now()})
    return model.to(resolve_device(device)).eval()


def _pyramid(
    cache: PyramidCache, model: PrototypeSegmenter, image: TrainImage, plane: int
) -> Generator[Any, None, EncodedImage]:
    from napari_gaussproto.core.training.pyramid import encode_pyramid_steps

    kept = cache.get(model, image, plane)
    if kept is None:
        steps = encode_pyramid_steps(_source(image, model, plane), model)
        for tile in (work := WithValue(steps)):
            yield Stage("Looking at the image", tile.index, tile.total)
        kept = work.value
        cache.put(model, image, plane, kept)
    return kept


def _see(
    request: FitRequest, base: PrototypeSegmenter, model: PrototypeSegmenter
) -> Generator[Any, None, FitResult]:
    """Segment the shown image, all its planes, and compute all that is shown of it."""
    from napari_gaussproto.core.base.device import one_thread
    from napari_gaussproto.core.model.stack import StackSegmentation, leading_of
    from napari_gaussproto.core.training.new_classes import unknown_classes
    from napari_gaussproto.core.training.pyramid import latents_of_image

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
) -> Generator[Any, None, Learned]:
    from napari_gaussproto.core.base.errors import ConfigError
    from napari_gaussproto.core.training.fine_tune import fine_tuning
    from napari_gaussproto.core.training.semi import SemiSettings
    from napari_gaussproto.core.training.trial_fit import learn_steps

    places = [
        (image, number, mask)
        for image in request.images
        for number, mask in image.labelled_planes()
    ]
    sources = [_source(image, base, number) for image, number, _ in places]
    labels = [mask for _, _, mask in places]

    def encode(model: PrototypeSegmenter, place: int) -> Generator[Any, None, EncodedImage]:
        image, number, _ = places[place]
        return _pyramid(request.cache, model, image, number)

    options: dict[str, Any] = {
        "scratch": scratch,
        "encode": encode,
        "unlabelled": [
            _source(image, base, 0)
            for image in tune.unlabelled
            if all(image.key != place.key for place, _, _ in places)
        ],
        "training": fine_tuning(**({} if tune.steps is None else {"steps": tune.steps})),
        "semi_settings": SemiSettings.only(**tune.semi),
        "seed": tune.seed,
        "minutes": tune.minutes,
        "checkpoint": tune.checkpoint,
        "stop": tune.stop,
    }
    try:
        learned = yield from learn_steps(base, sources, labels, **options)
    except ConfigError:
        if tune.checkpoint is None or not tune.checkpoint.exists():
            raise
        # Left by another training, which this one cannot go on from.
        _forget(tune.checkpoint)
        learned = yield from learn_steps(base, sources, labels, **options)
    _forget(tune.checkpoint)
    return learned


def _forget(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def _source(image: TrainImage, model: PrototypeSegmenter, plane: int) -> ImageSource:
    from napari_gaussproto.core.model.stack import plane_sources

    return plane_sources(image.pixels, model, rgb=image.rgb)(plane)
