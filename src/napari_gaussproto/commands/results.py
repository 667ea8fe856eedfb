"""Print the results of a segmentation; shared by the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from napari_gaussproto.core.base.config import SegmentationClass

if TYPE_CHECKING:
    from napari_gaussproto.io.batch.manifest import Entry

console = Console()


def progress_bar() -> Progress:
    """A progress bar with a description and the time that is left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
    )


def say(text: str) -> None:
    """Print one line as it is: neither wrapped nor read as markup."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def images(count: int) -> str:
    """A number of images: "1 image" or "3 images"."""
    return f"{count} image" if count == 1 else f"{count} images"


def cover_table(
    rows: Mapping[str, Entry],
    classes: Sequence[SegmentationClass],
    extra: dict[str, Sequence[str]] | None = None,
) -> Table:
    """A table for the terminal: cover per class in the class' colour, and more columns.

    Where an image has gaps, a column says over which share of the pixels its cover is.
    """
    entries = list(rows.values())
    if any(entry.novelty is not None for entry in entries):
        values = ["" if entry.novelty is None else f"{entry.novelty:.2f}" for entry in entries]
        extra = {"novelty": values, **(extra or {})}
    if any(entry.data_share < 1 for entry in entries):
        extra = {"data": [f"{entry.data_share:.1%}" for entry in entries], **(extra or {})}
    table = Table(title="Cover", title_justify="left")
    table.add_column("image")
    for known in classes:
        table.add_column(escape(known.name), justify="right", header_style=known.color)
    for header in extra or {}:
        table.add_column(header, justify="right")
    for index, (name, entry) in enumerate(rows.items()):
        further = [values[index] for values in (extra or {}).values()]
        cover = [entry.share_of(c.name) for c in classes]
        shares = ("–" if share is None else f"{share:.1%}" for share in cover)
        table.add_row(escape(name), *shares, *further)
    return table
