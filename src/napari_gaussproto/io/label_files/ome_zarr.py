"""Labels as OME-Zarr: a pyramid with names and colours of the classes (``image-label``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from pydantic import ValidationError

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.ngff import PIXEL, facts_of, label_metadata, placement_of
from napari_gaussproto.io.label_files.label_image import LabelImage, Spacing

# Sides of an OME-Zarr are halved until they are at most so many pixels.
_SMALLEST = 512
_CHUNK = 1024
# Above this many pixels labels are not read into memory.
_LARGE = 100_000_000


def write_ome_zarr(
    path: Path,
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    spacing: Spacing | None = None,
) -> None:
    """Write labels (..., H, W), with up to two axes in front, as a pyramid.

    Raises
    ------
    OSError
        When it cannot be written there.
    """
    spacing = spacing or Spacing.of(None, labels.ndim)
    levels = [np.ascontiguousarray(labels)]
    while max(levels[-1].shape[-2:]) > _SMALLEST:
        # The nearest pixel: between two classes there is no third.
        levels.append(np.ascontiguousarray(levels[-1][..., ::2, ::2]))
    about = (spacing.steps, spacing.origin if any(spacing.origin) else None, spacing.units)
    with replacing(path) as partial:
        group = zarr.open_group(str(partial), mode="w")
        for number, level in enumerate(levels):
            chunks = (*(1 for _ in level.shape[:-2]), *(min(_CHUNK, n) for n in level.shape[-2:]))
            group.create_array(str(number), data=level, chunks=chunks)
        group.attrs["ome"] = label_metadata(path.name, labels.ndim, len(levels), classes, *about)


def holds_ome_labels(path: Path) -> bool:
    """Whether a folder is an OME-Zarr of labels, of ours or of another program."""
    return _label_facts(path) is not None


def read_ome_zarr(path: Path) -> LabelImage:
    """Read labels at full resolution, their classes and spacing.

    Values between those that have a name or a colour get a class that says their number. The
    result is lazy above 100 megapixels.

    Raises
    ------
    ImageError
        When it is no OME-Zarr of labels, or damaged.
    """
    facts = _label_facts(path)
    if facts is None:
        raise ImageError(
            f"“{path.name}” is no OME-Zarr of labels: open one that has image-label metadata."
        )
    try:
        [about, *_] = facts["multiscales"]
        dataset = about["datasets"][0]
        array = _array(path / dataset["path"])
        steps, moved = placement_of(about, array.ndim)
        units = [
            axis.get("unit", PIXEL) if isinstance(axis, dict) else PIXEL for axis in about["axes"]
        ]
        spacing = Spacing(tuple(steps), tuple(units), tuple(moved or ()))
        is_large = not isinstance(array, np.ndarray)
        levels = [_array(path / d["path"], lazy=True) for d in about["datasets"] if is_large]
        return LabelImage(array, _classes(facts["image-label"]), spacing, levels)
    except (KeyError, ValueError, TypeError, IndexError, OSError, ValidationError) as error:
        raise ImageError(
            f"“{path.name}” could not be read as OME-Zarr ({error}): it may be damaged, open "
            "another copy."
        ) from error


def _label_facts(path: Path) -> Mapping[str, Any] | None:
    """What an OME-Zarr of labels says of itself; None of anything else."""
    facts = facts_of(path)
    return None if facts is None or "image-label" not in facts else facts


def _array(path: Path, *, lazy: bool = False) -> Any:
    import dask.array as da

    array = zarr.open_array(str(path), mode="r")
    if array.dtype.kind not in "ui":
        raise ValueError(f"labels of type {array.dtype}")
    in_memory = array.size <= _LARGE and not lazy
    return np.asarray(array[...]) if in_memory else da.from_zarr(array)


def _classes(about: Mapping[str, Any]) -> list[SegmentationClass]:
    colours = {int(c["label-value"]): c["rgba"] for c in about.get("colors", []) if "rgba" in c}
    properties = about.get("properties", [])
    names = {int(p["label-value"]): str(p["name"]) for p in properties if p.get("name")}
    last = max([*colours, *names], default=0)
    if last > np.iinfo(np.uint8).max - 1:
        return []  # instances: numbers of objects, not classes
    return [
        SegmentationClass(
            name=names.get(value, f"label {value}"),
            color="#{:02x}{:02x}{:02x}".format(*colours.get(value, (127, 127, 127))[:3]),
        )
        for value in range(1, last + 1)
    ]
