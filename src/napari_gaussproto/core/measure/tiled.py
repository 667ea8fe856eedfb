"""Measure images of any size tile by tile: an object that crosses tiles is one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.core.labels.pieces import components, without_gaps
from napari_gaussproto.core.measure.areas import label_counts
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.sums import (
    Integers,
    PieceSums,
    border_lengths,
    joined,
    sums_of,
)
from napari_gaussproto.core.model.segmentation import Segmentation

# What the folder for these is called meanwhile.
PREFIX = ".measuring-"
# Numbers of parts are stored in chunks of this side, and read in blocks of twice that.
_CHUNK = 512
# Each pair of neighbours once.
_LATER = ((0, 1), (1, -1), (1, 0), (1, 1))


class TiledPieces:
    """The pieces of an image that comes tile by tile; see `tiled_pieces`.

    In memory are a tile, and sums of what may still be an object: what is large enough or
    touches the border of its tile. Which pixel belongs to which of these is on disk.

    Attributes
    ----------
    counts : (1 + R, C + 1) ndarray of int
        Pixels of each label, in the whole image and in each region.
    """

    def __init__(
        self, store: Any, shape: tuple[int, int], n_classes: int, n_regions: int, least_area: int
    ) -> None:
        self._store, self._shape, self._least = store, shape, least_area
        self._n_classes, self._n_regions = n_classes, n_regions
        self._parts: list[PieceSums] = []
        self._keys: list[Integers] = []
        self._count = 0
        self._given = False
        # For every part, from 1, the number of its object; 0 for none.
        self._objects: Integers = np.zeros(1, np.int64)
        self.counts = np.zeros((1 + n_regions, n_classes + 1), np.int64)

    def add(
        self,
        area: Area,
        labels: npt.NDArray[Any],
        segmentation: Segmentation | None,
        at: tuple[int, int],
        regions: Mapping[str, RegionMask],
        instances: npt.NDArray[Any] | None = None,
    ) -> None:
        """Take a tile.

        Parameters
        ----------
        area : Area
            Its pixels; no other tile has any of them.
        labels : (h, w) ndarray of int
            Class index + 1.
        segmentation : Segmentation
            Of the tile and its surroundings; without it nothing is said of what the model says.
        at : tuple of int
            Where the tile begins in that.
        regions : mapping of str to RegionMask
        instances : (h, w) ndarray of int, optional
            Objects, by numbers that hold for the whole image; else connected pieces of a class.
        """
        y0, x0, y1, x1 = area
        self.counts += label_counts(labels, self._n_classes, regions)
        pieces = components(labels) if instances is None else instances
        numbers, pieces = without_gaps(pieces)
        how = {"at": at, "origin": (y0, x0), "width": self._shape[1]}
        about = (labels, self._n_classes, segmentation, list(regions.values()))
        sums = sums_of(pieces, *about, **how)  # type: ignore[arg-type]
        # Of a connected piece all votes are for one class.
        keys = sums.votes.argmax(1) if instances is None else numbers
        kept = sums.area >= (self._least if instances is None else 0)
        for side in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
            kept[side[side > 0] - 1] = True
        self._given = instances is not None
        self._parts.append(sums.chosen(kept))
        self._keys.append(keys[kept])
        ids = np.append(0, np.where(kept, self._count + np.cumsum(kept), 0))
        self._store[y0:y1, x0:x1] = ids[pieces]
        self._count += int(kept.sum())

    def end(self) -> tuple[Integers, PieceSums]:
        """Numbers of all objects (K,), and their sums, once all tiles were added.

        Connected pieces are numbered by their first pixels, row by row, as in an image at once.
        """
        columns = zip(*([getattr(p, f.name) for f in fields(p)] for p in self._parts), strict=True)
        sums = PieceSums(*(np.concatenate(column) for column in columns))
        keys = np.concatenate(self._keys)
        pairs = self._see_borders(np.append(0, keys), sums.perimeter)
        if self._given:
            _, group = np.unique(keys, return_inverse=True)
            whole = joined(sums, group)
            order = np.arange(len(whole.area))
        else:
            # Of numbers of 64 bits scipy 1.11 makes nonsense here, without an error.
            ends = tuple(pairs.T.astype(np.int32))
            near = coo_array((np.ones(len(pairs)), ends), shape=(self._count,) * 2)
            group = connected_components(near, directed=False)[1]
            whole = joined(sums, group)
            order = np.argsort(whole.first)
        order = order[whole.area[order] >= self._least]
        numbers = np.arange(1, len(order) + 1)
        of_group = np.zeros(len(whole.area), np.int64)
        of_group[order] = numbers
        self._objects = np.append(0, of_group[group])
        return numbers, whole.chosen(order)

    def __getitem__(self, place: tuple[int, int]) -> int:
        """Number of the object at a pixel (y, x), 0 for none; known from `end` on."""
        return int(self._objects[int(np.asarray(self._store[place]))])

    def _see_borders(self, keys: Integers, perimeter: npt.NDArray[np.float64]) -> Integers:
        """Add the perimeters of parts; pairs (N, 2) of parts of one piece that touch."""
        found = [np.zeros((0, 2), np.int64)]
        for ids in self._blocks():
            own = keys[ids]
            y, x, lengths = border_lengths(own)
            perimeter += np.bincount(ids[y + 2, x + 2] - 1, lengths, minlength=len(perimeter))
            height, width = ids.shape
            for dy, dx in _LATER:
                here = (slice(2, height - 2), slice(2, width - 2))
                there = (slice(2 + dy, height - 2 + dy), slice(2 + dx, width - 2 + dx))
                apart = (ids[here] != ids[there]) & (own[here] == own[there]) & (own[here] > 0)
                pairs = np.stack([ids[here][apart], ids[there][apart]], 1) - 1
                found.append(np.unique(pairs, axis=0))
        return np.unique(np.concatenate(found), axis=0)

    def _blocks(self) -> Iterator[npt.NDArray[np.int32]]:
        """Numbers of parts, block by block, with two pixels of the neighbours on each side."""
        height, width = self._shape
        side = 2 * _CHUNK
        for y in range(0, height, side):
            for x in range(0, width, side):
                y1, x1 = min(y + side, height) + 2, min(x + side, width) + 2
                block = np.zeros((y1 - y + 2, x1 - x + 2), np.int32)
                top, left = max(y - 2, 0), max(x - 2, 0)
                inside = self._store[top:y1, left:x1]
                place = (slice(top - y + 2, None), slice(left - x + 2, None))
                block[place][: inside.shape[0], : inside.shape[1]] = inside
                yield block


@contextmanager
def tiled_pieces(
    shape: tuple[int, int],
    n_classes: int,
    regions: Sequence[str] = (),
    least_area: int = 1,
    scratch: Path | None = None,
) -> Iterator[TiledPieces]:
    """What takes the tiles of an image (H, W) and finds its pieces.

    Parameters
    ----------
    shape : tuple of int
    n_classes : int
    regions : sequence of str
        Names.
    least_area : int
        Smaller pieces are left out, in pixels.
    scratch : Path, optional
        A folder in which a folder is made for as long as it takes.
    """
    with TemporaryDirectory(dir=scratch, prefix=PREFIX) as folder:
        yield pieces_in(Path(folder), shape, n_classes, len(regions), least_area)


def pieces_in(
    folder: Path, shape: tuple[int, int], n_classes: int, n_regions: int, least_area: int
) -> TiledPieces:
    """As `tiled_pieces`, with a folder that is empty and stays: pixels can be asked for later."""
    chunks = (min(_CHUNK, shape[0]), min(_CHUNK, shape[1]))
    store = zarr.create_array(store=str(folder), shape=shape, chunks=chunks, dtype="int32")
    return TiledPieces(store, shape, n_classes, n_regions, least_area)
