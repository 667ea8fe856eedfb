"""``napari-gaussproto predict``: segment files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from napari_gaussproto.commands.results import (
    Row,
    console,
    cover_table,
    images,
    make_folder,
    progress_bar,
    say,
    set_aside,
    write_cover,
    write_results,
)
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError
from napari_gaussproto.core.model.encode import Tile, TileSize, as_source
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment, segment_to_zarr
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.images import axes_of, read_image
from napari_gaussproto.io.ome import write_labels

# Above this many pixels labels are streamed to disk and no maps are kept.
LARGE = 100_000_000


def parse_tile(text: str) -> TileSize:
    """Tile size from the command line.

    Raises
    ------
    ConfigError
        When it is none of ``auto``, ``none`` or a whole number from 1.
    """
    named: dict[str, TileSize] = {"auto": "auto", "none": None}
    if text in named:
        return named[text]
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"“{text}” is no tile size: give auto, none, or a side in pixels.")


def parse_channels(text: str) -> int | None:
    """Axis of the channels from the command line; None to tell it by the shape.

    Raises
    ------
    ConfigError
        When it is none of ``auto``, ``first`` or ``last``.
    """
    named = {"auto": None, "first": 0, "last": -1}
    if text not in named:
        raise ConfigError(f"“{text}” is no place of channels: give auto, first or last.")
    return named[text]


def run_predict(
    files: Sequence[Path],
    model_name: str,
    out: Path,
    device: str,
    tile: str,
    channels: str = "auto",
    *,
    maps: bool,
    overview: bool,
) -> int:
    """Segment files, write everything into a folder, print the cover; how many files failed.

    Each of these is named with the reason.

    Raises
    ------
    GaussProtoError
        When the model, the device, the tile size or the folder cannot be used, or none of the
        files is there.
    """
    side, axis = parse_tile(tile), parse_channels(channels)
    if not any(path.exists() for path in files):
        raise ConfigError(f"There is no file “{files[0]}”: check the name and the folder.")
    model = load_model(model_name, device)
    make_folder(out)
    rows: list[Row] = []
    failures: list[tuple[Path, str]] = []
    names = unique_names(files)
    with progress_bar() as bar:
        overall = bar.add_task(f"{images(len(files))} on {model.device}", total=len(files))
        for path, name in zip(files, names, strict=True):
            task = bar.add_task(escape(name), total=None)

            def show(done: Tile, task: Any = task) -> None:
                bar.update(task, completed=done.index, total=done.total)

            try:
                row = _one(path, name, model, out, side, axis, show, maps=maps, overview=overview)
                if row is not None:
                    rows.append(row)
            except GaussProtoError as error:
                failures.append((path, str(error)))
            bar.remove_task(task)
            bar.advance(overall)
    write_cover(out / "cover.csv", rows, model.classes)
    if rows:
        console.print(cover_table(rows, model.classes))
    say(f"{len(files) - len(failures)} of {images(len(files))} segmented, into {out}/")
    for row in rows:
        for remark in row.remarks:
            say(f"{row.image}: {remark}")
    for path, reason in failures:
        say(f"left out {path}: {reason}")
    return len(failures)


def _one(
    path: Path,
    name: str,
    model: PrototypeSegmenter,
    out: Path,
    side: TileSize,
    axis: int | None,
    show: Any,
    *,
    maps: bool,
    overview: bool,
) -> Row | None:
    image = read_image(path)
    source, georeference = as_source(image, model, _channel_axis(path, axis)), georeference_of(path)
    if source.height * source.width > LARGE:
        store = out / f"{name}.labels.zarr"
        if store.exists():
            set_aside(store)
        segment_to_zarr(source, model, store, tile=side, progress=show)
        say(f"{name} is large: labels only, as zarr")
        _write_geotiff(out / f"{name}.labels.ome.tif", store, model, georeference)
        return None
    segmentation = segment(source, model, tile=side, progress=show)
    wanted = {"maps": maps, "overview": overview, "georeference": georeference}
    write_results(out, name, image, segmentation, model, **wanted)
    return Row.of(name, segmentation)


def _write_geotiff(
    path: Path, store: Path, model: PrototypeSegmenter, georeference: Georeference | None
) -> None:
    """Write labels of a store as a GeoTIFF, too, where the image was one."""
    if georeference is None:
        return
    labels = np.asarray(read_image(store)[:])
    if path.exists():
        set_aside(path)
    write_labels(path, labels, model.classes, {"model": model.card.name}, georeference)


def _channel_axis(path: Path, wanted: int | None) -> int | None:
    """Axis of the channels of what was read from a file; what the file says counts.

    Raises
    ------
    ImageError
        When the file says that it is a stack.
    """
    axes = axes_of(path)
    if axes is None or "Q" in axes:
        return wanted
    if len(axes) == 3 and "C" not in axes:
        raise ImageError(
            f"“{path.name}” says that its first axis is {axes[0]}, planes of a stack: give the "
            "planes as files of their own, or segment the stack in napari."
        )
    return None


def unique_names(files: Sequence[Path]) -> list[str]:
    """Name of each file's results: its stem, numbered where two are alike."""
    names: list[str] = []
    taken: set[str] = set()  # regardless of case, as many file systems see it
    for path in files:
        stem = path.stem.removesuffix(".ome")
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
        taken.add(name.casefold())
    return names
