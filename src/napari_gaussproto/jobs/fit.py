"""What the Train dock asks of a thread: fit a model to strokes, and see the image anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from napari_gaussproto.core.base.device import one_thread, release_memory
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.base.steps import WithValue, without_pauses
from napari_gaussproto.core.editing.new_classes import unknown_classes
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.strokes import count_strokes
from napari_gaussproto.core.model.labelled import most_pixels
from napari_gaussproto.core.model.maps import Maps, maps_of, values_of
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, leading_of, plane_sources
from napari_gaussproto.core.project.version import ACCURACY, HELD_OUT, LOOKS
from napari_gaussproto.core.training.descent import Trained
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tuning
from napari_gaussproto.core.training.pyramid import (
    EncodedImage,
    encode_pyramid_steps,
    latents_of_image,
)
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.start import begin, detail
from napari_gaussproto.core.training.trial_fit import trial_fit_steps
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.jobs.closed_images import lost_sentence
from napari_gaussproto.jobs.requests import ClosedRequest, FitRequest, TuneRequest
from napari_gaussproto.jobs.train_image import Stage, TrainImage

# Held-out mean IoU above which no training can do better.
_PERFECT = 0.999

Judgement = Literal[
    "too few strokes", "no gain", "right already", "stopped", "stopped at once", "astray"
]


@dataclass(frozen=True)
class View:
    """The shown image as a model segments it, with every array computed.

    Attributes
    ----------
    values : (..., h, w) ndarray
        The map of the prototype.
    maps : dict of MapRole to (..., h, w) ndarray
        Further maps.
    unknown : list of str
        Names of classes that the model knows nothing of yet.
    """

    segmentation: StackSegmentation
    prototype: int
    values: npt.NDArray[np.float32]
    maps: Maps
    unknown: Sequence[str]


@dataclass(frozen=True)
class FitResult:
    """What a fit gives back.

    Attributes
    ----------
    began_with : PrototypeSegmenter
        The parent of the model among the versions.
    seconds : float
        Without pauses.
    strokes, images : int
        Connected strokes, and the images that they are on.
    stopped : bool
        Before the budget was used up.
    trained : bool
        End to end; False where a quick fit was kept instead.
    judgement : str or None
        What the labels that were set aside say about a fine-tune, if not that it gained:
        "too few strokes" to set any aside; "no gain", "right already" or "stopped", where a quick
        fit is kept instead; "stopped at once", where the model is the one that there was;
        "astray", where a training was given up.
    kept : bool
        The model is the one that was in use before.
    lost : list of str
        Names of closed images that nothing could be learned from.
    """

    model: PrototypeSegmenter
    began_with: PrototypeSegmenter
    view: View
    seconds: float
    measures: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    strokes: int = 0
    images: int = 0
    stopped: bool = False
    trained: bool = False
    judgement: Judgement | None = None
    kept: bool = False
    lost: Sequence[str] = ()

    @property
    def base(self) -> PrototypeSegmenter:
        """Where the next fit begins, with more strokes: after a quick fit where this one did."""
        return self.model if self.trained else self.began_with


Clock = Callable[[], float]
Steps = Generator[Any, None, FitResult]


def timed(job: Callable[..., Steps]) -> Callable[..., Steps]:
    """Give a job a clock, by the name ``clock``: its seconds of work, without pauses."""

    @wraps(job)
    def timed(*arguments: Any) -> Steps:
        begun, pauses = time.monotonic(), [0.0]
        steps = job(*arguments, clock=lambda: time.monotonic() - begun - sum(pauses))
        return (yield from without_pauses(steps, pauses.append))

    return timed


@timed
def quick_job(request: FitRequest, *, clock: Clock) -> Steps:
    """Fit prototypes to all strokes, and segment the shown image."""
    encoded = []
    with _reading(request.closed):
        request, lost = yield from _with_closed(request)
        base, scratch = base_of(request)
        places = labelled_places(request)
        for image, number, _ in places:
            encoded.append((yield from encoded_plane(request.cache, base, image, number)))
    labels = [mask for _, _, mask in places]
    fitted = yield from quick_fit_steps(
        encoded, labels, base, classes=request.classes, scratch=scratch
    )
    view = yield from _view(request, fitted.model)
    return FitResult(
        fitted.model,
        base,
        view,
        clock(),
        measures={} if fitted.held_out is None else {ACCURACY: fitted.held_out},
        settings={"from": "a new model" if scratch else base.card.name},
        strokes=sum(map(count_strokes, labels)),
        images=len({image.key for image, _, _ in places}),
        lost=lost,
    )


@timed
def tune_job(request: FitRequest, tune: TuneRequest, *, clock: Clock) -> Steps:
    """Train end to end, and segment the shown image."""
    in_use = tune.in_use
    if in_use is not None and list(in_use.classes) != list(request.classes):
        in_use = None  # it is of a class table that was changed since
    with _reading(request.closed):
        # Where there is a model to keep, a stop needs no image.
        gives_up = (lambda: False) if in_use is None else tune.stop
        request, lost = yield from _with_closed(request, gives_up)
        base, scratch = base_of(request)
        try:
            learned = yield from _learn(request, tune, base, scratch, in_use)
        except GeneratorExit:
            # When napari is closed or killed the state stays, and the next fine-tune goes on.
            if tune.given_up():
                _forget(tune.checkpoint)
            raise
        finally:
            release_memory(base.device)
    at_once = learned.model is base or learned.model is tune.in_use
    same = in_use is not None and not learned.steps and _stays(request, in_use, learned.model)
    model = in_use if same and in_use is not None else learned.model
    view = yield from _view(request, model)
    miou, places = learned.validation_miou, labelled_places(request)
    said = {"steps": learned.steps, "minutes": tune.minutes, LOOKS: learned.looks, **tune.semi}
    return FitResult(
        model,
        base,
        view,
        clock(),
        judgement="stopped at once" if at_once else _judgement(learned, tune.stop()),
        kept=same or at_once,
        measures={} if miou is None else {HELD_OUT: miou},
        settings={name: value for name, value in said.items() if value and learned.steps},
        stopped=tune.stop(),
        trained=learned.steps > 0,
        strokes=sum(count_strokes(mask) for _, _, mask in places),
        images=len({image.key for image, _, _ in places}),
        lost=lost,
    )


def _stays(request: FitRequest, in_use: PrototypeSegmenter, refit: PrototypeSegmenter) -> bool:
    """Whether the model in use stays where training led to nothing.

    It does where a quick fit to the same strokes is no other model; and where the training went on
    from it, as after going back to a version, if it was fitted to strokes and knows every class.
    """
    went_on = request.start.model is in_use and in_use.card.strokes is not None
    return (went_on and not unknown_classes(in_use)) or _equal(in_use, refit)


def _equal(a: PrototypeSegmenter, b: PrototypeSegmenter) -> bool:
    """Whether two models on one backbone have the same weights and the same classes."""
    if a.extractor.backbone is not b.extractor.backbone or a.classes != b.classes:
        return False
    pairs = [(m.extractor.neck.state_dict() | m.layer.state_dict()) for m in (a, b)]
    known, other = pairs
    return known.keys() == other.keys() and all(
        torch.equal(value, other[key]) for key, value in known.items()
    )


def _judgement(learned: Trained, stopped: bool) -> Judgement | None:
    if stopped and not learned.steps:
        return "stopped"
    if learned.astray is not None:
        return "astray"
    if learned.validation_miou is None:
        return "too few strokes"
    if learned.steps:
        return None
    return "right already" if learned.validation_miou > _PERFECT else "no gain"


@timed
def predict_job(request: FitRequest, *, clock: Clock) -> Steps:
    """Segment the shown image by the model as it is, in the cells that it has for that image."""
    base, _ = base_of(request, suits_all=False)
    cutting = base.suited_to(_source(request.shown, base, 0).pixels)
    return FitResult(base, base, (yield from _view(request, cutting)), clock())


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
    request: FitRequest, gives_up: Callable[[], bool] = lambda: False
) -> Generator[Any, None, tuple[FitRequest, list[str]]]:
    """With the labelled images that are not open; and the names of those that are lost."""
    asked = request.closed
    if asked is None:
        return request, []
    steps = asked.reader.find(asked.stored(), request.images, asked.removed, asked.opened)
    for step in (work := WithValue(steps)):
        if gives_up():
            return request, []
        yield step
    closed = work.value
    images = [*request.images, *closed.images]
    if closed.lost and not any(image.labelled_planes() for image in images):
        raise LabelError(
            "What is labelled cannot be read, so there is nothing to learn from."
            + lost_sentence(closed.lost)
        )
    # A training that goes on must see them in the order that it began with.
    return replace(request, images=asked.reader.order(images)), closed.lost


def base_of(request: FitRequest, *, suits_all: bool = True) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with, of the classes asked for, and whether it is a new one.

    It suits all labelled images alike, or goes on suiting itself to each.
    """
    start = request.start
    source = start.model or start.file or start.new
    assert source is not None  # as `Start` says
    pixels = most_pixels([mask for _, _, mask in labelled_places(request)])
    if start.new is not None and (
        start.model is None or start.model.config.downsample != detail(start.new, pixels)
    ):
        source = start.new
    about = (request.classes, start.device, request.renamed)
    return begin(source, *about, pixels if suits_all else None)


def labelled_places(request: FitRequest) -> list[tuple[TrainImage, int, Any]]:
    """All labelled planes: the image, the number of the plane, and its labels."""
    return [
        (image, number, mask)
        for image in request.images
        for number, mask in image.labelled_planes()
    ]


def _source(image: TrainImage, model: PrototypeSegmenter, plane: int) -> ImageSource:
    """A plane of an image as a model reads it."""
    return plane_sources(image.pixels, model, rgb=image.rgb, nodata=image.nodata)(plane)


def encoded_plane(
    cache: PyramidCache, model: PrototypeSegmenter, image: TrainImage, plane: int
) -> Generator[Any, None, EncodedImage]:
    """Features of a plane of an image, from the cache if they are there."""
    kept = cache.get(model, image, plane)
    if kept is None:
        steps = encode_pyramid_steps(_source(image, model, plane), model)
        for tile in (work := WithValue(steps)):
            yield Stage("Computing features of the image", tile.index, tile.total)
        kept = work.value
        cache.put(model, image, plane, kept)
    return kept


def _view(request: FitRequest, model: PrototypeSegmenter) -> Generator[Any, None, View]:
    """Segment the shown image, all its planes, and compute all that is shown of it."""
    image = request.shown
    leading = leading_of(image.pixels, model, image.rgb)
    planes: list[Segmentation] = []
    for plane in range(int(np.prod(leading))):
        encoded = yield from encoded_plane(request.cache, model, image, plane)
        planes.append(model.decode(latents_of_image(model, encoded)))
        yield Stage("Segmenting", plane + 1, int(np.prod(leading)))
    segmentation = StackSegmentation(planes, leading).with_outlines(request.follow_edges)
    prototype = min(request.prototype, len(model.prototypes) - 1)
    with one_thread():
        values = values_of(segmentation, prototype, request.quantity)
        _ = segmentation.labels, segmentation.cover, segmentation.prototype_share()
        _ = segmentation.remarks, segmentation.is_unlike
        maps = maps_of(segmentation, request.maps)
    unknown = [model.classes[c].name for c in unknown_classes(model)]
    return View(segmentation, prototype, values, maps, unknown)


def _learn(
    request: FitRequest,
    tune: TuneRequest,
    base: PrototypeSegmenter,
    scratch: bool,
    in_use: PrototypeSegmenter | None,
) -> Generator[Any, None, Trained]:
    places = labelled_places(request)
    labelled = {image.key for image, _, _ in places}

    def encode(model: PrototypeSegmenter, place: int) -> Generator[Any, None, EncodedImage]:
        image, number, _ = places[place]
        return encoded_plane(request.cache, model, image, number)

    def learn() -> Generator[Any, None, Trained]:
        sources = [_source(image, base, number) for image, number, _ in places]
        masks = [mask for _, _, mask in places]
        return trial_fit_steps(
            base,
            sources,
            masks,
            TuneSettings(
                training=fine_tuning(
                    Amount.of(masks, [source.data_mask for source in sources]),
                    **({} if tune.steps is None else {"steps": tune.steps}),
                ),
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
            in_use=in_use,
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
