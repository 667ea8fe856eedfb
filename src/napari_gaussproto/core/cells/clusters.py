"""The clustering of SLIC (Achanta et al. 2012) on a fixed lattice, as products of matrices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

# The means of the lattice's squares come first, and are moved so often. More costs time and
# gains nothing (benchmarks/speed/slic.py).
ROUNDS = 2
# A centre is moved beyond the mean of its pixels, by this part of the way there: two rounds then do
# what three do otherwise.
STEP = 1.6
# A pixel goes to the centre of its square or of one of the eight around it.
_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
# Pixels whose distances are computed at a time: what fits into a cache, and is not allocated anew.
AT_A_TIME = 1 << 15
# Bits of a distance that give way to the number of its centre: a part in 500 000 of it.
_NUMBER = 15
# Square of the distance to what lies beyond the lattice.
_FAR = 1e30


def cluster(features: npt.NDArray[np.float32], size: int, weight: float) -> npt.NDArray[np.int32]:
    """Nearest centre of every pixel, by the number of its square on the lattice, row by row.

    Parameters
    ----------
    features : (h, w, F) ndarray
    size : int
        Side of the squares of the lattice, in pixels; the last ones may overhang.
    weight : float
        Distance in space of one side, in units of the features: SLIC's compactness.

    Returns
    -------
    (h, w) ndarray of int32

    Notes
    -----
    scikit-image's `slic` does the same pixel by pixel and takes three times as long. It gives a
    centre four squares to look in, which centres hardly ever need.
    """
    height, width = features.shape[:2]
    overhang = ((0, -height % size), (0, -width % size), (0, 0))
    padded = np.pad(features, overhang, mode="symmetric" if min(height, width) >= size else "edge")
    squares = _squares(padded, size, weight)
    rows, columns = squares.shape[:2]
    flat = squares.view(rows * columns, squares.shape[2], -1)
    centres = _start(padded, size, weight)
    lattice = _lattice(rows, columns, weight, centres.shape[2])
    for _ in range(ROUNDS):
        centres = _moved(flat, centres, lattice)
    # From a pixel's own square to that of its centre.
    steps = torch.tensor([columns * down + right for down, right in _AROUND], dtype=torch.int32)
    best = steps.index_select(0, _nearest(flat, centres, lattice).view(-1)).view(len(flat), -1)
    best += torch.arange(len(flat), dtype=torch.int32)[:, None]
    pixels = best.view(rows, columns, size, size).permute(0, 2, 1, 3)
    pixels = pixels.reshape(rows * size, columns * size)
    return np.ascontiguousarray(pixels[:height, :width].numpy())


class _Lattice(NamedTuple):
    """How nine squares around see a centre, and where they lie, for all rounds.

    Attributes
    ----------
    seen : (F + 5, 9 * (F + 3)) Tensor
        From a centre, its square and whether it lies beyond the lattice to what pixels of each
        square are multiplied with for their distance to it. Last is what is added to that.
    back : (9 * (F + 3), F + 3) Tensor
        From the sums over pixels of each square, and their number, to those of all as seen from
        the centre's own square.
    towards, against : (9 * N,) Tensor of int32
        Places of the squares in the nine directions from each, and in the opposite ones, among
        those of the lattice with one more on every side, times nine directions.
    """

    seen: Tensor
    back: Tensor
    towards: Tensor
    against: Tensor


def _lattice(rows: int, columns: int, weight: float, count: int) -> _Lattice:
    """The lattice of so many squares, for centres of so many values."""
    step = weight * torch.tensor(_AROUND, dtype=torch.float32)
    place = slice(count - 2, count)
    seen = torch.zeros(count + 3, len(_AROUND), count + 1)
    seen[:count, :, :count] = -2 * torch.eye(count)[:, None]
    seen[place, :, count] = 2 * step.T
    seen[count, :, count] = 1
    seen[count + 1, :, count] = _FAR
    seen[count + 2, :, place] = -2 * step
    seen[count + 2, :, count] = step.square().sum(1)
    back = torch.eye(count + 1).repeat(len(_AROUND), 1, 1)
    back[:, count, place] = -step
    number = torch.arange((rows + 2) * (columns + 2), dtype=torch.int32)
    own = number.view(rows + 2, columns + 2)[1:-1, 1:-1].reshape(-1, 1)
    steps = torch.tensor([(columns + 2) * down + right for down, right in _AROUND])
    direction = torch.arange(len(_AROUND))
    towards, against = (
        (len(_AROUND) * (own + sign * steps) + direction).int().flatten() for sign in (1, -1)
    )
    return _Lattice(seen.flatten(1), back.flatten(0, 1), towards, against)


def _squares(padded: npt.NDArray[np.float32], size: int, weight: float) -> Tensor:
    """Pixels by the squares of the lattice, (rows, columns, F + 3, size, size).

    Features are followed by the place in the square, down and right, and by 1.
    """
    height, width, count = padded.shape
    parts = padded.reshape(height // size, size, width // size, size, count)
    squares = np.ones((height // size, width // size, count + 3, size, size), np.float32)
    # numpy copies this in a quarter of torch's time.
    squares[:, :, :count] = parts.transpose(0, 2, 4, 1, 3)
    place = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * weight
    squares[:, :, count] = place[:, None]
    squares[:, :, count + 1] = place
    return torch.from_numpy(squares)


def _start(padded: npt.NDArray[np.float32], size: int, weight: float) -> Tensor:
    """Means (rows, columns, F + 2) of squares around pixels in the middle of the lattice's.

    Those of an even side lie a pixel further down and right than the lattice's. So scikit-image
    begins, whose regions the shipped models have learned from.
    """
    height, width, count = padded.shape
    first_rows, first_columns = (
        np.append(0, np.arange(size, length, size) + 1 - size % 2) for length in (height, width)
    )
    sums = np.add.reduceat(np.add.reduceat(padded, first_rows, 0), first_columns, 1)
    centres = np.empty((*sums.shape[:2], count + 2), np.float32)
    for axis, (first, length) in enumerate(((first_rows, height), (first_columns, width))):
        area = np.diff(first, append=length)
        middle = first + (area - 1) / 2 - np.arange(0, length, size) - (size - 1) / 2
        shape = (-1, 1) if axis == 0 else (1, -1)
        centres[..., count + axis] = (middle * weight / size).reshape(shape)
        sums = sums / area.reshape(*shape, 1)
    centres[..., :count] = sums
    return torch.from_numpy(centres)


def _moved(pixels: Tensor, centres: Tensor, lattice: _Lattice) -> Tensor:
    """Centres (rows, columns, F + 2), moved towards the means of their pixels (N, F + 3, S)."""
    rows, columns, count = centres.shape
    products = _products(centres, lattice)
    # What the pixels of each square give to each of the nine centres.
    given = torch.empty(len(pixels), len(_AROUND), count + 1)
    for part in _parts(pixels):
        distance = torch.bmm(products[part], pixels[part])
        # As numbers and in place: a new array of truth values takes several times as long.
        least = distance.amin(1, keepdim=True)
        chosen = torch.eq(distance, least, out=distance)
        torch.bmm(chosen, pixels[part].transpose(1, 2), out=given[part])
    known = F.pad(given.view(rows, columns, -1), (0, 0, 1, 1, 1, 1))
    got = known.view(-1, count + 1).index_select(0, lattice.against)
    total = (got.view(len(pixels), -1) @ lattice.back).view(rows, columns, count + 1)
    pixel_count = total[..., -1:]
    moved = torch.lerp(centres, total[..., :-1] / pixel_count.clamp_min(1), STEP)
    return torch.where(pixel_count > 0, moved, centres)


def _nearest(pixels: Tensor, centres: Tensor, lattice: _Lattice) -> Tensor:
    """Which of the nine centres around it is nearest to each pixel, (N, S) int32."""
    products = _products(centres, lattice)
    own = torch.arange(len(_AROUND), dtype=torch.int32)[:, None]
    best = torch.empty(len(pixels), pixels.shape[2], dtype=torch.int32)
    for part in _parts(pixels):
        distance = torch.bmm(products[part], pixels[part])
        distance += pixels[part][:, :-1].square().sum(1, keepdim=True)
        # Floats that are not negative are ordered as the integers of the same bits. With a
        # centre's number in the last bits, the least says which one it is; argmin is slower.
        ordered = distance.clamp_min_(0).view(torch.int32)
        least = ordered.bitwise_and_(~_NUMBER).bitwise_or_(own).amin(1)
        best[part] = least.bitwise_and_(_NUMBER)
    return best


def _parts(pixels: Tensor) -> list[slice]:
    step = max(1, AT_A_TIME // pixels.shape[2])
    return [slice(first, first + step) for first in range(0, len(pixels), step)]


def _products(centres: Tensor, lattice: _Lattice) -> Tensor:
    """What a pixel is multiplied with for its distances, (N, 9, F + 3).

    Squared distances to the nine centres around, without the pixel's own square, which is the
    same for all nine. Beyond the lattice they are very far.
    """
    square, beyond = centres.square().sum(2, keepdim=True), torch.zeros_like(centres[..., :1])
    values = F.pad(torch.cat([centres, square, beyond], 2), (0, 0, 1, 1, 1, 1))
    values[[0, -1], :, -1] = values[:, [0, -1], -1] = 1
    seen = torch.addmm(lattice.seen[-1], values.flatten(0, 1), lattice.seen[:-1])
    around = seen.view(-1, centres.shape[2] + 1).index_select(0, lattice.towards)
    return around.view(-1, len(_AROUND), centres.shape[2] + 1)
