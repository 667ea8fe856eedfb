"""Segment stacks plane by plane: time series and z-stacks of photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.source import ImageSource, ValueRange, range_of_planes
from napari_gaussproto.core.model.encode import TileSize
from napari_gaussproto.core.model.predict import segment_steps
from napari_gaussproto.core.model.remarks import is_unlike
from napari_gaussproto.core.model.segmentation import Map, Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


@dataclass(frozen=True)
class StackTile:
    """A finished tile of a stack, of how many over all planes, and its plane, from 1."""

    index: int
    total: int
    plane: int
    planes: int


class StackSegmentation:
    """Segmentations of all planes of an array, as arrays with the same leading axes.

    Parameters
    ----------
    planes : list of Segmentation
        In C order of the leading axes.
    leading : tuple of int
        Lengths of those axes; empty for a single image.
    """

    def __init__(self, planes: list[Segmentation], leading: tuple[int, ...]) -> None:
        self.planes = planes
        self.leading = leading
        self.classes = planes[0].classes
        self.prototypes = planes[0].prototypes

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, W) in pixels."""
        return (*self.leading, *self.planes[0].shape)

    @property
    def map_pixel_size(self) -> int:
        """Side of an element of a map at cell resolution, in pixels."""
        return self.planes[0].map_pixel_size

    @property
    def n_cells(self) -> int:
        """Cells of all planes."""
        return sum(plane.encoding.partition.n_cells for plane in self.planes)

    @property
    def compared_with(self) -> str:
        """See `Segmentation.compared_with`."""
        return self.planes[0].compared_with

    @property
    def follows_edges(self) -> bool | None:
        """See `Segmentation.follows_edges`."""
        return self.planes[0].follows_edges

    def with_outlines(self, follow: bool | None) -> StackSegmentation:
        """See `Segmentation.with_outlines`; None leaves it to the model."""
        if follow is None or self.follows_edges in (None, follow):
            return self
        planes = [plane.with_outlines(follow) for plane in self.planes]
        return StackSegmentation(planes, self.leading)

    @cached_property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Class index + 1, or 0 without data, (..., H, W); read-only, as those of the planes."""
        labels = self._stacked(lambda plane: plane.labels)
        labels.flags.writeable = False
        return labels

    def likelihood(self, m: int | str) -> Map:
        """Typicality for prototype ``m`` at cell resolution, (..., h, w)."""
        return self._stacked(lambda plane: plane.likelihood(m, cells=True))

    def responsibility(self, m: int | str) -> Map:
        """Share of prototype ``m`` in explaining each cell, (..., h, w)."""
        return self._stacked(lambda plane: plane.responsibility(m, cells=True))

    def log_likelihood(self, m: int | str) -> Map:
        """Gaussian log-density under prototype ``m`` at cell resolution, (..., h, w)."""
        return self._stacked(lambda plane: plane.log_likelihood(m, cells=True))

    def log_likelihood_limits(self) -> tuple[float, float]:
        """Range that shows all prototypes on all planes on one scale."""
        limits = [plane.log_likelihood_limits() for plane in self.planes]
        return min(low for low, _ in limits), max(high for _, high in limits)

    def decoded_by(self, model: PrototypeSegmenter) -> StackSegmentation:
        """What another model with the same extractor says about these cells, as after an edit."""
        planes = [model.decode(plane.encoding) for plane in self.planes]
        return StackSegmentation(planes, self.leading)

    def plane_at(self, index: Sequence[int]) -> Segmentation:
        """The plane at a position along the leading axes."""
        flat = np.ravel_multi_index(tuple(index), self.leading) if self.leading else 0
        return self.planes[int(flat)]

    def class_probability(self, c: int) -> Map:
        """p(c|z) of one class at cell resolution, (..., h, w)."""
        return self._stacked(lambda plane: plane.class_probabilities(cells=True)[c])

    def novelty(self) -> Map:
        """Novelty at cell resolution, (..., h, w)."""
        return self._stacked(lambda plane: plane.novelty(cells=True))

    def uncertainty(self) -> Map:
        """Uncertainty at cell resolution, (..., h, w)."""
        return self._stacked(lambda plane: plane.uncertainty(cells=True))

    def outlines(self) -> npt.NDArray[np.bool_]:
        """Whether a pixel lies at the border of its cell, (..., H, W)."""
        return self._stacked(lambda plane: plane.encoding.partition.outlines())

    def prototype_share(self) -> Map:
        """Mean responsibility of each prototype over all planes, (M,); sums to 1."""
        share: Map = np.mean([plane.prototype_share() for plane in self.planes], axis=0)
        return share

    @cached_property
    def cover(self) -> dict[str, float]:
        """Share of each class in all pixels with data, by name; see `Segmentation.cover`."""
        covers = [plane.cover() for plane in self.planes]
        weight = np.array([plane.data_share for plane in self.planes])
        weight = weight / (weight.sum() or 1)
        return {c.name: float(weight @ [cover[c.name] for cover in covers]) for c in self.classes}

    @cached_property
    def remarks(self) -> list[str]:
        """Remarks of the planes, each once; see `Segmentation.remarks`."""
        found = Counter(remark for plane in self.planes for remark in plane.remarks())
        total = len(self.planes)
        return [
            remark if count == total else f"{count} of {total} planes: {remark}"
            for remark, count in found.items()
        ]

    @cached_property
    def is_unlike(self) -> bool:
        """Whether a plane is called unlike the training photographs."""
        return any(is_unlike(plane.photo_novelty()) for plane in self.planes)

    @property
    def data_share(self) -> float:
        """Share of all pixels that hold data."""
        return float(np.mean([plane.data_share for plane in self.planes]))

    def _stacked(self, of: Callable[[Segmentation], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        if not self.leading:
            return of(self.planes[0])
        arrays = [of(plane) for plane in self.planes]
        return np.stack(arrays).reshape(*self.leading, *arrays[0].shape)


def segment_stack_steps(
    array: Any,
    model: PrototypeSegmenter,
    *,
    rgb: bool,
    tile: TileSize = "auto",
    memos: dict[int, dict[Any, Any]] | None = None,
    nodata: float | None = None,
) -> Generator[StackTile, None, StackSegmentation]:
    """Segment every plane of an array, one generator step a tile.

    Parameters
    ----------
    array : array-like
        (..., H, W), or (..., H, W, C) when ``rgb``. For a model of n channels, other than 1
        or 3, three axes with n in front are one image.
    model : PrototypeSegmenter
    rgb : bool
        Whether the last axis holds colours.
    tile : "auto", None or int
        See `segment`.
    memos : dict, optional
        `ImageSource.memo` of each plane by its number: what an earlier run left there is used,
        and what this one computes is added. For the same array and channels only.
    nodata : float, optional
        See `ImageSource.from_array`.

    Raises
    ------
    ImageError
        When the planes do not suit the model.
    """
    source_of = plane_sources(array, model, rgb=rgb, nodata=nodata)
    leading = leading_of(array, model, rgb)
    count = int(np.prod(leading))
    planes = []
    for number in range(1, count + 1):
        source = source_of(number - 1)
        if memos is not None:
            source.memo = memos.setdefault(number - 1, {})
        for done in (work := WithValue(segment_steps(source, model, tile=tile))):
            before = (number - 1) * done.total
            yield StackTile(before + done.index, count * done.total, number, count)
        planes.append(work.value)
    return StackSegmentation(planes, leading)


def plane_sources(
    array: Any, model: PrototypeSegmenter, *, rgb: bool, nodata: float | None = None
) -> Callable[[int], ImageSource]:
    """A function that gives the image of a plane by its number; see `segment_stack_steps`.

    All planes are scaled by one range: brightness that changes from plane to plane is what
    the camera saw.
    """
    channels = model.config.channels
    channel_axis, _ = _axes(tuple(array.shape), rgb, channels)
    indices = list(np.ndindex(*leading_of(array, model, rgb)))
    if not indices:
        raise ImageError(f"The stack is empty (shape {tuple(array.shape)}): choose another layer.")
    planes = _Planes(array, indices)

    @cache
    def common() -> ValueRange | None:
        return range_of_planes(planes, channel_axis, nodata) if len(planes) > 1 else None

    return lambda number: ImageSource.from_array(
        planes[number], channels, channel_axis, common(), nodata
    )


class _Planes(Sequence[Any]):
    """The planes of an array, each taken when it is asked for."""

    def __init__(self, array: Any, indices: Sequence[tuple[int, ...]]) -> None:
        self._array, self._indices = array, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: Any) -> Any:
        index = self._indices[number]
        if not index:
            return self._array
        if isinstance(self._array, np.ndarray):
            return self._array[index]
        import dask.array as da

        # Of what is stored, a plane is read window by window, too.
        return da.asarray(self._array)[index]


def leading_of(array: Any, model: PrototypeSegmenter, rgb: bool) -> tuple[int, ...]:
    """Lengths of the axes in front of a plane; see `segment_stack_steps`."""
    _, spatial = _axes(tuple(array.shape), rgb, model.config.channels)
    return tuple(int(n) for n in array.shape[: len(array.shape) - spatial])


def _axes(shape: tuple[int, ...], rgb: bool, channels: int) -> tuple[int | None, int]:
    """Channel axis within a plane, and how many trailing axes make a plane."""
    if rgb:
        return 2, 3
    if len(shape) < 2:
        raise ImageError(
            f"An array of shape {shape} is no image: choose one with height and width."
        )
    if len(shape) == 3 and channels not in (1, 3) and shape[0] == channels:
        return 0, 3
    return None, 2
