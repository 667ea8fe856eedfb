"""Labelled images as training needs them: checked, shrunk once, cropped and augmented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from napari_gaussproto.core.base.config import Augmentation, ModelConfig
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partitioner import Partitioner
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import Labels, check_labels, check_pairs
from napari_gaussproto.core.network.stride import shrink

# How often a crop is centred on a labelled pixel of a class drawn evenly; else of any pixel.
_CLASS_CENTRED = 0.5


@dataclass(frozen=True)
class TrainingImage:
    """One labelled image, at the resolution that the backbone sees.

    Attributes
    ----------
    source : ImageSource
    pixels : (C, H / downsample, W / downsample) Tensor of uint8
        Averaged over squares of ``downsample`` pixels.
    labels : (H / downsample, W / downsample) Tensor of uint8
        0 for not labelled, else class index + 1.
    full_labels : (H, W) Tensor of uint8
        As they were given.
    guide : (G, h, w) Tensor of int
        What a crop needs to be cut into cells; see `Partition.guide`.
    """

    source: ImageSource
    pixels: Tensor
    labels: Tensor
    full_labels: Tensor
    guide: Tensor


def prepare(
    images: Sequence[Any],
    labels: Sequence[Any],
    config: ModelConfig,
    *,
    every_class: bool = True,
) -> list[TrainingImage]:
    """Check images and labels and bring them to the working resolution.

    Parameters
    ----------
    images : sequence of array
        See `ImageSource.from_array`.
    labels : sequence of array
        Integers of each image's (H, W); 0 not labelled, else class index + 1.
    config : ModelConfig
    every_class : bool
        Whether every class must be labelled somewhere.

    Raises
    ------
    LabelError
        For labels of another shape or kind, unknown classes, or classes without a label.
    ImageError
        For images that do not suit the model.
    """
    check_pairs(images, labels)
    if not len(images):
        raise LabelError("There is no image: give one or more, each with a label image.")
    prepared = []
    partitioner = Partitioner(config)
    sources = [
        image
        if isinstance(image, ImageSource)
        else ImageSource.from_array(image, channels=config.channels)
        for image in images
    ]
    for source, known in zip(sources, known_labels(sources, labels, config), strict=True):
        # torch warns of arrays that are read only, as a mask from a file may be.
        checked = torch.from_numpy(known if known.flags.writeable else known.copy())
        pixels = shrink(_whole(source, config.downsample)[None], config.downsample)[0]
        guide = run(partitioner.steps(source)).guide
        prepared.append(
            TrainingImage(
                source,
                (pixels * 255).round().to(torch.uint8),
                shrink_labels(checked, config.downsample, len(config.classes)),
                checked,
                guide.expand(-1, *pixels.shape[-2:]),
            )
        )
    counts = pixel_counts(prepared, len(config.classes))
    missing = [(i, c.name) for i, c in enumerate(config.classes) if not counts[i]]
    if missing and every_class:
        given = {value for image in prepared for value in image.full_labels.unique().tolist()}
        if thin := [name for i, name in missing if i + 1 in given]:
            raise LabelError(
                f"What is labelled as {_listed(thin)} is thinner than half a square of "
                f"{config.downsample} pixels, which the network sees as one: label larger places, "
                "or set a smaller downsample."
            )
        names = _listed([name for _, name in missing])
        raise LabelError(f"No pixel is labelled as {names}: label some, or remove the class.")
    return prepared


def _whole(source: ImageSource, factor: int) -> Tensor:
    """The whole image, its last row and column repeated up to a multiple of ``factor``."""
    image = source.read(0, 0, source.height, source.width)
    padding = (0, -source.width % factor, 0, -source.height % factor)
    return F.pad(image[None], padding, mode="replicate")[0]


def known_labels(
    sources: Sequence[ImageSource], labels: Sequence[Any], config: ModelConfig
) -> list[Labels]:
    """Labels (H, W) of images, checked, and 0 where these have no data.

    Raises
    ------
    LabelError
        See `check_labels`.
    """
    check_pairs(sources, labels)
    checked = []
    for number, (source, mask) in enumerate(zip(sources, labels, strict=True), start=1):
        shape, what = (source.height, source.width), f"The labels of image {number}"
        checked.append(check_labels(mask, shape, len(config.classes), what))
    return all_with_data(checked, sources)


def all_with_data(labels: Sequence[Labels], sources: Sequence[ImageSource]) -> list[Labels]:
    """Labels (H, W) of images as by `with_data`.

    Raises
    ------
    LabelError
        When some pixels are labelled, and none of them holds data.
    """
    known = [with_data(mask, source) for mask, source in zip(labels, sources, strict=True)]
    if any(mask.any() for mask in labels) and not any(mask.any() for mask in known):
        raise LabelError(
            "Only pixels without data are labelled: label others, which are not transparent, "
            "of the value for no data, or all alike."
        )
    return known


def with_data(labels: Labels, source: ImageSource) -> Labels:
    """Labels (H, W) that are 0 where an image has no data; see `ImageSource.data_mask`."""
    return labels if source.data_mask is None else labels * source.data_mask


def shrink_labels(labels: Tensor, factor: int, n_classes: int) -> Tensor:
    """Most frequent class among the labelled pixels of each square of side ``factor``.

    Labels (H, W) become labels (H / factor, W / factor), rounded up. Squares without any
    labelled pixel stay 0, so thin strokes survive the shrinking; beside another class they do
    only where they are wider than half a square.
    """
    if factor == 1:
        return labels
    height, width = labels.shape
    padded = F.pad(labels, (0, -width % factor, 0, -height % factor))
    shares = torch.stack(
        [F.avg_pool2d((padded == c + 1).float()[None], factor)[0] for c in range(n_classes)]
    )
    most, winner = shares.max(0)
    return torch.where(most > 0, winner + 1, 0).to(torch.uint8)


def pixel_counts(images: Sequence[TrainingImage], n_classes: int) -> Tensor:
    """Labelled pixels of each class over all images, (C,)."""
    counts = torch.zeros(n_classes)
    for image in images:
        counts += torch.bincount(image.labels.flatten().long(), minlength=n_classes + 1)[1:]
    return counts


def full_scales_of(sources: Iterable[ImageSource]) -> dict[str, list[float]]:
    """Entry of a card: the full scales of images of more than 8 bits; empty without such ones."""
    scales = {source.full_scale for source in sources} - {None}
    return {"full_scales": sorted(scale for scale in scales if scale)} if scales else {}


def check_crop(side: int, stride: int) -> None:
    """Make sure that crops of a side in pixels can be cut into whole cells.

    Raises
    ------
    ConfigError
    """
    if side % stride:
        raise ConfigError(
            f"Crops of {side} pixels cannot be cut into cells of {stride}: "
            f"set crop_size to a multiple of {stride}."
        )


def _listed(names: list[str]) -> str:
    return " or ".join(f"“{name}”" for name in names)


@dataclass(frozen=True)
class Crops:
    """Augmented crops of one step.

    Attributes
    ----------
    images : (B, C, S, S) Tensor of float32 in [0, 1]
    labels : (B, S, S) Tensor of uint8
    guides : (B, G, S, S) Tensor of int32
        See `Partition.guide`.
    """

    images: Tensor
    labels: Tensor
    guides: Tensor


class CropSampler:
    """Draws augmented crops; the same seed and step always give the same batch.

    Parameters
    ----------
    images : sequence of TrainingImage
    n_classes, size : int
        C, and the side of a crop in pixels of the working resolution.
    augmentation : Augmentation
    seed : int
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        n_classes: int,
        size: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._images = images
        self._size = size
        self._settings = augmentation
        self._seed = seed
        self._transform = _transform(augmentation, images[0].pixels.shape[0])
        self._rows = {
            (i, label): _rows(image.labels, label)
            for i, image in enumerate(images)
            for label in range(n_classes + 1)
        }
        holding = [
            [(i, c + 1) for i in range(len(images)) if self._rows[i, c + 1][-1]]
            for c in range(n_classes)
        ]
        # Of each class that is labelled somewhere, where.
        self._holding = [places for places in holding if places]

    def batch(self, step: int, count: int) -> Crops:
        """Crops of one step."""
        # Derived from the step alone, so a resumed training draws what an unbroken one would.
        rng = np.random.default_rng((self._seed, step))
        with torch.random.fork_rng(devices=[]):
            # Those of the CPU alone: nothing would put back the numbers of a GPU.
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            crops = [self._crop(rng) for _ in range(count)]
        images, masks = (torch.stack(part) for part in zip(*crops, strict=True))
        return Crops(images.float() / 255, masks[:, 0].to(torch.uint8), masks[:, 1:])

    def _crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """An image (C, S, S), and its labels and guide (1 + G, S, S), warped as one."""
        image, (y, x) = self._place(rng)
        low, high = self._settings.zoom
        zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        side = round(self._size / zoom)
        top, left = (
            _window_start(at, side, length, rng)
            for at, length in zip((y, x), image.labels.shape, strict=True)
        )
        pixels = _cut(image.pixels, top, left, side)
        masks = torch.cat([image.labels[None].int(), image.guide])
        masks = _cut(masks, top, left, side, fill=0)
        size = [self._size, self._size]
        pixels = v2.functional.resize_image(pixels, size, antialias=True)
        masks = v2.functional.resize_mask(masks, size)
        warped, masks = self._transform(tv_tensors.Image(pixels), tv_tensors.Mask(masks))
        return warped, masks.as_subclass(Tensor)

    def _place(self, rng: np.random.Generator) -> tuple[TrainingImage, tuple[int, int]]:
        """An image, and the pixel that its crop should hold."""
        c = int(rng.integers(len(self._holding)))
        if rng.random() < _CLASS_CENTRED:
            holding = self._holding[c]
            index, label = holding[rng.integers(len(holding))]
        else:
            index, label = int(rng.integers(len(self._images))), 0
        image, ends = self._images[index], self._rows[index, label]
        if not ends[-1]:
            height, width = image.labels.shape
            return image, (int(rng.integers(height)), int(rng.integers(width)))
        chosen = int(rng.integers(ends[-1]))
        y = int(np.searchsorted(ends, chosen, side="right"))
        columns = _labelled(image.labels[y], label).nonzero().flatten()
        return image, (y, int(columns[chosen - ends[y]]))  # counted from the end of the row


def _labelled(labels: Tensor, label: int) -> Tensor:
    """Where labels (...) are a class, or any one with 0."""
    return labels == label if label else labels > 0


def _rows(labels: Tensor, label: int) -> npt.NDArray[np.int64]:
    """How many pixels of labels (H, W) are a class, or any one with 0, down to each row, (H,)."""
    return _labelled(labels, label).sum(1).cumsum(0).numpy()


def _window_start(at: int, side: int, length: int, rng: np.random.Generator) -> int:
    """First row (column) of a window that holds ``at``, inside the image if it fits."""
    start = at - int(rng.integers(side))
    if side >= length:
        return (length - side) // 2
    return min(max(start, 0), length - side)


def _cut(image: Tensor, top: int, left: int, side: int, fill: int | None = None) -> Tensor:
    """A square window of (C, h, w); beyond the border, ``fill`` or the border's pixels."""
    height, width = image.shape[-2:]
    rows = torch.arange(top, top + side)
    columns = torch.arange(left, left + side)
    inside = image[:, rows.clamp(0, height - 1)][:, :, columns.clamp(0, width - 1)]
    if fill is not None:
        outside_rows = (rows < 0) | (rows >= height)
        outside_columns = (columns < 0) | (columns >= width)
        inside[:, outside_rows] = fill
        inside[:, :, outside_columns] = fill
    return inside


def _transform(settings: Augmentation, channels: int) -> Any:
    steps: list[Any] = []
    if settings.flip:
        steps += [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    if settings.rotation_degrees:
        # The corners that turn in are black and not labelled.
        steps.append(v2.RandomRotation(settings.rotation_degrees, fill=0))
    jitter = {"brightness": settings.brightness, "contrast": settings.contrast}
    if channels == 3:
        jitter |= {"saturation": settings.saturation, "hue": settings.hue}
    steps.append(_PerChannel(jitter) if channels not in (1, 3) else v2.ColorJitter(**jitter))
    return v2.Compose(steps)


class _PerChannel(torch.nn.Module):
    """Brightness and contrast for any number of channels; torchvision supports 1 and 3."""

    def __init__(self, jitter: dict[str, float]) -> None:
        super().__init__()
        self._jitter = v2.ColorJitter(**jitter)

    def forward(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        # Channels as a batch of grey images: one draw of the parameters serves all of them.
        return self._jitter(image[:, None])[:, 0], labels
