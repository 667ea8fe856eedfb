"""A simulated annotator: short lines of a brush, which stay inside their class.

What a person does first is to paint a line somewhere in a large part of each class. Afterwards
the largest places that are wrong are painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.draw import line
from skimage.measure import label as connected
from skimage.measure import regionprops

from benchmarks.loop.photos import Labels

Mask = npt.NDArray[np.bool_]

# In pixels.
WIDTHS, LENGTHS = (4, 12), (30, 120)
STROKES = 6
# A person sees no smaller component, in pixels, and takes no part for large that is smaller
# than this share of the largest one.
_SMALLEST, _LARGE = 50, 0.25
_DIRECTIONS = 16


@dataclass(frozen=True)
class Component:
    """A connected component of one true class, without what was painted already."""

    photo: int
    label: int
    area: int
    corner: tuple[int, int]
    mask: Mask


def first_strokes(truth: Labels, rng: np.random.Generator) -> Labels:
    """Labels (H, W) with one stroke a class, and three at least."""
    classes = np.unique(truth[truth > 0]).tolist()
    labels = np.zeros_like(truth)
    while len(classes) < 3:
        classes.append(int(rng.choice(classes)))
    for value in classes:
        found = [c for c in components(0, truth, labels, truth > 0) if c.label == value]
        paint(labels, truth, somewhere(found, rng), rng)
    return labels


def somewhere(found: Sequence[Component], rng: np.random.Generator) -> Component:
    """One of the large components, the more likely the larger."""
    areas = np.array([c.area for c in found], float)
    areas[areas < _LARGE * areas.max()] = 0
    return found[rng.choice(len(found), p=areas / areas.sum())]


def paint_round(
    truths: Sequence[Labels],
    painted: Sequence[Labels],
    predictions: Sequence[Labels] | None,
    rng: np.random.Generator,
) -> list[Labels]:
    """Labels of all photographs after another round of `STROKES` strokes.

    One stroke a photograph, in its largest wrong component; the remaining ones in the largest
    that are left anywhere. Without predictions classes take turns, in large parts at random,
    so that the first round holds several.
    """
    left = [
        component
        for photo, truth in enumerate(truths)
        for component in components(
            photo,
            truth,
            painted[photo],
            True if predictions is None else predictions[photo] != truth,
        )
    ]
    left.sort(key=lambda component: -component.area)
    after = [labels.copy() for labels in painted]
    classes = sorted({component.label for component in left})
    for number in range(min(STROKES, len(left))):
        here = [c for c in left if c.photo == number] if number < len(truths) else left
        if predictions is None:
            wanted = classes[number % len(classes)]
            suits = [c for c in here if c.label == wanted] or [c for c in left if c.label == wanted]
            chosen = somewhere(suits or here or left, rng)
        else:
            chosen = (here or left)[0]
        left.remove(chosen)
        paint(after[chosen.photo], truths[chosen.photo], chosen, rng)
    return after


def components(photo: int, truth: Labels, painted: Labels, wrong: Mask | bool) -> list[Component]:
    """Connected parts of what is wrong and not painted yet, by true class.

    When all are too small to be seen, the largest of each class is taken nevertheless.
    """
    found = []
    for value in np.unique(truth[truth > 0]).tolist():
        numbered = connected((truth == value) & wrong & (painted == 0), connectivity=1)
        parts = sorted(regionprops(numbered), key=lambda part: -part.area)
        for place, part in enumerate(parts):
            if part.area >= _SMALLEST or place == 0:
                corner = (int(part.bbox[0]), int(part.bbox[1]))
                found.append(Component(photo, value, int(part.area), corner, part.image))
    return found


def paint(labels: Labels, truth: Labels, component: Component, rng: np.random.Generator) -> None:
    """Add a stroke, in place: from one of the deeper points, the longest of several lines."""
    width, length = rng.uniform(*WIDTHS), rng.uniform(*LENGTHS)
    depth = distance_transform_edt(np.pad(component.mask, 1))[1:-1, 1:-1]
    deep = np.argwhere(depth >= min(width / 2 + 1, 0.7 * depth.max()))
    start = deep[rng.integers(len(deep))]
    turns = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
    lines = [_inside(depth, start, turn, length, min(width, depth.max()) / 2) for turn in turns]
    rows, columns = max(lines, key=lambda points: len(points[0]))
    far = np.ones(labels.shape, bool)
    far[rows + component.corner[0], columns + component.corner[1]] = False
    # A careful person: nothing is painted beyond the border of the class.
    brushed = (distance_transform_edt(far) <= width / 2) & (truth == component.label)
    labels[brushed] = component.label


def _inside(
    depth: npt.NDArray[np.float64],
    start: npt.NDArray[np.int64],
    turn: float,
    length: float,
    room: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of a line as far as there is room for half of the brush."""
    end = np.rint(start + length * np.array([np.sin(turn), np.cos(turn)])).astype(int)
    rows, columns = line(*start, *end)
    bounded = (rows >= 0) & (rows < depth.shape[0]) & (columns >= 0) & (columns < depth.shape[1])
    rows, columns = rows[bounded], columns[bounded]
    narrow = np.flatnonzero(depth[rows, columns] < room)
    stop = max(1, int(narrow[0])) if len(narrow) else len(rows)
    return rows[:stop], columns[:stop]
