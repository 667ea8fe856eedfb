"""What the Train dock asks of a thread: fit a model to strokes, and see the image anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.corrections import labels_of
from napari_gaussproto.widgets.edit_job import maps_of
from napari_gaussproto.widgets.follow import values_of
from napari_gaussproto.widgets.libraries import load_libraries
from napari_gaussproto.widgets.state import Quantity

if TYPE_CHECKING:
    from napari_gaussproto.core.config import SegmentationClass
    from napari_gaussproto.core.encoded import EncodedImage
    from napari_gaussproto.core.image import ImageSource
    from napari_gaussproto.core.learn import Learned
    from napari_gaussproto.core.segmenter import PrototypeSegmenter, Segmentation
    from napari_gaussproto.core.stack import StackSegmentation

_TOO_FEW = (
    "There are too few strokes to set some aside: no IoU can be given, and the last weights "
    "are kept. Draw at least two strokes of a class."
)
_NO_GAIN = (
    "Fine-tuning made strokes that were set aside no better, so the quick fit is kept. More "
    "strokes, on more images, help."
)
# As in the benchmark of the annotation loop: strokes fill no larger crops, and steps are quick.
_CROPS: dict[str, Any] = {"crop_size": 192, "batch_size": 4}
Labels = npt.NDArray[np.uint8]
Maps = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class TrainImage:
    """An open image, as a thread may see it.

    Attributes
    ----------
    key : object
        Tells images apart, for what is kept of them.
    pixels : array-like
    rgb : bool
    codes : ndarray or None
        (..., H, W), see `Corrections`; never changed again. None without annotations.
    """

    key: Any
    pixels: Any
    rgb: bool
    codes: npt.NDArray[np.uint16] | None = None

    def labelled_planes(self) -> list[tuple[int, Labels]]:
        """Number, in C order of the leading axes, and labels of every plane that has some."""
        if self.codes is None:
            return []
        planes = labels_of(self.codes).reshape(-1, *self.codes.shape[-2:])
        return [(number, plane) for number, plane in enumerate(planes) if plane.any()]


@dataclass(frozen=True)
class NewModel:
    """A model to begin with nothing but a backbone.

    Attributes
    ----------
    partition : str
    backbone : str
    prototypes_per_class, downsample : int
    region_size : int
        Of superpixels, in pixels.
    pretrained : bool
        False for tests, which have no network.
    """

    partition: Literal["grid", "superpixel"] = "grid"
    backbone: str = "tf_efficientnet_lite0"
    prototypes_per_class: int = 5
    downsample: int = 2
    region_size: int = 12
    pretrained: bool = True


@dataclass(frozen=True)
class Start:
    """Where a fit begins: a model, the file of one, or a new one.

    Attributes
    ----------
    model : PrototypeSegmenter or None
    file : Path or None
    new : NewModel or None
        Exactly one of the three is given.
    device : str
    """

    model: PrototypeSegmenter | None = None
    file: Path | None = None
    new: NewModel | None = None
    device: str = "auto"


@dataclass(frozen=True)
class FitRequest:
    """Everything a fit needs, taken from the GUI before the thread starts.

    Attributes
    ----------
    start : Start
    classes : tuple of SegmentationClass
    renamed : dict of str to int or None
        Where classes of the start went that were renamed, merged or removed since, by name.
    images : list of TrainImage
        All that are annotated.
    shown : TrainImage
        The one whose classes are shown afterwards.
    maps : list of str
        Roles of the maps that the shown image has; they are computed anew.
    prototype : int
    quantity : str
    cache : PyramidCache
    """

    start: Start
    classes: tuple[SegmentationClass, ...]
    renamed: dict[str, int | None]
    images: Sequence[TrainImage]
    shown: TrainImage
    maps: Sequence[str]
    prototype: int
    quantity: Quantity
    cache: PyramidCache


@dataclass(frozen=True)
class TuneRequest:
    """What a fine-tune needs besides.

    Attributes
    ----------
    steps : int or None
    minutes : float or None
        One of them is the budget.
    semi : SemiSettings
    unlabelled : list of TrainImage
        Open images without annotations that may teach too.
    checkpoint : Path or None
        Where the state of the training is kept, to go on after a kill.
    stop : callable
        Asked after every step; True ends with the best model so far.
    given_up : callable
        Asked when the work ends too early; True if a person wanted that.
    seed : int
    """

    steps: int | None
    minutes: float | None
    semi: dict[str, float]
    unlabelled: Sequence[TrainImage]
    checkpoint: Path | None
    stop: Callable[[], bool]
    given_up: Callable[[], bool]
    seed: int = 0


@dataclass
class FitResult:
    """What a fit gives back, with every array computed.

    Attributes
    ----------
    base : PrototypeSegmenter
        Where the fit began, to begin there again with more strokes.
    model : PrototypeSegmenter
    began_with : PrototypeSegmenter
        Its parent in the history.
    segmentation : StackSegmentation
        Of the shown image.
    prototype : int
    values : ndarray
        Its map.
    maps : dict
    measures : dict of str to float
    settings : dict
    strokes : int
        Connected ones, on all images.
    seconds : float
    warning : str
        A sentence about the measures, or nothing.
    """

    base: PrototypeSegmenter
    model: PrototypeSegmenter
    began_with: PrototypeSegmenter
    segmentation: StackSegmentation
    prototype: int
    values: npt.NDArray[np.float32]
    maps: Maps
    measures: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    strokes: int = 0
    seconds: float = 0.0
    warning: str = ""


@dataclass(frozen=True)
class Stage:
    """A step of the work, for the progress bar.

    Attributes
    ----------
    text : str
    done, total : int
    """

    text: str
    done: int
    total: int


class PyramidCache:
    """Backbone features of planes: valid for one backbone and one way of cutting cells."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, int], EncodedImage] = {}
        self._backbone: Any = None
        self._cut: Any = None

    def get(self, model: PrototypeSegmenter, key: Any, plane: int) -> EncodedImage | None:
        """What is kept for this model."""
        self._expect(model)
        return self._kept.get((key, plane))

    def put(self, model: PrototypeSegmenter, key: Any, plane: int, encoded: EncodedImage) -> None:
        """Keep the features of a plane."""
        self._expect(model)
        self._kept[(key, plane)] = encoded

    def forget(self, key: Any) -> None:
        """Let go of an image."""
        for known in [known for known in self._kept if known[0] == key]:
            del self._kept[known]

    def _expect(self, model: PrototypeSegmenter) -> None:
        config = model.config
        cut = (config.partition, config.region_size, config.compactness, config.pooling)
        if self._backbone is not model.extractor.backbone or self._cut != cut:
            self._kept.clear()
            self._backbone, self._cut = model.extractor.backbone, cut


def quick_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Fit neck and prototypes to all strokes, and segment the shown image."""
    load_libraries()
    from napari_gaussproto.core.quick import quick_fit_steps
    from napari_gaussproto.core.strokes import count_strokes

    begun = time.monotonic()
    base, scratch = _begin(request)
    encoded, labels = [], []
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
    result.seconds = time.monotonic() - begun
    return result


def tune_job(request: FitRequest, tune: TuneRequest) -> Generator[Any, None, FitResult]:
    """Train end to end, and segment the shown image."""
    load_libraries()
    from napari_gaussproto.core.device import release_memory
    from napari_gaussproto.core.strokes import count_strokes

    begun = time.monotonic()
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
    result = yield from _see(request, learned.model, learned.model)
    result.began_with = base
    if learned.held_out_miou is None:
        result.warning = _TOO_FEW
    else:
        result.measures = {"held-out mIoU": learned.held_out_miou}
        result.warning = "" if learned.steps else _NO_GAIN
    said = {"steps": learned.steps, "minutes": tune.minutes, **tune.semi}
    result.settings = {name: value for name, value in said.items() if value}
    labels = [mask for image in request.images for _, mask in image.labelled_planes()]
    result.strokes = sum(count_strokes(mask) for mask in labels)
    result.seconds = time.monotonic() - begun
    return result


def predict_job(request: FitRequest) -> Generator[Any, None, FitResult]:
    """Segment the shown image by the model as it is."""
    load_libraries()
    begun = time.monotonic()
    base, _ = _begin(request)
    result = yield from _see(request, base, base)
    result.seconds = time.monotonic() - begun
    return result


# -- steps of the jobs -------------------------------------------------------------------------


def _begin(request: FitRequest) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with, of the classes asked for, and whether it is a new one."""
    from napari_gaussproto.core.adapt import adapt
    from napari_gaussproto.core.device import resolve_device
    from napari_gaussproto.core.model_file import load_model_file

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
    # A model that was never fitted has nothing to go on from, however often it is begun with.
    return model, not len(model.density_quantiles)


def new_model(
    new: NewModel, classes: Sequence[SegmentationClass], device: str
) -> PrototypeSegmenter:
    """A model that knows nothing but its backbone."""
    from napari_gaussproto.core.card import now
    from napari_gaussproto.core.config import ModelConfig
    from napari_gaussproto.core.device import resolve_device
    from napari_gaussproto.core.seeds import seeded
    from napari_gaussproto.core.segmenter import PrototypeSegmenter

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
    from napari_gaussproto.core.encoded import encode_pyramid_steps

    kept = cache.get(model, image.key, plane)
    if kept is None:
        steps = encode_pyramid_steps(_source(image, model, plane), model)
        while True:
            try:
                tile = next(steps)
            except StopIteration as end:
                kept = end.value
                break
            yield Stage("Looking at the image", tile.index, tile.total)
        cache.put(model, image.key, plane, kept)
    return kept


def _see(
    request: FitRequest, base: PrototypeSegmenter, model: PrototypeSegmenter
) -> Generator[Any, None, FitResult]:
    """Segment the shown image, all its planes, and compute all that is shown of it."""
    from napari_gaussproto.core.encoded import latents_of_image
    from napari_gaussproto.core.stack import StackSegmentation, leading_of
    from napari_gaussproto.core.threads import one_thread

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
        maps = maps_of(segmentation, list(request.maps))
    return FitResult(base, model, base, segmentation, prototype, values, maps)


def _learn(
    request: FitRequest, tune: TuneRequest, base: PrototypeSegmenter, scratch: bool
) -> Generator[Any, None, Learned]:
    from napari_gaussproto.core.errors import ConfigError
    from napari_gaussproto.core.fine_tune import fine_tuning
    from napari_gaussproto.core.learn import learn_steps
    from napari_gaussproto.core.semi import SemiSettings

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
        "unlabelled": [_source(image, base, 0) for image in tune.unlabelled],
        "training": fine_tuning(**_CROPS, **({} if tune.steps is None else {"steps": tune.steps})),
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
    from napari_gaussproto.core.stack import plane_sources

    return plane_sources(image.pixels, model, rgb=image.rgb)(plane)
