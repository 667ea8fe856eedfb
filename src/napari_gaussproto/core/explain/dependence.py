"""What an answer depends on: how it changes when patches of the surroundings are covered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.explain.explain import check_place
from napari_gaussproto.core.imaging.masks import Mask
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import round_up
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.model.model_file import AnyModel, as_model
from napari_gaussproto.core.model.segmentation import Map, Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# Passes of the network for finer squares at most, and the share of all change below which a
# square is not divided.
_FINER, _WORTH = 32, 0.03
# A square is covered in a window that reaches so many times as far as its ring, and so many
# pixels at least: what lies beyond is there with and without it.
_AROUND, _LEAST = 2, 256
# More than there are elements in a row.
_ROW = 1 << 20


@dataclass(frozen=True)
class Probed:
    """How many passes of the network were made, and how many there are at most."""

    index: int
    total: int


@dataclass(frozen=True)
class Dependence:
    """What the class of one place depends on.

    Attributes
    ----------
    y, x : int
        The pixel in the middle of its cell.
    class_index : int
        The class that the place was given.
    share : (h, w) ndarray
        Share of each element in all changes of the answer. They sum to 1; all are 0 where
        nothing changes it.
    pixel_size : int
        Side of an element, in pixels of the image.
    top, left : int
        First pixel of the first element.
    """

    y: int
    x: int
    class_index: int
    share: Map
    pixel_size: int
    top: int
    left: int

    @cached_property
    def levels(self) -> Map:
        """The same on a scale that can be read, (h, w) in [0, 1].

        The elements above 0.5 are the fewest that hold half of all that the answer depends on,
        those above 0.1 hold nine tenths.
        """
        density, element, count = np.unique(self.share, return_inverse=True, return_counts=True)
        part = density * count
        greater = part[::-1].cumsum()[::-1] - part
        level = np.where(density > 0, (1 - greater).clip(0, 1), 0)
        return level[element].reshape(self.share.shape).astype(np.float32)

    def radius(self, part: float = 0.5) -> float:
        """Distance from the place, in pixels, within which a part of it all lies; or nan."""
        if not self.share.any():
            return float("nan")
        order = self._distance.argsort(axis=None)
        within = self.share.ravel()[order].cumsum()
        last = min(int(np.searchsorted(within, part)), len(order) - 1)
        return float(self._distance.ravel()[order[last]])

    @cached_property
    def _distance(self) -> Map:
        """Of the middle of each element from the place, in pixels, (h, w)."""
        rows, columns = (
            first + self.pixel_size * (np.arange(count) + 0.5) - place
            for first, place, count in zip(
                (self.top, self.left), (self.y, self.x), self.share.shape, strict=True
            )
        )
        return np.hypot(rows[:, None], columns).astype(np.float32)

    @property
    def sentence(self) -> str:
        """How far the answer looks, for people."""
        if not self.share.any():
            return "Nothing around this place changes its answer."
        near, far = (f"{_rough(self.radius(part))} px" for part in (0.5, 0.9))
        return f"Half of what this answer depends on lies within about {near}, 90% within {far}."


def _rough(pixels: float) -> int:
    """As exact as it is meant: rings of patches reach twice as far each."""
    return round(pixels / 10) * 10 if pixels >= 20 else round(pixels)


def dependence(
    image: Any,
    model: AnyModel,
    segmentation: Segmentation,
    y: int,
    x: int,
    progress: Callable[[Probed], None] | None = None,
) -> Dependence:
    """Find out what the class of a place depends on, by covering its surroundings in patches.

    A patch is covered with the mean colour of the surroundings. What counts is by how much that
    changes the log-odds of the class, up or down (occlusion, Zeiler and Fergus 2014). The mean
    takes away colour and texture, where a blur leaves a leaf green, so that it would seem not to
    matter. Log-odds still change where a probability stays near 1. Patches are small near the
    place and larger farther away; those that matter most are divided.

    Parameters
    ----------
    image : array or ImageSource
        What was segmented.
    model : PrototypeSegmenter, str or path
        What it was segmented by.
    segmentation : Segmentation
        Its cells stay: superpixels are not cut anew along the borders of a patch.
    y, x : int
        A pixel.
    progress : callable, optional
        Called after every pass of the network.

    Raises
    ------
    ImageError
        As `explain`, and when the image does not suit the model.
    """
    return run(dependence_steps(image, as_model(model), segmentation, y, x), progress)


def dependence_steps(
    image: Any, model: PrototypeSegmenter, segmentation: Segmentation, y: int, x: int
) -> Generator[Probed, None, Dependence]:
    """As `dependence`, one generator step a pass; the generator's value is the result.

    Raises
    ------
    ImageError
        As `dependence`, at the first step.
    """
    check_place(segmentation, y, x)
    source = as_source(image, model)
    model = model.as_for(segmentation)
    reach = model.receptive_radius
    if (source.height, source.width) != segmentation.shape:
        raise ImageError(
            f"The image has {source.height} x {source.width} pixels and the segmentation "
            f"{segmentation.shape[0]} x {segmentation.shape[1]}: give the image that was segmented."
        )
    if model.training:
        model.eval()
    partition = segmentation.encoding.partition
    middle = partition.center(partition.cell_at(y, x))
    c = int(segmentation.labels[y, x]) - 1
    lattice = _Lattice.around(middle, segmentation.shape, model.cell_size, reach)
    window = cache(lambda radius: _Window(source, model, partition, middle, c, radius))

    def change(part: _Part) -> float:
        near = max(_AROUND * part.reach * lattice.unit, _LEAST)
        return window(min(reach, near)).change(lattice, part)

    parts = [square for ring in lattice.rings() for square in lattice.pieces(ring)]
    passes, most = len(parts), len(parts) + _FINER
    for number, part in enumerate(parts):
        part.change = change(part)
        yield Probed(number + 1, most)
    least = _WORTH * sum(part.change for part in parts)
    while passes < most:
        whole = max(parts, key=lambda part: part.change if part.side else -1)
        if whole.change <= least or not whole.side:
            break
        pieces = lattice.pieces(whole)
        for piece in pieces:
            piece.change = change(piece)
            yield Probed(passes := min(passes + 1, most), most)
        parts = [part for part in parts if part is not whole] + _scaled(pieces, whole.change)
    return Dependence(*middle, c, lattice.share(parts), lattice.unit, lattice.top, lattice.left)


@dataclass
class _Part:
    """Elements that are covered together, and by how much that changes the answer.

    Attributes
    ----------
    where : (h, w) ndarray of bool
    side : int
        Of the squares that it is divided into, in elements; 0 for a single element.
    reach : int
        Elements from the middle to the outer side of its ring.
    """

    where: Mask
    side: int
    reach: int
    change: float = 0.0


def _scaled(parts: list[_Part], whole: float) -> list[_Part]:
    """Parts whose changes, in the same proportions, sum to that of the whole."""
    total = sum(part.change for part in parts)
    for part in parts:
        part.change = whole * (part.change / total if total else 1 / len(parts))
    return parts


@dataclass(frozen=True)
class _Lattice:
    """Square elements around the middle of a cell, as far as they lie in the image.

    The first one of the image begins at its first pixel.

    Attributes
    ----------
    rows, columns : (h,), (w,) ndarray of int
        Numbers of the elements; the one of number 0 begins in the middle, or near it.
    unit : int
        Side of an element, in pixels.
    top, left : int
        First pixel of the first element.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    unit: int
    top: int
    left: int

    @classmethod
    def around(
        cls, middle: tuple[int, int], shape: tuple[int, int], unit: int, reach: int
    ) -> _Lattice:
        """Elements around a pixel of an image of some shape, to a reach in pixels or farther."""
        count = 1 << (-(-reach // unit) - 1).bit_length()
        starts = [round(place / unit) for place in middle]
        rows, columns = (
            np.arange(max(0, start - count), min(start + count, -(-length // unit))) - start
            for start, length in zip(starts, shape, strict=True)
        )
        first = (starts[0] + rows[0], starts[1] + columns[0])
        return cls(rows, columns, unit, unit * int(first[0]), unit * int(first[1]))

    def rings(self) -> Iterator[_Part]:
        """Four squares around the middle, then rings of twelve, each twice as far."""
        rows, columns = (np.where(axis < 0, -axis, axis + 1) for axis in (self.rows, self.columns))
        distance = np.maximum(rows[:, None], columns)
        inner, outer = 0, 2
        while (where := (distance > inner) & (distance <= outer)).any():
            yield _Part(where, max(2, outer // 2), outer)
            inner, outer = outer, 2 * outer

    def pieces(self, part: _Part) -> list[_Part]:
        """The squares of a part."""
        square = (self.rows // part.side)[:, None] * _ROW + self.columns // part.side
        return [
            _Part(part.where & (square == number), part.side // 2, part.reach)
            for number in np.unique(square[part.where])
        ]

    def pixels(self, part: _Part, y0: int, x0: int, height: int, width: int) -> Mask:
        """Pixels of a part in a window of the image, (height, width)."""
        rows = (np.arange(y0, y0 + height) - self.top) // self.unit
        columns = (np.arange(x0, x0 + width) - self.left) // self.unit
        # The margin is what lies beyond the elements.
        padded = np.pad(part.where, 1)
        inside = [
            np.clip(axis + 1, 0, n - 1)
            for axis, n in zip((rows, columns), padded.shape, strict=True)
        ]
        return padded[np.ix_(*inside)]

    def share(self, parts: list[_Part]) -> Map:
        """Share of each element in all changes, (h, w)."""
        share = np.zeros((len(self.rows), len(self.columns)))
        for part in parts:
            share[part.where] = part.change / part.where.sum()
        return (share / (share.sum() or 1)).astype(np.float32)


class _Window:
    """The image around a cell, and how sure the class of the cell is there.

    Parameters
    ----------
    middle : tuple of int
        A pixel of the cell.
    c : int
        The class.
    radius : int
        Pixels around it, or a few more.
    """

    def __init__(
        self,
        source: ImageSource,
        model: PrototypeSegmenter,
        partition: Partition,
        middle: tuple[int, int],
        c: int,
        radius: int,
    ) -> None:
        self._model, self._c, a = model, c, model.alignment
        height, width = source.height, source.width
        y0, x0 = (max(0, place - radius) // a * a for place in middle)
        y1 = min(round_up(middle[0] + radius, a), round_up(height, a))
        x1 = min(round_up(middle[1] + radius, a), round_up(width, a))
        self._origin = y0, x0
        self._pixels = source.read_padded(y0, x0, y1 - y0, x1 - x0).to(model.device)
        self._mean = self._pixels.mean((1, 2), keepdim=True)
        self._partition = partition.window(y0, x0, min(y1, height), min(x1, width))
        self._cell = self._partition.cell_at(middle[0] - y0, middle[1] - x0)
        self._before = self._log_odds(self._pixels)

    def change(self, lattice: _Lattice, part: _Part) -> float:
        """By how much the log-odds of the class change when a part is covered."""
        mask = lattice.pixels(part, *self._origin, *self._pixels.shape[1:])
        covered = torch.from_numpy(mask).to(self._pixels.device)
        after = self._log_odds(torch.where(covered, self._mean, self._pixels))
        # Nothing can change an answer that has no rival.
        return float((after - self._before).abs().nan_to_num(0, 0))

    @torch.no_grad()
    def _log_odds(self, pixels: Tensor) -> Tensor:
        """Of the class in the cell, a scalar."""
        model = self._model
        latents = model.extract(pixels[None].contiguous(memory_format=torch.channels_last))[0]
        log_posterior = model.layer(model.cells_of(latents, self._partition)[[self._cell]])[0]
        others = torch.arange(len(log_posterior), device=log_posterior.device) != self._c
        return log_posterior[self._c] - log_posterior[others].logsumexp(0)
