"""Sample data: six real field photographs with masks, and a procedural field of any size."""

from __future__ import annotations

from functools import partial
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.class_table import label_names, overlay_colors
from napari_gaussproto.io.field import FIELD_CLASSES, synthetic_field, synthetic_field_dask
from napari_gaussproto.io.images import read_image, read_mask

# The classes of the photographs' masks, in the order of their numbers.
SAMPLE_CLASSES = FIELD_CLASSES
_NAMES = ("peanut_0077", "peanut_0090", "peanut_0128", "peanut_0286", "peanut_0335", "peanut_0375")
LARGE_SIDE = 8192
LayerData = tuple[Any, dict[str, Any], str]


def sample_photo_names() -> list[str]:
    """Names of the bundled photographs."""
    return list(_NAMES)


def sample_photo(name: str) -> npt.NDArray[np.uint8]:
    """A bundled photograph, (720, 960, 3) uint8.

    Raises
    ------
    KeyError
        For a name that `sample_photo_names` does not list.
    """
    with resources.as_file(_file(name, "jpg")) as path:
        photo: npt.NDArray[np.uint8] = read_image(path)
    return photo


def sample_mask(name: str) -> npt.NDArray[np.uint8]:
    """Its mask, (720, 960) uint8: 1 soil, 2 crop, 3 weed."""
    with resources.as_file(_file(name, "png")) as path:
        return read_mask(path).astype(np.uint8)


def _file(name: str, suffix: str) -> Any:
    if name not in _NAMES:
        raise KeyError(f"there is no sample “{name}”: choose one of {', '.join(_NAMES)}")
    return resources.files("napari_gaussproto.io") / "data" / f"{name}.{suffix}"


def _labels_layer(labels: Any, name: str, classes: list[SegmentationClass]) -> LayerData:
    """A hidden label layer with class colours and names."""
    options = {
        "name": name,
        "visible": False,
        "opacity": 0.5,
        "colormap": overlay_colors(classes),
        "features": label_names(classes),
    }
    return labels, options, "labels"


def open_photo(name: str) -> list[LayerData]:
    """A photograph and its mask as napari layers."""
    return [
        (sample_photo(name), {"name": name}, "image"),
        _labels_layer(sample_mask(name), f"{name} mask", SAMPLE_CLASSES),
    ]


# napari's manifest names functions without arguments.
open_peanut_0077 = partial(open_photo, "peanut_0077")
open_peanut_0090 = partial(open_photo, "peanut_0090")
open_peanut_0128 = partial(open_photo, "peanut_0128")
open_peanut_0286 = partial(open_photo, "peanut_0286")
open_peanut_0335 = partial(open_photo, "peanut_0335")
open_peanut_0375 = partial(open_photo, "peanut_0375")


def open_field() -> list[LayerData]:
    """A procedural field with its exact labels as napari layers."""
    image, labels = synthetic_field(966, 1296)
    return [
        (image, {"name": "field"}, "image"),
        _labels_layer(labels, "field truth", FIELD_CLASSES),
    ]


def open_large_field() -> list[LayerData]:
    """A large procedural field, computed where it is shown, as a napari layer."""
    # From afar it is shown coarsely: computing all of it would keep napari busy for a minute.
    levels = [
        synthetic_field_dask(LARGE_SIDE, LARGE_SIDE, chunk=512, step=step)[0] for step in (1, 2, 4)
    ]
    overview = -(-LARGE_SIDE // 8)
    levels.append(synthetic_field(overview, overview, step=8)[0])
    levels.append(levels[-1][::2, ::2])
    options = {"name": "large field", "rgb": True, "multiscale": True, "contrast_limits": (0, 255)}
    return [(levels, options, "image")]
