"""What an OME-Zarr folder says of itself: axes, resolutions, colours and names of labels.

Format: OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass

VERSION = "0.5"
# What the axes of labels are called.
_AXES = "tczyx"
_TYPES = {"t": "time", "c": "channel"}
# How axes say that no unit of theirs is known.
PIXEL = "pixel"
# Units of time, as the format and napari call them.
TIMES = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")


def facts_of(path: Path) -> Mapping[str, Any] | None:
    """What an OME-Zarr of an image or of labels says of itself; None of what is none."""
    import zarr

    if not path.is_dir():
        return None
    try:
        facts = dict(zarr.open_group(str(path), mode="r").attrs)
    except Exception:  # zarr has an error of its own for everything that is no group
        return None
    inner = facts.get("ome", facts)
    return inner if isinstance(inner, Mapping) and inner.get("multiscales") else None


def label_metadata(
    name: str,
    ndim: int,
    n_levels: int,
    classes: Sequence[SegmentationClass],
    scale: Sequence[float] | None = None,
    translate: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The attribute "ome" of labels whose levels are called "0", "1", ..., each half the former.

    Parameters
    ----------
    ndim : int
        2 to 5 axes, the last two of them height and width.
    scale, translate : sequence of float, optional
        Of the finest level, a value for each axis.
    units : sequence of str, optional
        As OME-Zarr calls them, such as "millimeter"; "pixel" where none is known.
    """
    units = units or [PIXEL] * ndim
    axes = [_axis(*pair) for pair in zip(_names(ndim, units), units, strict=True)]
    scale = [1.0] * ndim if scale is None else [float(value) for value in scale]
    moved = [] if translate is None else [{"type": "translation", "translation": list(translate)}]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*scale[:-2], *(2**level * s for s in scale[-2:])]},
                *moved,
            ],
        }
        for level in range(n_levels)
    ]
    entries = list(enumerate(classes, start=1))
    return {
        "version": VERSION,
        "multiscales": [
            {
                "name": name,
                "axes": axes,
                "datasets": datasets,
                "type": "nearest",
            }
        ],
        "image-label": {
            "version": VERSION,
            "colors": [
                {"label-value": value, "rgba": [*bytes.fromhex(known.color[1:]), 255]}
                for value, known in entries
            ],
            "properties": [{"label-value": value, "name": known.name} for value, known in entries],
        },
    }


def placement_of(about: Mapping[str, Any], ndim: int) -> tuple[list[float], list[float] | None]:
    """Scale and translation of the finest level of an entry of "multiscales", for each axis.

    Transformations of the entry come after those of the level; None where nothing is moved.

    Raises
    ------
    ValueError
        When they are of another number of axes.
    """
    scale, moved = np.ones(ndim), None
    levels = about["datasets"][0].get("coordinateTransformations", [])
    for step in (*levels, *about.get("coordinateTransformations", [])):
        if step["type"] == "scale":
            factor = np.array(step["scale"], np.float64)
            scale, moved = scale * factor, None if moved is None else moved * factor
        elif step["type"] == "translation":
            moved = np.array(step["translation"], np.float64) + (0 if moved is None else moved)
    if scale.shape != (ndim,) or (moved is not None and moved.shape != (ndim,)):
        raise ValueError(f"a place of {len(scale)} axes for {ndim}")
    return scale.tolist(), None if moved is None else moved.tolist()


def _names(ndim: int, units: Sequence[str]) -> str:
    """What axes of labels are called; the first of three is time if its unit is one."""
    if ndim == 3 and units[0] in TIMES:
        return "tyx"
    return _AXES[-ndim:] if ndim != 4 else _AXES.replace("c", "")


def _axis(name: str, unit: str) -> dict[str, str]:
    axis = {"name": name, "type": _TYPES.get(name, "space")}
    return axis if unit == PIXEL or name == "c" else {**axis, "unit": unit}
