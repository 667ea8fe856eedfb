"""Images in OME-Zarr folders for napari: all resolutions, read where they are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.ngff import PIXEL, facts_of, placement_of

LayerData = tuple[Any, dict[str, Any], str]

# So many channels of 8 bits are colours.
_COLOURS = (3, 4)


def image_facts(path: Path) -> Mapping[str, Any] | None:
    """What an OME-Zarr of an image says of itself; None of labels, and of what is no OME-Zarr."""
    facts = facts_of(path)
    return None if facts is None or "image-label" in facts else facts


def read_ome_image(path: str) -> list[LayerData]:
    """The image of an OME-Zarr as a layer of napari, with its axes, scale and units.

    Three or four channels of 8 bits are colours; others come first, under the name "channel".
    Axes of length 1 are left out.

    Raises
    ------
    ImageError
        When it is no OME-Zarr, or damaged.
    """
    import dask.array as da

    facts = image_facts(Path(path))
    try:
        if facts is None:
            raise ValueError("it names no resolutions")
        [about, *_] = facts["multiscales"]
        levels = [da.from_zarr(str(Path(path) / known["path"])) for known in about["datasets"]]
        return [_layer(path, about, levels)]
    except (KeyError, ValueError, TypeError, IndexError, OSError, AttributeError) as error:
        raise ImageError(
            f"“{Path(path).name}” could not be read as OME-Zarr ({error}): it may be damaged, open "
            "another copy."
        ) from error


def _layer(path: str, about: Mapping[str, Any], levels: list[Any]) -> LayerData:
    first = levels[0]
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in about["axes"]]
    names = [str(axis["name"]).lower() for axis in axes]
    if len(names) != first.ndim or names[-2:] != ["y", "x"]:
        raise ValueError(f"axes {names} of shape {first.shape}")
    scale, moved = placement_of(about, first.ndim)
    place = names.index("c") if "c" in names else None
    colours = place is not None and first.shape[place] in _COLOURS and first.dtype == "uint8"
    kept = [
        axis
        for axis, name in enumerate(names)
        if name in "yx" or (first.shape[axis] > 1 and axis != place)
    ]
    order = list(kept)
    if place is not None and colours:
        order.append(place)
    elif place is not None and first.shape[place] > 1:
        order = kept = [place, *kept]
    dropped = [axis for axis in range(first.ndim) if axis not in order]
    levels = [level.transpose(dropped + order)[(0,) * len(dropped)] for level in levels]
    options: dict[str, Any] = {
        "name": Path(path).name.partition(".")[0],
        "rgb": colours,
        "scale": [1.0 if axis == place else scale[axis] for axis in kept],
        "units": [str(axes[axis].get("unit") or PIXEL) for axis in kept],
        "axis_labels": ["channel" if axis == place else names[axis] for axis in kept],
        "multiscale": len(levels) > 1,
    }
    if moved is not None:
        options["translate"] = [0.0 if axis == place else moved[axis] for axis in kept]
    if first.dtype == "uint8":
        options["contrast_limits"] = (0, 255)
    return (levels if len(levels) > 1 else levels[0]), options, "image"
