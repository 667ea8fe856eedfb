"""``napari-gaussproto predict``: segment files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError
from napari_gaussproto.core.model.encode import Tile, TileSize, as_source
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment, segment_to_zarr
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.images import read_image

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


def run_predict(
    files: Sequence[Path],
    model_name: str,
    out: Path,
    device: str,
    tile: str,
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
    side = parse_tile(tile)
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
                row = _one(path, name, model, out, side, show, maps=maps, overview=overview)
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
    show: Any,
    *,
    maps: bool,
    overview: bool,
) -> Row | None:
    image = read_image(path)
    source = as_source(image, model)
    if source.height * source.width > LARGE:
        store = out / f"{name}.labels.zarr"
        if store.exists():
            set_aside(store)
        segment_to_zarr(source, model, store, tile=side, progress=show)
        say(f"{name} is large: labels only, as zarr")
        return None
    segmentation = segment(source, model, tile=side, progress=show)
    write_results(out, name, image, segmentation, model, maps=maps, overview=overview)
    return Row.of(name, segmentation)


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
