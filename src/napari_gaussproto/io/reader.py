"""Photographs for napari, upright, and labels; beside napari's own reader (``napari.yaml``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.colours import with_colours
from napari_gaussproto.io.images import TIFF_SUFFIXES, axes_of, orientation_of, read_image
from napari_gaussproto.io.label_files.layers import read_tiff_layer
from napari_gaussproto.io.ome import holds_labels

# A layer whose metadata has this key was read here, so it is upright.
PHOTOGRAPH = "photograph"

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]]:
    """A function that reads a photograph, or several of one size as a stack, for napari.

    Parameters
    ----------
    path : str or sequence of str
        Several, when napari was asked to open files as a stack.
    """
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """A photograph as a layer of napari, upright; several as one layer, a plane each.

    Labels that this package wrote become a label layer, with names and colours.

    Raises
    ------
    ImageError
        When a file cannot be read, or photographs of a stack differ in size or type.
    """
    if isinstance(path, str):
        if Path(path).suffix.lower() in TIFF_SUFFIXES and holds_labels(Path(path)):
            return [read_tiff_layer(path)]
        return [_layer(Path(path))]
    layers = [_layer(Path(one)) for one in path]
    first, about, kind = layers[0]
    for one, (data, _, _) in zip(path, layers, strict=True):
        if data.shape != first.shape or data.dtype != first.dtype:
            raise ImageError(
                f"“{Path(one).name}” has the shape {data.shape} and type {data.dtype}, "
                f"“{Path(path[0]).name}” has {first.shape} and {first.dtype}: "
                "photographs of a stack must be alike, open these one by one."
            )
    about.pop("axis_labels", None)
    about["metadata"] = {PHOTOGRAPH: [known["metadata"][PHOTOGRAPH] for _, known, _ in layers]}
    return [(np.stack([data for data, _, _ in layers]), about, kind)]


def _layer(path: Path) -> LayerData:
    # napari does not show masks of numpy; which pixels hold no data, docks read from the file.
    array = np.ma.getdata(np.asanyarray(read_image(path)))
    axes = axes_of(path) or ""
    read = {"file": str(path.absolute()), "orientation": orientation_of(path), "upright": True}
    about: dict[str, Any] = {"metadata": {PHOTOGRAPH: read}}
    has_channels = axes.endswith("YXC")
    if has_channels and array.shape[-1] == 2:
        array = with_colours(array)
    is_rgb = has_channels and array.shape[-1] in (3, 4)
    if axes == "YXC" and not is_rgb:
        # Where napari has its sliders, so that each channel can be looked at.
        array = np.moveaxis(array, -1, 0)
        return array, about | {"rgb": False, "axis_labels": ("channel", "y", "x")}, "image"
    return array, about | {"rgb": is_rgb}, "image"


def is_upright(metadata: Any) -> bool:
    """Whether the metadata of a layer say that it was read here, or turned since."""
    known = metadata.get(PHOTOGRAPH)
    return isinstance(known, dict) and bool(known.get("upright"))
