"""The table of cover of all images of a folder of results."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.labels.cover import cover_of
from napari_gaussproto.io.batch.manifest import Entry, LabelFile, PlaneEntry, rows_of
from napari_gaussproto.io.batch.outputs import open_any_labels, set_aside

COVER = "cover.csv"
# Rows of labels on disk that are read at once.
_ROWS = 1024


def of_classes(
    images: Mapping[str, Entry], classes: Sequence[SegmentationClass]
) -> dict[str, Entry]:
    """Images that were divided into these classes, in the order of their names.

    Those that the last run could do nothing with are none.
    """
    names = {entry.name for entry in classes}
    known = sorted(name for name, entry in images.items() if not entry.left_out)
    return {name: images[name] for name in known if set(images[name].cover) == names}


def cover_lines(
    images: Mapping[str, Entry], classes: Sequence[SegmentationClass]
) -> Iterable[list[str]]:
    """A header, and a row per image or plane: shares from 0 to 1.

    They are empty where a picture holds no data. The column "data" is the share of the pixels that
    the cover is over, "novelty" how unlike the training photographs the image is, where that is
    known, "corrected" says "yes" where a person's labels count.
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
    lines = list(cover_lines(rows_of(of_classes(images, classes)), classes))
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


def fill_cover(
    entry: Entry | PlaneEntry, counts: npt.NDArray[np.int64], classes: Sequence[SegmentationClass]
) -> None:
    """Cover from the numbers of pixels (C + 1,) of each label, the first without data."""
    entry.cover, entry.data_share = cover_of(counts, classes)


def count_again(
    entry: Entry, counts: npt.NDArray[np.int64], classes: Sequence[SegmentationClass]
) -> None:
    """Cover of an image or of the planes of a stack, from the counts (P, C + 1) of `tally`."""
    ones: list[Entry | PlaneEntry] = [*entry.planes] or [entry]
    for one, own in zip(ones, counts, strict=True):
        fill_cover(one, own, classes)
    if entry.planes:
        sum_up(entry, classes)


def changed(
    file: LabelFile, path: Path, labels: Callable[[], Any], n_classes: int
) -> tuple[str, npt.NDArray[np.int64]] | None:
    """What `tally` says of a label file that holds other labels than were written; else None.

    Where its time is another, as after a copy, the content decides: ``labels`` gives it,
    (..., H, W).

    Raises
    ------
    GaussProtoError
        When it cannot be read, or holds a number that is no class.
    """
    if not file.digest or file.has_its_time(path):
        return None
    found = tally(labels(), n_classes)
    return None if found[0] == file.digest else found


def is_untouched(file: LabelFile, path: Path, ndim: int) -> bool:
    """Whether a label file holds what this program wrote, so that nobody would miss it.

    ``ndim`` is the number of axes of its labels.
    """
    if file.edited or not path.exists():
        return False
    if not file.digest:
        return file.has_its_time(path)
    most = np.iinfo(np.uint8).max - 1  # more classes there cannot be
    try:
        return changed(file, path, partial(open_any_labels, path, ndim), most) is None
    except GaussProtoError:
        return False


def tally(labels: Any, n_classes: int) -> tuple[str, npt.NDArray[np.int64]]:
    """Digest of labels (..., H, W), as of `array_digest`, and pixels of each label (P, C + 1).

    Labels on disk are read some rows at a time.

    Raises
    ------
    LabelError
        When they hold a number that is no class.
    """
    *leading, height, _ = labels.shape
    digest = hashlib.blake2b(str(tuple(labels.shape)).encode(), digest_size=16)
    counts = np.zeros((int(np.prod(leading, dtype=int)), n_classes + 1), np.int64)
    for plane, at in zip(counts, np.ndindex(*leading), strict=True):
        for top in range(0, height, _ROWS):
            rows = check_labels(np.asarray(labels[(*at, slice(top, top + _ROWS))]), None, n_classes)
            digest.update(rows.tobytes())
            plane += np.bincount(rows.ravel(), minlength=n_classes + 1)
    return digest.hexdigest(), counts


def sum_up(entry: Entry, classes: Sequence[SegmentationClass]) -> None:
    """Let the cover of a stack be that of all its planes."""
    weight = np.array([plane.data_share for plane in entry.planes])
    entry.data_share = float(weight.mean())
    weight = weight / (weight.sum() or 1)
    entry.cover = {
        c.name: float(weight @ [plane.cover[c.name] for plane in entry.planes]) for c in classes
    }
