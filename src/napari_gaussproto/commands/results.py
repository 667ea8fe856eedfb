"""Write and print the results of a segmentation; shared by the commands."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.io.ome import read_labels, write_labels, write_maps

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Segmentation
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.io.geo import Georeference

console = Console()


def progress_bar() -> Progress:
    """A progress bar with a description and the time that is left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
    )


def say(text: str) -> None:
    """Print one line as it is: neither wrapped nor read as markup."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def make_folder(path: Path) -> None:
    """Create a folder for results.

    Raises
    ------
    ConfigError
        When it cannot be.
    """
    if path.is_file():
        raise ConfigError(f"“{path}” is a file: choose a folder with --out.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder “{path}” cannot be created ({error.strerror}): choose another with --out."
        ) from error


def images(count: int) -> str:
    """A number of images: "1 image" or "3 images"."""
    return f"{count} image" if count == 1 else f"{count} images"


def set_aside(path: Path) -> Path:
    """Rename a former result to the first free name, so that nothing done to it is lost."""
    stem, kind, suffixes = path.name.partition(".labels")
    if not kind:
        stem, suffixes = path.stem, path.suffix
    number = 1
    while (former := path.with_name(f"{stem}{kind}.former-{number}{suffixes}")).exists():
        number += 1
    path.rename(former)
    say(f"{path.name} was there and differs: kept as {former.name}")
    return former


def _holds(path: Path, labels: npt.NDArray[np.uint8]) -> bool:
    """Whether a label file holds just these labels; no, when it cannot be read."""
    try:
        return np.array_equal(read_labels(path)[0], labels)
    except ImageError:
        return False


def write_results(
    folder: Path,
    name: str,
    photo: Any,
    segmentation: Segmentation,
    model: PrototypeSegmenter,
    *,
    maps: bool = True,
    overview: bool = True,
    georeference: Georeference | None = None,
) -> None:
    """Write labels, likelihood maps and the overview picture of one image.

    With a georeference, labels and maps are GeoTIFFs.

    Labels of that name that differ, for example because a person corrected them, are kept
    under another name.
    """
    # Showing a model's card must not take the seconds that torch needs to load.
    from napari_gaussproto.io.overview import overview_figure

    title = model.card.name
    labels = folder / f"{name}.labels.ome.tif"
    if labels.exists() and not _holds(labels, segmentation.labels):
        set_aside(labels)
    write_labels(labels, segmentation.labels, model.classes, {"model": title}, georeference)
    if maps:
        stack = np.stack(
            [segmentation.likelihood(m, cells=True) for m in range(len(model.prototypes))]
        )
        path = folder / f"{name}.likelihood.ome.tif"
        names = [prototype.name for prototype in model.prototypes]
        write_maps(path, stack, names, segmentation.map_pixel_size, georeference)
    if overview:
        path = folder / f"{name}.overview.png"
        figure = overview_figure(np.asarray(photo), segmentation, title=f"{name} · {title}")
        with replacing(path) as partial:
            figure.savefig(partial, dpi=110, format="png")


@dataclass(frozen=True)
class Row:
    """What the table of cover says of an image.

    Attributes
    ----------
    image : str
        Name of its results.
    cover : dict of str to float
        See `Segmentation.cover`.
    data_share : float
        Share of the pixels that hold data; the cover is over these.
    novelty : float or None
        See `Segmentation.photo_novelty`.
    remarks : tuple of str
        See `Segmentation.remarks`.
    """

    image: str
    cover: dict[str, float]
    data_share: float
    novelty: float | None
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, image: str, segmentation: Segmentation) -> Row:
        """Of a segmentation."""
        novelty, remarks = segmentation.photo_novelty(), segmentation.remarks()
        return cls(image, segmentation.cover(), segmentation.data_share, novelty, tuple(remarks))


def write_cover(path: Path, rows: Sequence[Row], classes: Sequence[SegmentationClass]) -> None:
    """Write a table of cover per class, a row per image, shares from 0 to 1.

    The column "data" is the share of the pixels that the cover is over, "novelty" how unlike the
    training photographs the image is, where that is known. Rows of other images
    that an earlier run wrote there stay, as their labels do. A table of other columns is kept
    under another name.
    """
    header = ["image", *(c.name for c in classes), "data", "novelty", "remarks"]
    former = _table(path)
    if former and former[0] != header:
        if not rows:
            return
        former = []
        set_aside(path)
    lines = {line[0]: line for line in former[1:] if line}
    for row in rows:
        shares = [*(row.cover[c.name] for c in classes), row.data_share]
        novelty = "" if row.novelty is None else f"{row.novelty:.4f}"
        words = [novelty, " ".join(row.remarks)]
        lines[row.image] = [row.image, *(f"{share:.6f}" for share in shares), *words]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines.values()])


def _table(path: Path) -> list[list[str]]:
    """Lines of a CSV file; none when there is no such file, or none that can be read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error):
        return [["unreadable"]]


def cover_table(
    rows: Sequence[Row],
    classes: Sequence[SegmentationClass],
    extra: dict[str, Sequence[str]] | None = None,
) -> Table:
    """A table for the terminal: cover per class in the class' colour, and more columns.

    Where an image has gaps, a column says over which share of the pixels its cover is.
    """
    if any(row.novelty is not None for row in rows):
        values = ["" if row.novelty is None else f"{row.novelty:.2f}" for row in rows]
        extra = {"novelty": values, **(extra or {})}
    if any(row.data_share < 1 for row in rows):
        extra = {"over": [f"{row.data_share:.1%}" for row in rows], **(extra or {})}
    table = Table(title="Cover", title_justify="left")
    table.add_column("image")
    for entry in classes:
        table.add_column(escape(entry.name), justify="right", header_style=entry.color)
    for header in extra or {}:
        table.add_column(header, justify="right")
    for index, row in enumerate(rows):
        further = [values[index] for values in (extra or {}).values()]
        shares = (f"{row.cover[c.name]:.1%}" for c in classes)
        table.add_row(escape(row.image), *shares, *further)
    return table
