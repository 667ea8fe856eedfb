"""Image layers as a project keeps them: where they came from, how they look, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image

from napari_gaussproto.io.reader import PHOTOGRAPH
from napari_gaussproto.jobs.session.reading import Reading
from napari_gaussproto.jobs.session.view import OpenImage
from napari_gaussproto.widgets.layers.placement import (
    CHANNEL_NAMES,
    channels_moved,
    train_image,
)
from napari_gaussproto.widgets.shared.tags import RESTORED, WINDOW

# Properties that are numbers, words or arrays of them, besides the affine, colormap and metadata.
_PLAIN = ("name", "visible", "opacity", "gamma", "blending", "contrast_limits", "rgb")
_PLACE = ("scale", "translate", "rotate", "shear")
_NAMES = ("units", "axis_labels")


def open_image(layer: Image) -> OpenImage:
    """What a project keeps of a layer."""
    kept, source = layer.metadata.get(RESTORED, {}), layer.source
    sample = source.sample or kept.get("sample")
    return OpenImage(
        train_image(layer),
        _look(layer),
        source.reader_plugin or kept.get("reader"),
        None if sample is None else (str(sample[0]), str(sample[1])),
    )


def _look(layer: Image) -> dict[str, Any]:
    look: dict[str, Any] = {name: getattr(layer, name) for name in _PLAIN}
    look["contrast_limits"] = [float(limit) for limit in layer.contrast_limits]
    look["blending"] = str(layer.blending)
    look |= {name: np.asarray(getattr(layer, name)).tolist() for name in _PLACE}
    look |= {name: [str(part) for part in getattr(layer, name)] for name in _NAMES}
    look["affine"] = np.asarray(layer.affine.affine_matrix).tolist()
    look["colormap"] = str(layer.colormap.name)
    if isinstance(layer.metadata.get(PHOTOGRAPH), dict):
        look[PHOTOGRAPH] = layer.metadata[PHOTOGRAPH]  # says which way up it is
    return look


def layer_of_reading(reading: Reading) -> Image:
    """A layer of an image that was read again, as it looked."""
    entry = reading.entry
    look = dict(entry.look)
    origin = {"file": entry.image.file, "reader": entry.reader, "sample": entry.sample}
    metadata: dict[str, Any] = {RESTORED: origin}
    if entry.image.window is not None:
        metadata[WINDOW] = list(entry.image.window)
    photograph = look.pop(PHOTOGRAPH, None)
    if isinstance(photograph, dict):
        metadata[PHOTOGRAPH] = photograph | {"file": entry.image.file}
    rgb = look.get("rgb") is True
    levels = reading.levels
    first = str((look.get("axis_labels") or [""])[0]).lower()
    if not rgb and len(levels[0].shape) == 3 and first in CHANNEL_NAMES:
        levels = [channels_moved(level, -1, 0) for level in levels]
    data = levels if len(levels) > 1 else levels[0]
    least = {"rgb": rgb, "metadata": metadata, "multiscale": len(levels) > 1}
    try:
        return Image(data, **{"name": entry.image.name} | look | least)
    except Exception:  # what a file says of a look may have no meaning for this napari
        return Image(data, name=entry.image.name, **least)
