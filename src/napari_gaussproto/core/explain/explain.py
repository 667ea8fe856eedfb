"""Why a pixel or a mask has its class: responsible prototypes, posterior, novelty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral

import numpy as np
import numpy.typing as npt
import torch

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.cells.partition import cell_weights
from napari_gaussproto.core.imaging.masks import Mask, Polygon, bounding_box, outline
from napari_gaussproto.core.model.segmentation import Segmentation

# What has less of an explanation is not worth a line: it would be shown as 0%.
LEAST_SHARE = 0.005
# A place is a mixture when classes other than its own have this share of it.
_MIXED = 0.25
# A place is unlike a prototype when less of the prototype's own cells lie farther from it.
_UNLIKE = 0.05

NO_DATA = "The image holds no data here: choose a place where something was recorded."


@dataclass(frozen=True)
class Responsible:
    """One prototype's part in an explanation.

    Attributes
    ----------
    index : int
        Among all prototypes of the model.
    responsibility : float
        Its share; those of a class sum to the class probability of the explanation.
    typicality : float
        Share of its own cells that lie farther from it; see `Segmentation.likelihood`. Of a mask
        the mean over its cells, weighted by the share that the prototype has in each.
    """

    index: int
    name: str
    class_index: int
    responsibility: float
    typicality: float

    @property
    def closeness(self) -> str:
        """Typicality in words."""
        if self.typicality < _UNLIKE:
            return f"unlike it: less typical than {1 - self.typicality:.0%} of its own examples"
        return f"more typical than {self.typicality:.0%} of its own examples"


@dataclass(frozen=True)
class Explanation:
    """Why a place has its class.

    Attributes
    ----------
    y, x : int
        The pixel asked for; of a mask, one inside it.
    label : int
        Class index of that pixel in the segmentation.
    responsible : list of Responsible
        All active prototypes, the most responsible first.
    class_probability : (C,) ndarray
        p(c|z) of the cell, or its mean over the mask.
    novelty : float
        Share of the training cells of its class that are more familiar, in [0, 1].
    compared_with : str
        What novelty compares with; see `Segmentation.compared_with`.
    mask : ndarray
        (H, W) bool, pixels explained: a cell or a mask; its first one lies at (top, left).
    n_cells : int
        Cells that took part; 1 for a pixel.
    is_cut : bool
        Whether a mask goes on beyond the part of the image that was looked at.
    is_mask : bool
        Whether the pixels of a mask were explained, and not one cell.
    """

    y: int
    x: int
    label: int
    responsible: list[Responsible]
    class_probability: npt.NDArray[np.float64]
    novelty: float
    compared_with: str
    top: int
    left: int
    mask: Mask
    n_cells: int
    is_cut: bool = False
    is_mask: bool = False

    def __repr__(self) -> str:
        """The explanation in one line: without the mask and those that hardly count."""
        most = ", ".join(f"{p.name} {p.responsibility:.0%}" for p in self.responsible[:3])
        what = f"{self.n_cells} cells around" if self.is_mask else "the cell at"
        return (
            f"<Explanation of {what} (y {self.y}, x {self.x}): {most}; novelty {self.novelty:.2f}>"
        )

    @property
    def reasons(self) -> list[Responsible]:
        """Prototypes worth naming of the place's own class, the most responsible first."""
        own = [part for part in self.responsible if part.class_index == self.label]
        return [part for part in own if part.responsibility >= LEAST_SHARE] or own[:1]

    @property
    def objections(self) -> list[Responsible]:
        """Prototypes worth naming of other classes, the most responsible first."""
        return [
            part
            for part in self.responsible
            if part.class_index != self.label and part.responsibility >= LEAST_SHARE
        ]

    @property
    def is_mixture(self) -> bool:
        """Whether other classes have so much of the place that it lies between classes."""
        return 1 - float(self.class_probability[self.label]) >= _MIXED

    @property
    def rival(self) -> int | None:
        """The class beside its own that a mixture is most like."""
        if not self.is_mixture:
            return None
        others = self.class_probability.copy()
        others[self.label] = -1
        return int(others.argmax())

    @cached_property
    def outlines(self) -> list[Polygon]:
        """Closed outlines of what is explained, (K, 2) each, in pixels (y, x)."""
        return outline(self.mask, self.top, self.left)

    @property
    def familiarity(self) -> str:
        """Novelty as a sentence."""
        subject = "On average farther" if self.is_mask else "Farther"
        percent = round(100 * self.novelty)
        if percent >= 100:
            return f"{subject} from every prototype than any of the {self.compared_with}."
        if percent <= 0:
            return f"As near to the prototypes as the most familiar {self.compared_with}."
        return f"{subject} from every prototype than {percent}% of the {self.compared_with}."

    @property
    def remark(self) -> str:
        """What else one should know; often empty."""
        sentences = []
        best = int(self.class_probability.argmax())
        if not self.is_mask and best != self.label:
            sentences.append(
                "This pixel lies at the border of its cell: its class comes from the cell "
                "beside it as well."
            )
        if self.reasons and max(part.typicality for part in self.reasons) < _UNLIKE:
            sentences.append(
                f"It is unlike {self.reasons[0].name}, too, and only less unlike than the other "
                "prototypes are: the best of a bad lot."
            )
        if self.is_cut:
            sentences.append(
                "The region goes on beyond the tile that was looked at; this is about the outlined "
                "part of it."
            )
        return " ".join(sentences)


def explain(segmentation: Segmentation, y: int, x: int) -> Explanation:
    """Explain one pixel by the cell that holds it.

    Raises
    ------
    ImageError
        When the pixel lies outside the image or holds no data, or its place is no whole number.
    """
    check_place(segmentation, y, x)
    partition = segmentation.encoding.partition
    cell = partition.cell_at(y, x)
    top, left, mask = partition.cell_mask(cell)
    return _explanation(segmentation, y, x, np.array([cell]), np.ones(1), top, left, mask)


def check_place(segmentation: Segmentation, y: int, x: int) -> None:
    """Make sure that a pixel can be explained.

    Raises
    ------
    ImageError
        As `explain`.
    """
    height, width = segmentation.shape
    if not (isinstance(y, Integral) and isinstance(x, Integral)):
        raise ImageError(
            f"({y}, {x}) is no pixel: give y and x as whole numbers, for example int(round(y))."
        )
    if not (0 <= y < height and 0 <= x < width):
        raise ImageError(
            f"Pixel ({y}, {x}) lies outside the image of {height} x {width} pixels: "
            "click inside it."
        )
    if not segmentation.labels[y, x]:
        raise ImageError(NO_DATA)


def explain_mask(segmentation: Segmentation, mask: Mask) -> Explanation:
    """Explain a mask: the shares of the prototypes are their mean responsibilities.

    Its class is the most frequent one of its pixels.

    The mask, (H, W) of bool, comes from `component_at` for example.

    Raises
    ------
    ImageError
        When the mask is empty, of another shape, or holds no data.
    """
    if mask.shape != segmentation.shape:
        raise ImageError(
            f"The region is {mask.shape} pixels large and the image {segmentation.shape}: "
            "choose a region of this image."
        )
    if not mask.any():
        raise ImageError("The region is empty: choose one with at least one pixel.")
    mask = mask & (segmentation.labels > 0)
    if not mask.any():
        raise ImageError(NO_DATA)
    weight = cell_weights(segmentation.encoding.partition, mask)
    cells = np.flatnonzero(weight)
    box = bounding_box(mask)
    # A pixel that has the most frequent class.
    label = np.bincount(segmentation.labels[mask]).argmax()
    places = np.argwhere(mask & (segmentation.labels == label))
    y, x = places[len(places) // 2]
    top, left = box[0].start, box[1].start
    found = _explanation(segmentation, y, x, cells, weight[cells], top, left, mask[box])
    return replace(found, is_mask=True)


def _explanation(
    segmentation: Segmentation,
    y: int,
    x: int,
    cells: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    top: int,
    left: int,
    mask: Mask,
) -> Explanation:
    values = segmentation.at(torch.from_numpy(cells))
    share = weight @ values.responsibility
    part = weight[:, None] * values.responsibility
    # Where a prototype has no share at all, all cells count alike.
    part = np.where(share > 0, part, weight[:, None])
    typicality = (part * values.typicality).sum(0) / part.sum(0)
    active = [m for m, on in enumerate(segmentation.active) if on]
    known = [(m, segmentation.prototypes[m]) for m in sorted(active, key=lambda m: -share[m])]
    return Explanation(
        y=int(y),
        x=int(x),
        label=int(segmentation.labels[y, x]) - 1,
        responsible=[
            Responsible(m, p.name, p.class_index, float(share[m]), float(typicality[m]))
            for m, p in known
        ],
        class_probability=weight @ values.posterior,
        novelty=float(weight @ values.novelty),
        compared_with=segmentation.compared_with,
        top=top,
        left=left,
        mask=mask,
        n_cells=len(cells),
    )
