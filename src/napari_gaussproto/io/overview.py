"""One picture that shows what was found in a photograph, and by which prototypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.image import AxesImage

from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.io.figures import INK, as_rgb, bare, new_figure

_OPACITY = 0.55
# Longest side of a picture in the figure; more pixels would only make the file large.
_SIDE = 1000
_PATCHES = 5


def overview_figure(
    photo: Any, segmentation: Segmentation, *, columns: int = 4, title: str = ""
) -> Figure:
    """Draw photo, labels with legend, and the most responsible prototypes with patches.

    The figure has no global state; save it with ``figure.savefig(path)``.

    Parameters
    ----------
    photo : (H, W) or (H, W, C) ndarray, or ImageSource
        The image that was segmented.
    columns : int
        How many prototypes to show.
    """
    figure = new_figure(13, 8.4)
    chosen = most_responsible(segmentation, columns)
    rows = GridSpec(
        2, 1, figure, left=0.02, right=0.93, top=0.91, bottom=0.02, hspace=0.1,
        height_ratios=[1.45, 1.0],
    )  # fmt: skip
    _draw_photo_and_labels(figure, rows[0], photo, segmentation)
    _draw_prototypes(figure, rows[1], segmentation, chosen)
    remarks = "\n".join(segmentation.remarks())
    if remarks:
        figure.text(0.98, 0.985, remarks, ha="right", va="top", color=INK, fontsize=9,
                    parse_math=False)  # fmt: skip
    if title:
        figure.suptitle(title, x=0.02, y=0.975, ha="left", color=INK, fontsize=15,
                        parse_math=False)  # fmt: skip
    return figure


def most_responsible(segmentation: Segmentation, count: int) -> list[int]:
    """Prototypes to show: the most responsible one of every class, then the next ones."""
    share = segmentation.prototype_share()
    ranked = np.argsort(-share, kind="stable").tolist()
    first = {segmentation.prototypes[m].class_index: m for m in reversed(ranked)}
    leaders = sorted(first.values(), key=lambda m: -share[m])[:count]
    others = [m for m in ranked if m not in leaders]
    chosen = (leaders + others)[:count]
    return sorted(chosen, key=lambda m: (segmentation.prototypes[m].class_index, -share[m]))


def _draw_photo_and_labels(
    figure: Figure, cell: Any, photo: Any, segmentation: Segmentation
) -> None:
    left, right = _split(cell, 1, 2, wspace=0.01)
    small = thumbnail(photo)
    _picture(figure.add_subplot(left), small, "Photograph")
    axes = figure.add_subplot(right)
    over = segmentation.data_share
    title = "Classes" if over == 1 else f"Classes, shares of the {over:.1%} with data"
    _picture(axes, overlay(small, segmentation), title)
    cover = segmentation.cover()
    for entry in segmentation.classes:
        axes.plot([], [], "s", markersize=9, color=entry.color, label=entry.color)
    legend = axes.legend(
        loc="lower right", frameon=True, framealpha=0.85, edgecolor="none", labelcolor=INK,
        fontsize=11, handletextpad=0.2, borderpad=0.6,
    )  # fmt: skip
    # Set afterwards: a legend leaves out a label that starts with an underscore.
    for entry, text in zip(segmentation.classes, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        text.set_text(f"{entry.name}  {cover[entry.name]:.1%}")


def _draw_prototypes(
    figure: Figure, cell: Any, segmentation: Segmentation, chosen: list[int]
) -> None:
    share = segmentation.prototype_share()
    image: AxesImage | None = None
    for column, m in zip(_split(cell, 1, len(chosen), wspace=0.05), chosen, strict=True):
        prototype = segmentation.prototypes[m]
        color = segmentation.classes[prototype.class_index].color
        upper, lower = _split(column, 2, 1, height_ratios=[3.2, 1], hspace=0.04)
        axes = figure.add_subplot(upper)
        image = axes.imshow(segmentation.likelihood(m, cells=True), cmap="magma", vmin=0, vmax=1)
        _plain(axes)
        axes.set_title(
            f"{prototype.name} · {share[m]:.0%} of the image", color=INK, fontsize=11, loc="left",
            parse_math=False,
        )  # fmt: skip
        axes.plot([0, 1], [1.005, 1.005], transform=axes.transAxes, color=color, lw=4,
                  clip_on=False, solid_capstyle="butt")  # fmt: skip
        _draw_patches(figure, lower, prototype.patches, color)
    if image is not None:
        bar = figure.colorbar(image, cax=figure.add_axes((0.944, 0.14, 0.008, 0.22)))
        bar.set_label("typicality", color=INK)
        bar.outline.set_visible(False)


def _draw_patches(figure: Figure, cell: Any, patches: npt.NDArray[np.uint8], color: str) -> None:
    for slot, patch in zip(_split(cell, 1, _PATCHES, wspace=0.06), patches, strict=False):
        axes = figure.add_subplot(slot)
        axes.imshow(patch)
        _plain(axes)
        axes.spines[:].set(visible=True, color=color, linewidth=1.5)


def _split(cell: Any, rows: int, columns: int, **options: Any) -> list[Any]:
    """Cells of a grid inside a cell, row by row."""
    grid: Any = GridSpecFromSubplotSpec(rows, columns, cell, **options)
    return list(grid)


def _picture(axes: Axes, image: npt.NDArray[Any], title: str) -> None:
    axes.imshow(image, cmap="gray")
    _plain(axes)
    axes.set_title(title, color=INK, fontsize=12, loc="left")


def _plain(axes: Axes) -> None:
    axes.set_anchor("NW")
    bare(axes)


def thumbnail(photo: Any, side: int = _SIDE) -> npt.NDArray[np.float32]:
    """A photograph as RGB (h, w, 3) in [0, 1], at most ``side`` pixels long.

    Parameters
    ----------
    photo : (H, W) or (H, W, C) ndarray, or ImageSource
    """
    is_source = isinstance(photo, ImageSource)
    source = photo.with_all_channels() if is_source else ImageSource.from_array(photo)
    step = -(-max(source.height, source.width) // side)
    return as_rgb(source.read(0, 0, source.height, source.width)[:, ::step, ::step])


def overlay(photo: npt.NDArray[np.float32], segmentation: Segmentation) -> npt.NDArray[np.float32]:
    """Class colours over a photograph (H, W, 3), which may be a subsample of the segmented one."""
    # The longer side tells the step exactly; a few rows do not.
    step = -(-max(segmentation.labels.shape) // max(photo.shape[:2]))
    labels = segmentation.labels[::step, ::step]
    palette = np.array([(0, 0, 0), *(to_rgb(c.color) for c in segmentation.classes)], np.float32)
    grey = photo.mean(2, keepdims=True)
    mixed: npt.NDArray[np.float32] = (1 - _OPACITY) * grey + _OPACITY * palette[labels]
    return mixed
