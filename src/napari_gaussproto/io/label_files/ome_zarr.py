"""Labels as OME-Zarr: a pyramid with names and colours of the classes (``image-label``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.ngff import facts_of
from napari_gaussproto.io.label_files.label_image import PIXEL, LabelImage, Spacing
from napari_gaussproto.io.label_files.png import bytes_of

# Sides of an OME-Zarr are halved until they are at most so many pixels.
_SMALLEST = 512
# Above this many pixels labels are not read into memory.
_LARGE = 100_000_000
_AXES = "tzyx"


def write_ome_zarr(
    path: Path,
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    spacing: Spacing | None = None,
) -> None:
    """Write labels (..., H, W), with up to two axes in front, as a pyramid.

    The package ome-zarr must be installed.
    """
    import zarr
    from ome_zarr.writer import write_multiscale

    spacing = spacing or Spacing.of(None, labels.ndim)
    levels = [np.ascontiguousarray(labels)]
    while max(levels[-1].shape[-2:]) > _SMALLEST:
        # The nearest pixel: between two classes there is no third.
        levels.append(np.ascontiguousarray(levels[-1][..., ::2, ::2]))
    about = {
        "colors": [
            {"label-value": value, "rgba": list(bytes_of(entry.color))}
            for value, entry in enumerate(classes, start=1)
        ],
        "properties": [
            {"label-value": value, "name": entry.name}
            for value, entry in enumerate(classes, start=1)
        ],
    }
    with replacing(path) as partial:
        group = zarr.open_group(str(partial), mode="w")
        write_multiscale(levels, group, axes=_axes(labels.ndim, spacing), name=path.name)
        facts = dict(group.attrs)
        inner = facts.get("ome")  # from version 0.5 of the format on, all stands in there
        known = inner if isinstance(inner, dict) else facts
        # Versions of ome-zarr differ in how they are told the scale.
        for level, dataset in enumerate(known["multiscales"][0]["datasets"]):
            steps = _steps(spacing, level)
            dataset["coordinateTransformations"] = [{"type": "scale", "scale": steps}]
        if isinstance(inner, dict):
            known["image-label"] = {**about, "version": inner["version"]}
            group.attrs["ome"] = known
        else:
            group.attrs.update({**known, "image-label": about})


def _steps(spacing: Spacing, level: int) -> list[float]:
    *leading, y, x = spacing.steps
    return [*leading, y * 2**level, x * 2**level]


def _axes(count: int, spacing: Spacing) -> list[dict[str, str]]:
    axes = []
    for name, unit in zip(_AXES[-count:], spacing.units, strict=True):
        axis = {"name": name, "type": "time" if name == "t" else "space"}
        axes.append(axis if unit == PIXEL or name == "t" else {**axis, "unit": unit})
    return axes


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
        scales = [t for t in dataset.get("coordinateTransformations", []) if t["type"] == "scale"]
        steps = scales[0]["scale"] if scales else [1.0] * array.ndim
        units = [
            axis.get("unit", PIXEL) if isinstance(axis, dict) else PIXEL for axis in about["axes"]
        ]
        spacing = Spacing(tuple(float(step) for step in steps), tuple(units))
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
    import zarr

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
