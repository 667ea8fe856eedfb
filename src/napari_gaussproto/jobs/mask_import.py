"""Read a mask for an image of the viewer, and find out which way up it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.imaging.orientation import UPRIGHT, upright
from napari_gaussproto.core.labels.class_table import mask_values
from napari_gaussproto.io.masks import CodedMask
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.jobs.upright import Pose, fitting_turns, pose_job

Picture = npt.NDArray[np.uint8]
# About this many pixels tell how well a mask fits its photograph, and are shown of it.
_SAMPLE = 1 << 15
# How much of its class's colour a pixel of a preview has.
_TINT = 0.6


@dataclass(frozen=True)
class ReadMask:
    """A mask that was read for an image.

    Attributes
    ----------
    mask : CodedMask
        Over the image, (..., H, W), if there is nothing to ask.
    values : dict of int to int
        Pixels of each value.
    turned : bool
        Whether it had to be turned for that.
    ways : list of (CodedMask, ndarray)
        Where a person has to say which way up it is: how it could lie, the likelier one first,
        each with a picture (h, w, 3) of it over the photograph.
    photo : ndarray or None
        The photograph as a small picture (h, w, 3); None of a stack.
    """

    mask: CodedMask
    values: dict[int, int]
    turned: bool = False
    ways: Sequence[tuple[CodedMask, Picture]] = ()
    photo: Picture | None = None

    def preview(
        self, mask: CodedMask, labels: Mapping[int, int], colors: Sequence[str]
    ) -> Picture | None:
        """What a mapping makes of a mask: classes in their colours over the photograph, (h, w, 3).

        The labels of values are 0 or the number of a colour, from 1.
        """
        if self.photo is None:
            return None
        shown, values = self.photo.astype(np.float64), _sample(mask.values)
        for number, color in enumerate(colors, start=1):
            there = np.isin(values, [value for value, label in labels.items() if label == number])
            rgb = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
            shown[there] = (1 - _TINT) * shown[there] + _TINT * np.array(rgb)
        return shown.astype(np.uint8)


def read_job(
    read: Callable[[], CodedMask], image: TrainImage, name: str, known_upright: bool
) -> ReadMask:
    """Read a mask, and turn it if it was made for the photograph as it lies otherwise.

    Raises
    ------
    LabelError
        When it has another size than the image, however it is turned.
    """
    mask = read()
    shape, wanted = mask.values.shape, _shape(image)
    pose = pose_job(image.file, image.pixels, known_upright) if len(wanted) == 2 else Pose()
    turns = fitting_turns(shape, wanted, pose) if len(shape) == len(wanted) else []
    if not turns:
        raise LabelError(
            f"“{name}” is {_size(shape)} pixels and the image {_size(wanted)}: "
            "choose labels that were made for this image."
        )
    masks = [replace(mask, values=_turned(mask.values, turn)) for turn in turns]
    values = mask_values(mask.values.reshape(-1, shape[-1]))
    pixels = _sample(np.asarray(image.pixels)) if len(wanted) == 2 else None
    photo = None if pixels is None else _photo(pixels)
    if pixels is None or len(masks) == 1:
        return ReadMask(masks[0], values, turns[0] != UPRIGHT, photo=photo)
    fits = [_agreement(pixels, _sample(one.values)) for one in masks]
    if not pose.lies and fits[0] >= fits[1]:
        return ReadMask(masks[0], values, photo=photo)
    likelier = np.argsort(fits)[::-1]
    ways = [(masks[i], _picture(pixels, _sample(masks[i].values))) for i in likelier]
    return ReadMask(masks[0], values, False, ways, photo)


def _shape(image: TrainImage) -> tuple[int, ...]:
    shape = tuple(int(n) for n in image.pixels.shape)
    return shape[:-1] if image.rgb else shape


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _turned(values: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    return values if turn == UPRIGHT else np.ascontiguousarray(upright(values, turn))


def _sample(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = max(1, round((array.shape[0] * array.shape[1] / _SAMPLE) ** 0.5))
    return array[::step, ::step]


def _agreement(pixels: npt.NDArray[Any], values: npt.NDArray[Any]) -> float:
    """Which share of the variance of the photograph's colours the mask explains."""
    colours = pixels.reshape(values.size, -1).astype(np.float64)
    _, which = np.unique(values, return_inverse=True)
    counts = np.bincount(which.ravel())
    mean = colours.mean(0)
    between = 0.0
    for channel, centre in zip(colours.T, mean, strict=True):
        sums = np.bincount(which.ravel(), channel)
        between += float((counts * (sums / counts - centre) ** 2).sum())
    whole = float(((colours - mean) ** 2).sum())
    return between / whole if whole else 0.0


def _photo(pixels: npt.NDArray[Any]) -> Picture:
    colours = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]
    if colours.shape[-1] != 3:
        colours = np.repeat(colours[..., :1], 3, -1)
    colours = np.nan_to_num(colours.astype(np.float64))
    return (255 * colours / max(float(colours.max()), 1e-9)).clip(0, 255).astype(np.uint8)


def _picture(pixels: npt.NDArray[Any], values: npt.NDArray[Any]) -> Picture:
    """The photograph, darker where the mask has its most frequent value."""
    present, counts = np.unique(values, return_counts=True)
    marked = values != present[counts.argmax()]
    shown = _photo(pixels)
    return np.where(marked[..., None], shown, shown // 4)
