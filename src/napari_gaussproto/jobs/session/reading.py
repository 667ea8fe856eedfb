"""Images that are read again from where they came from, and known by their pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.labels.annotations import ImageIdentity, identify
from napari_gaussproto.core.project.session import SessionImage
from napari_gaussproto.io.images import nodata_of, read_image

logger = logging.getLogger(__name__)

# The levels of an image, the full resolution first; most have one.
Levels = list[Any]


@dataclass(frozen=True)
class Reading:
    """An image of a session that was read again.

    Attributes
    ----------
    entry : SessionImage
        With the path that it was read from.
    levels : list of array-like
        The full resolution, (..., H, W) or (..., H, W, C), and smaller ones where there are any.
    """

    entry: SessionImage
    levels: Levels


def read_again(entry: SessionImage) -> Reading | None:
    """An image as it was; None when it is gone, or other pixels are in its place."""
    levels = None
    if entry.image.file is not None:
        levels = with_pixels(entry.image, readings(entry.image.file, entry.reader))
    elif entry.sample is not None:
        levels = with_pixels(entry.image, _tried(partial(_sample, *entry.sample)))
    return None if levels is None else Reading(entry, levels)


def find_moved(moved: SessionImage, path: Path, others: Sequence[SessionImage]) -> list[Reading]:
    """An image that a person found at a path, and those that went with it; empty if it is another.

    Others are looked for where they would be if all had moved together, and beside it.
    """
    found = [reading for reading in (_moved(moved, path),) if reading is not None]
    for other in others if found else ():
        for place in _places(moved, path, other):
            reading = _moved(other, place) if place.is_file() else None
            if reading is not None:
                found.append(reading)
                break
    return found


def _moved(entry: SessionImage, path: Path) -> Reading | None:
    image = entry.image.model_copy(update={"file": str(path.absolute())})
    return read_again(entry.model_copy(update={"image": image}))


def _places(known: SessionImage, path: Path, entry: SessionImage) -> Iterator[Path]:
    """Where an image may be now: where it would be if all had moved together, or beside."""
    before, other = Path(str(known.image.file)), Path(str(entry.image.file))
    above = [(before.parent, path.parent)]
    for old, new in zip(before.parents, path.absolute().parents, strict=False):
        if old.name != new.name:  # this folder was moved or has another name
            above.append((old, new))
            break
    for old, new in above:
        if other.is_relative_to(old):
            yield new / other.relative_to(old)
    yield path.parent / other.name


def with_pixels(identity: ImageIdentity, candidates: Iterable[Levels]) -> Levels | None:
    """The first candidate that holds the pixels of an image, channels where they were."""
    for levels in candidates:
        for turned in (levels, _channels_last(levels)):
            try:
                if identity.window is not None:
                    turned = [_window_of(turned[0], identity)]
                about = (identity.name, None, identity.window)
                if tuple(turned[0].shape) == identity.shape and identify(
                    turned[0], *about
                ).same_pixels(identity):
                    return turned
            except Exception:  # every format's library has errors of its own
                logger.debug("“%s” could not be compared", identity.file, exc_info=True)
    return None


def _window_of(array: Any, identity: ImageIdentity) -> npt.NDArray[Any]:
    """A window of a picture, in memory: (h, w) or (h, w, C) as its identity says."""
    from napari_gaussproto.core.imaging.source import ImageSource

    if identity.window is None or array.ndim != len(identity.shape):
        raise ValueError("the file holds another picture")
    axis = 2 if array.ndim == 3 else None
    nodata = nodata_of(identity.file) if identity.file else None
    source = ImageSource.from_array(array, channel_axis=axis, nodata=nodata)
    return np.ascontiguousarray(source.window(*identity.window)[0])


def _channels_last(levels: Levels) -> Levels:
    """What has channels in front, as napari shows many of them, as docks know it."""
    if len(levels[0].shape) != 3 or not isinstance(levels[0], np.ndarray):
        return levels
    return [np.moveaxis(level, 0, -1) for level in levels]


def readings(file: str, reader: str | None = None) -> Iterator[Levels]:
    """What a file may mean: to this plugin, and to whatever reader napari took."""
    own = partial(_by_napari, file, "napari")  # some readers turn photographs upright
    ways: list[Callable[[], list[Levels]]] = [lambda: [[read_image(file)]], own]
    ways += [partial(_by_napari, file, name) for name in dict.fromkeys((reader, None))]
    for way in ways:
        yield from _tried(way)


def _tried(way: Callable[[], list[Levels]]) -> Iterator[Levels]:
    try:
        yield from way()
    except Exception:  # readers of other plugins may raise anything
        logger.debug("an image could not be read", exc_info=True)


def _by_napari(file: str, reader: str | None = None) -> list[Levels]:
    from npe2.io_utils import read

    return _images(read([file], stack=False, plugin_name=reader))


def _sample(plugin: str, name: str) -> list[Levels]:
    from npe2 import PluginManager

    for owner, samples in PluginManager.instance().iter_sample_data():
        for sample in samples:
            if (owner, sample.key) == (plugin, name):
                return _images(sample.open())
    return []


def _images(layers: Sequence[Any]) -> list[Levels]:
    found = [layer[0] for layer in layers if len(layer) < 3 or layer[2] == "image"]
    return [list(data) if isinstance(data, list | tuple) else [data] for data in found]
