"""Whether the photograph of a layer lies, as its file has it, and the ways to turn it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.imaging.orientation import UPRIGHT, upright, upright_shape, way_back
from napari_gaussproto.core.labels.check import checksum
from napari_gaussproto.io.images import orientation_of, read_lying
from napari_gaussproto.jobs.train_image import TrainImage

# About this many values of two photographs are compared.
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Pose:
    """How a layer shows the photograph of its file.

    Attributes
    ----------
    orientation : int
        What the file says, 1 to 8 as EXIF counts.
    lies : bool
        Whether the layer is not upright for that.
    """

    orientation: int = UPRIGHT
    lies: bool = False


def pose_job(file: str | None, pixels: Any, known_upright: bool = False) -> Pose:
    """How the pixels of a layer lie; where that cannot be told, as if they were upright.

    Parameters
    ----------
    file : str or None
        That the layer was read from.
    pixels : array-like
        (H, W) or (H, W, C).
    known_upright : bool
        Whether this is known of the layer; then pixels are not compared.
    """
    orientation = UPRIGHT if file is None else orientation_of(file)
    if file is None or orientation == UPRIGHT or known_upright or pixels.ndim not in (2, 3):
        return Pose(orientation)
    try:
        stored = np.asarray(read_lying(file))
    except Exception:  # the file may be gone since
        return Pose(orientation)
    other = upright(stored, orientation)
    shape = tuple(pixels.shape)
    lies = shape[:2] == stored.shape[:2]
    if lies and shape[:2] == other.shape[:2]:  # the shape does not tell: by 180 degrees, a square
        lies = shape == stored.shape and _distance(pixels, stored) < _distance(pixels, other)
    return Pose(orientation, lies)


def _distance(pixels: Any, other: npt.NDArray[Any]) -> float:
    step = max(1, round((pixels.shape[0] * pixels.shape[1] / _SAMPLE) ** 0.5))
    here, there = (np.asarray(a[::step, ::step]).astype(np.float64) for a in (pixels, other))
    return float(np.abs(here - there).mean())


@dataclass(frozen=True)
class Turned:
    """What was turned.

    Attributes
    ----------
    pixels : (H, W) or (H, W, C) ndarray
    labels : list of (int, (H, W) ndarray)
        With the checksum of what each was made from: it is another one when a person went on
        painting meanwhile.
    """

    pixels: npt.NDArray[Any]
    labels: list[tuple[int, npt.NDArray[Any]]]


def turn_job(
    pixels: Any, labels: Sequence[npt.NDArray[Any]], orientation: int
) -> Generator[None, None, Turned]:
    """Turn pixels (H, W) or (H, W, C), and labels (H, W) over them, into arrays of their own."""
    done = []
    for array in labels:
        yield None
        done.append((checksum(array), turned(array, orientation)))
    return Turned(turned(pixels, orientation), done)


def turned(array: Any, orientation: int) -> npt.NDArray[Any]:
    """An array (H, W, ...) turned as an orientation says, in C order."""
    return np.ascontiguousarray(upright(np.asarray(array), orientation))


def other_poses(image: TrainImage) -> Iterator[tuple[TrainImage, int]]:
    """An image as it would be if its photograph were turned, with the way back from there.

    Nothing, for photographs that lie as they were taken.
    """
    if image.file is None or len(image.pixels.shape) != 2 + image.rgb:
        return
    orientation = orientation_of(image.file)
    if orientation == UPRIGHT:
        return
    for turn in {orientation, way_back(orientation)}:
        yield replace(image, key=None, pixels=upright(image.pixels, turn)), way_back(turn)


def fitting_turns(shape: tuple[int, ...], wanted: tuple[int, ...], pose: Pose) -> list[int]:
    """Ways in which a mask may have to be turned to lie over a layer; 1 is as it is.

    Parameters
    ----------
    shape, wanted : tuple of int
        (H, W) of the mask and of the layer.
    pose : Pose
        Of the layer. A mask was made for the photograph as it lies in the file, or upright.

    Returns
    -------
    list of int
        Orientations, none where the mask does not fit; two where its shape does not tell.
    """
    turns = [UPRIGHT]
    if pose.orientation != UPRIGHT:
        turns.append(way_back(pose.orientation) if pose.lies else pose.orientation)
    return [turn for turn in turns if upright_shape(shape, turn) == wanted]
