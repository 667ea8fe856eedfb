"""What an OME-Zarr folder says of itself: axes, resolutions, colours and names of labels.

Format: OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.config import SegmentationClass

VERSION = "0.5"
# What the axes of labels are called.
_AXES = "tczyx"
_TYPES = {"t": "time", "c": "channel"}
# How axes say that no unit of theirs is known.
PIXEL = "pixel"


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
    names = _AXES[-ndim:] if ndim != 4 else _AXES.replace("c", "")
    axes = [_axis(*pair) for pair in zip(names, units or [PIXEL] * ndim, strict=True)]
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


def _axis(name: str, unit: str) -> dict[str, str]:
    axis = {"name": name, "type": _TYPES.get(name, "space")}
    return axis if unit == PIXEL or name in _TYPES else {**axis, "unit": unit}
