"""``napari-gaussproto predict``: segment folders, patterns and files."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from rich.markup import escape

from napari_gaussproto.commands.results import console, cover_table, images, progress_bar, say
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.encode import TileSize
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.manifest import rows_of
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.jobs.batch.here import work_here
from napari_gaussproto.jobs.batch.one_image import BatchStep
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, Doer, batch_steps

Result = TypeVar("Result")

# So many rows are printed; cover.csv and the report have all of them.
_MOST_ROWS = 40


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


def check_least_area(pixels: int) -> None:
    """Make sure that objects can be so small.

    Raises
    ------
    ConfigError
    """
    if pixels < 1:
        raise ConfigError(f"Objects of {pixels} pixels cannot be: give --least-area 1 or more.")


def run_predict(
    given: Sequence[str],
    model_name: str,
    out: Path,
    device: str,
    tile: str,
    labels: str,
    channels: str = "auto",
    *,
    maps: bool,
    overview: bool,
    again: bool,
    measure: bool = False,
    pixel_size: str | None = None,
    least_area: int = 16,
    corrections: Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> int:
    """Segment images, write everything into a folder, print the cover; how many failed.

    Each of these is named with the reason.

    Raises
    ------
    GaussProtoError
        When the model, the device, a setting or the folder cannot be used, or there is no image.
    """
    grey = channels == "none"
    side, axis = parse_tile(tile), parse_channels("auto" if grey else channels)
    check_least_area(least_area)
    outputs = replace(
        Outputs.checked(labels, maps=maps, overview=overview),
        tables=measure,
        least_area=least_area,
        pixel_size=None if pixel_size is None else PixelSize.parse(pixel_size),
    )
    found = find(given, out)
    do = _doer(scheduler, workers, device)
    far = scheduler is not None or workers is not None
    model = load_model(model_name, "cpu" if far else device)
    place = device if far else str(model.device)
    request = BatchRequest(
        model, found, out, outputs, side, again, axis, None, corrections, grey, place
    )
    result = driven(batch_steps(request, do), place)
    rows = rows_of(result.images)
    if rows and len(rows) <= _MOST_ROWS:
        console.print(cover_table(rows, model.classes))
    _tell(result, out)
    return len(result.left_out)


def _doer(scheduler: str | None, workers: int | None, device: str) -> Doer:
    """What does the images: this process, or a cluster."""
    if scheduler is None and workers is None:
        return work_here
    if scheduler is not None and workers is not None:
        raise ConfigError("A scheduler has workers of its own: give --scheduler or --workers.")
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} processes do nothing: give --workers from 1.")
    if find_spec("distributed") is None:
        raise ConfigError(
            "Work on several processes or machines needs the package distributed: install it by "
            "pip install napari-gaussproto[cluster]."
        )
    # It and its imports take a second, and may not be installed.
    from napari_gaussproto.jobs.batch.cluster import work_there

    return partial(work_there, scheduler, workers or 1, device)


def driven(steps: Generator[BatchStep, None, Result], device: str) -> Result:
    """Do work on many images under a bar of progress."""
    bar = progress_bar()
    task = bar.add_task(f"on {device}", total=None)
    try:
        for step in (work := WithValue(steps)):
            bar.start()  # and not before it is plain that there is anything to do
            name = f"{min(step.done + 1, step.total)}/{step.total} {escape(step.name)}"
            done = step.done + step.share
            bar.update(task, description=name, completed=done, total=step.total)
        return work.value
    finally:
        bar.stop()


def _tell(result: BatchResult, out: Path) -> None:
    count = len(result.images) + len(result.left_out)
    kept = f", {len(result.kept)} of them before" if result.kept else ""
    say(f"{len(result.images)} of {images(count)} segmented{kept}, into {out}/")
    for note in result.notes:
        say(note)
    for name, entry in rows_of(result.images).items():
        for remark in entry.remarks:
            say(f"{name}: {remark}")
    for name, reason in result.left_out.items():
        say(f"left out {name}: {reason}")
