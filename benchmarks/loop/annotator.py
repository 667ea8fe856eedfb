"""A simulated annotator: brush strokes along the middle of the largest wrong components."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as connected
from skimage.measure import regionprops
from skimage.morphology import skeletonize

Labels = npt.NDArray[np.uint8]

# In pixels.
BRUSH, LONGEST = 10, 150
STROKES = 6
# A person sees no smaller component.
_SMALLEST = 50


@dataclass(frozen=True)
class Component:
    """A connected component of one true class, without what was painted already."""

    photo: int
    label: int
    area: int
    top: int
    left: int
    mask: npt.NDArray[np.bool_]


def paint_round(
    truths: Sequence[Labels], painted: Sequence[Labels], predictions: Sequence[Labels] | None
) -> list[Labels]:
    """Labels of all photographs after another round of `STROKES` strokes.

    One stroke a photograph, in its largest wrong component; the remaining ones in the largest
    that are left anywhere. Without predictions every component counts as wrong, and classes
    take turns, so that the first round holds several.
    """
    components = [
        component
        for photo, truth in enumerate(truths)
        for component in _components(
            photo,
            truth,
            painted[photo],
            np.ones(truth.shape, bool) if predictions is None else predictions[photo] != truth,
        )
    ]
    components.sort(key=lambda component: -component.area)
    chosen: list[Component] = []
    classes = sorted({component.label for component in components})
    for number in range(STROKES):
        left = [component for component in components if component not in chosen]
        wanted = classes[number % len(classes)] if predictions is None else None
        here = [r for r in left if r.photo == number] if number < len(truths) else left
        found = [r for r in here if r.label == wanted] or here or left
        chosen += found[:1]
    after = [labels.copy() for labels in painted]
    for component in chosen:
        truth, labels = truths[component.photo], after[component.photo]
        # A careful person: nothing is painted beyond the border of the class.
        labels[_stroke(component, truth.shape) & (truth == component.label)] = component.label
    return after


def _components(
    photo: int, truth: Labels, painted: Labels, wrong: npt.NDArray[np.bool_]
) -> list[Component]:
    found = []
    for value in np.unique(truth[truth > 0]).tolist():
        numbered = connected((truth == value) & wrong & (painted == 0), connectivity=1)
        for entry in regionprops(numbered):
            if entry.area >= _SMALLEST:
                top, left = entry.bbox[:2]
                found.append(Component(photo, value, int(entry.area), top, left, entry.image))
    return found


def _stroke(component: Component, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels of the brush along the longest path in the component's skeleton, cut in length."""
    padded = np.pad(component.mask, 1)
    depth = distance_transform_edt(padded)
    skeleton = skeletonize(padded)
    path = _longest_path({(int(y), int(x)) for y, x in np.argwhere(skeleton)})
    middle = max(range(len(path)), key=lambda i: float(depth[path[i]]))
    first = min(max(0, middle - LONGEST // 2), max(0, len(path) - LONGEST))
    drawn = np.ones(shape, bool)
    for y, x in path[first : first + LONGEST]:
        drawn[y - 1 + component.top, x - 1 + component.left] = False
    return distance_transform_edt(drawn) <= BRUSH / 2


def _longest_path(pixels: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """From the pixel farthest from anywhere to the one farthest from it."""
    start = min(pixels)
    end, _ = _search(pixels, start)
    other, came_from = _search(pixels, end)
    path = [other]
    while path[-1] != end:
        path.append(came_from[path[-1]])
    return path


def _search(
    pixels: set[tuple[int, int]], start: tuple[int, int]
) -> tuple[tuple[int, int], dict[tuple[int, int], tuple[int, int]]]:
    """Breadth-first: the last pixel reached, and where each was reached from."""
    came_from = {start: start}
    queue = deque([start])
    last = start
    while queue:
        last = y, x = queue.popleft()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near = (y + dy, x + dx)
                if near in pixels and near not in came_from:
                    came_from[near] = last
                    queue.append(near)
    return last, came_from
