"""What the figures of this package have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

INK = "#333333"


def new_figure(width: float, height: float) -> Figure:
    """A white figure of a size in inches, without any global state."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> None:
    """Take ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def as_rgb(pixels: Tensor) -> npt.NDArray[Any]:
    """Channels (C, H, W) in [0, 1] as a picture (H, W, 3): three of them, or one as grey."""
    rgb = pixels[:3] if pixels.shape[0] >= 3 else pixels[:1].expand(3, -1, -1)
    picture: npt.NDArray[np.float32] = rgb.permute(1, 2, 0).numpy()
    return picture
