"""An explanation as one figure, ready for a paper: PNG, SVG or PDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from napari_gaussproto.core.base.atomic import refuse_folder, replacing
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.explain.explain import Explanation, Responsible
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.io.figures import INK, as_rgb, bare, new_figure

SUFFIXES = (".png", ".svg", ".pdf")
_SOFT = "#777777"
_FAINT = "#e4e4e4"
_OUTLINE = "#ffffff"
_MOST = 4
_PATCHES = 4
# The crop shows a cell with so many times its size around it, a mask with a margin.
_AROUND_CELL, _AROUND_MASK = 24, 1.3
_LEAST_SIDE = 96


def explanation_figure(
    photo: npt.NDArray[Any],
    segmentation: Segmentation,
    explanation: Explanation,
    *,
    title: str = "",
    caption: str = "",
    nodata: float | None = None,
) -> Figure:
    """Draw the place, the prototypes responsible for it, the class posterior and the novelty.

    Parameters
    ----------
    photo : (H, W) or (H, W, C) ndarray
        The image that was segmented.
    title : str
        By default what was explained.
    caption : str
        Below it in small letters: where it is from, for example as `caption_of` says it.
    nodata : float, optional
        See `ImageSource.from_array`.
    """
    figure = new_figure(10, 4.6)
    grid = GridSpec(
        2, 2, figure, left=0.02, right=0.98, top=0.88, bottom=0.13, wspace=0.06, hspace=0.5,
        width_ratios=[0.8, 1.2], height_ratios=[3.2, 1],
    )  # fmt: skip
    source = ImageSource.from_array(photo, nodata=nodata)
    _draw_place(figure.add_subplot(grid[:, 0]), source, segmentation, explanation)
    _draw_responsible(figure.add_subplot(grid[0, 1]), segmentation, _worth_a_row(explanation))
    _draw_posterior(figure.add_subplot(grid[1, 1]), segmentation, explanation)
    figure.suptitle(
        title or heading(segmentation, explanation), x=0.02, ha="left", color=INK, fontsize=13,
        parse_math=False,
    )  # fmt: skip
    words = f"{explanation.familiarity} {explanation.remark}".strip()
    figure.text(0.98, 0.05, words, ha="right", color=INK, fontsize=9)
    figure.text(
        0.02, 0.012, caption, color=_SOFT, fontsize=7, parse_math=False, wrap=True,
    )  # fmt: skip
    return figure


def save_explanation(
    path: str | Path,
    photo: npt.NDArray[Any],
    segmentation: Segmentation,
    explanation: Explanation,
    *,
    title: str = "",
    caption: str = "",
    nodata: float | None = None,
) -> Path:
    """Write the figure of an explanation of a photograph; see `explanation_figure`.

    PNG gets 300 dots per inch; SVG and PDF keep text as text.

    Raises
    ------
    ConfigError
        When the suffix is none of ``.png``, ``.svg``, ``.pdf``, or ``path`` is a folder.
    """
    path = Path(path)
    refuse_folder(path, ConfigError)
    if not path.suffix:
        path = path.with_suffix(".png")
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"An explanation cannot be saved as “{path.suffix}”: choose PNG, SVG or PDF."
        )
    about = (photo, segmentation, explanation)
    figure = explanation_figure(*about, title=title, caption=caption, nodata=nodata)
    with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}), replacing(path) as partial:
        figure.savefig(partial, dpi=300, format=path.suffix.lower().removeprefix("."))
    return path


def heading(segmentation: Segmentation, explanation: Explanation) -> str:
    """What was explained, in words."""
    name = segmentation.classes[explanation.label].name
    if explanation.rival is not None:
        name = f"{name}, mixed with {segmentation.classes[explanation.rival].name}"
    place = f"(y {explanation.y}, x {explanation.x})"
    return f"Why is this region {name}?" if explanation.is_mask else f"Why {name} at {place}?"


def caption_of(
    photo: str,
    model: str,
    segmentation: Segmentation,
    explanation: Explanation,
    plane: Sequence[int] = (),
) -> str:
    """From where an explanation is: the photograph, the place and its class, and the model.

    Parameters
    ----------
    photo : str
        What it is called.
    model : str
        See `ModelCard.edition`; empty where it is not known.
    plane : sequence of int
        Place in the leading axes of a stack; the caption counts from 1.
    """
    of_stack = f"plane {', '.join(str(at + 1) for at in plane)}, " if plane else ""
    around = "region around " if explanation.is_mask else ""
    name = segmentation.classes[explanation.label].name
    where = f"{around}{of_stack}row {explanation.y}, column {explanation.x}: {name}"
    return " · ".join(part for part in (photo, where, model) if part)


def _draw_place(
    axes: Axes, source: ImageSource, segmentation: Segmentation, explanation: Explanation
) -> None:
    top, left, bottom, right = _crop(segmentation.shape, explanation)
    rgb = as_rgb(source.read(top, left, bottom, right))
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    axes.imshow(rgb, extent=extent)
    # matplotlib draws (x, y).
    lines = [polygon[:, ::-1] for polygon in explanation.outlines]
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=3.2))
    axes.add_collection(LineCollection(lines, colors=_OUTLINE, linewidths=1.6))
    axes.set(xlim=extent[:2], ylim=extent[2:], anchor="NW")
    bare(axes)


def _crop(shape: tuple[int, int], explanation: Explanation) -> tuple[int, int, int, int]:
    """Window (top, left, bottom, right) of the image around what is explained."""
    height, width = explanation.mask.shape
    factor = _AROUND_MASK if explanation.is_mask else _AROUND_CELL
    side = min(max(_LEAST_SIDE, round(factor * max(height, width))), *shape)
    middle = (explanation.top + height / 2, explanation.left + width / 2)
    top, left = (
        int(min(max(0, centre - side / 2), length - side))
        for centre, length in zip(middle, shape, strict=True)
    )
    return top, left, top + side, left + side


def _worth_a_row(explanation: Explanation) -> list[Responsible]:
    """Prototypes of its class, then those of others, of which half the rows are kept free."""
    others = explanation.objections
    reasons = explanation.reasons[: _MOST - min(len(others), _MOST // 2)]
    return [*reasons, *others][:_MOST]


def _draw_responsible(axes: Axes, segmentation: Segmentation, shown: list[Responsible]) -> None:
    axes.set(xlim=(0, 1), ylim=(_MOST - 0.5, -0.5))
    bare(axes)
    axes.set_title("Responsible prototypes", loc="left", color=INK, fontsize=11)
    for row, part in enumerate(shown):
        color = segmentation.classes[part.class_index].color
        axes.text(0, row - 0.14, part.name, color=INK, fontsize=10, va="bottom", parse_math=False)
        axes.text(
            0.6, row - 0.14, f"{part.responsibility:.0%}", color=INK, fontsize=10, ha="right",
            va="bottom",
        )  # fmt: skip
        axes.barh([row + 0.06], [0.6], height=0.18, color=_FAINT)
        axes.barh([row + 0.06], [0.6 * part.responsibility], height=0.18, color=color)
        axes.text(
            0, row + 0.19, part.closeness, color=_SOFT, fontsize=8, va="top",
        )  # fmt: skip
        _draw_patches(axes, segmentation.prototypes[part.index].patches, row)


def _draw_patches(axes: Axes, patches: npt.NDArray[np.uint8], row: int) -> None:
    """The nearest training patches, in a row at the right of a bar."""
    side = 0.88 / _MOST
    for slot, patch in enumerate(patches[:_PATCHES]):
        # Squares on the page: a share of the axes' height as a share of their width.
        width = side * float(axes.bbox.height / axes.bbox.width)
        left = 0.64 + slot * (width + 0.006)
        inset = axes.inset_axes((left, 1 - (row + 0.94) / _MOST, width, side))
        inset.imshow(patch)
        bare(inset)


def _draw_posterior(axes: Axes, segmentation: Segmentation, explanation: Explanation) -> None:
    axes.set(xlim=(0, 1), ylim=(-0.6, 1))
    bare(axes)
    axes.set_title("Class probability", loc="left", color=INK, fontsize=11)
    left = 0.0
    shares = zip(segmentation.classes, explanation.class_probability.tolist(), strict=True)
    for slot, (entry, value) in enumerate(shares):
        axes.barh([0.5], [value], left=left, height=0.6, color=entry.color)
        left += value
        x = slot / len(segmentation.classes)
        axes.plot([x + 0.008], [-0.3], "s", color=entry.color, markersize=7, clip_on=False)
        axes.text(
            x + 0.03, -0.3, f"{entry.name} {value:.0%}", color=INK, fontsize=10, va="center",
            parse_math=False,
        )  # fmt: skip
