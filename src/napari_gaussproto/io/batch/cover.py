"""The table of cover of all images of a folder of results."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.io.batch.manifest import Entry
from napari_gaussproto.io.batch.outputs import set_aside

COVER = "cover.csv"


def of_classes(
    images: Mapping[str, Entry], classes: Sequence[SegmentationClass]
) -> dict[str, Entry]:
    """The images that were divided into these classes, in the order of their names."""
    names = {entry.name for entry in classes}
    return {name: images[name] for name in sorted(images) if set(images[name].cover) == names}


def cover_lines(
    images: Mapping[str, Entry], classes: Sequence[SegmentationClass]
) -> Iterable[list[str]]:
    """A header, and a row per image: shares from 0 to 1, empty where a picture holds no data.

    The column "data" is the share of the pixels that the cover is over, "novelty" how unlike the
    training photographs the image is, where that is known, "corrected" says "yes" where a person's
    labels count.
    """
    names = [entry.name for entry in classes]
    header = ["image", *names, "data", "novelty", "uncertainty", "corrected"]
    header += ["remarks", "labels", "model"]
    yield header
    for image, entry in images.items():
        shares = [*(entry.share_of(name) for name in names), entry.data_share]
        judged = [entry.novelty, entry.uncertainty]
        words = [
            "yes" if entry.corrected else "",
            " ".join(entry.remarks),
            entry.labels,
            entry.model,
        ]
        yield [image, *_numbers(shares, ".6f"), *_numbers(judged, ".4f"), *words]


def _numbers(values: Iterable[float | None], form: str) -> Iterator[str]:
    """Words for a table; nothing for what is not known."""
    return ("" if value is None else format(value, form) for value in values)


def write_cover(
    folder: Path, images: Mapping[str, Entry], classes: Sequence[SegmentationClass]
) -> list[str]:
    """Write the table; sentences about a table of other columns, which is kept beside it."""
    path = folder / COVER
    lines = list(cover_lines(of_classes(images, classes), classes))
    former = _header(path)
    notes = [set_aside(path)] if former is not None and former != lines[0] else []
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return notes


def _header(path: Path) -> list[str] | None:
    """First line of a CSV file; None where there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
