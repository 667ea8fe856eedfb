"""One image of a run over many: read it, segment it, write what was made of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.label_store import open_labels
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.model.encode import TileSize, as_source
from napari_gaussproto.core.model.predict import segment_steps, segment_to_zarr_steps
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.corrections import Corrections, array_digest
from napari_gaussproto.io.batch.cover import count_again, tally
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.batch.manifest import Entry, Source
from napari_gaussproto.io.batch.outputs import STREAMED, Outputs, set_aside, write_results
from napari_gaussproto.io.batch.report import write_thumbnail
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.images import channel_axis_in, nodata_of, read_image
from napari_gaussproto.io.ome import write_labels
from napari_gaussproto.io.pixel_size import pixel_size_of
from napari_gaussproto.io.stacks import Stack, stack_in
from napari_gaussproto.jobs.batch.plane_tables import write_tables_of
from napari_gaussproto.jobs.batch.stacks import StackWork

# Above this many pixels labels are streamed to disk and no maps are kept.
LARGE = 100_000_000

# What was made of an image, and sentences about it.
Finished = tuple[Entry, list[str]]


@dataclass(frozen=True)
class BatchStep:
    """Where the work is: an image, how many are done of all, and its share that is done."""

    name: str
    done: int
    total: int
    share: float = 0.0


@dataclass(frozen=True)
class Settings:
    """What is the same for all images of a run; the attributes of `BatchRequest`, and two more.

    Attributes
    ----------
    work : str
        Digest of all that labels depend on besides the image.
    began : int
        Time in nanoseconds, of the file system of the results, before which no result is this
        run's.
    """

    out: Path
    outputs: Outputs
    tile: TileSize
    channel_axis: int | None
    follow_edges: bool | None
    corrections: Path | None
    work: str
    began: int
    grey: bool = False


@dataclass(frozen=True)
class Task:
    """An image that is to be segmented.

    Attributes
    ----------
    results : str
        Path of its results below the folder, without what follows their names.
    untouched : bool
        Whether its label file is as an earlier run wrote it, so that nobody would miss it.
    """

    item: Item
    results: str
    untouched: bool


# Gets what was made of an image, or why nothing was.
Take = Callable[[Task, Finished | GaussProtoError], None]


class ImageWork:
    """A model with the settings of a run, for one image after the other.

    Parameters
    ----------
    corrections : Corrections, optional
        What is drawn; else it is read from the project that the settings name.

    Raises
    ------
    ConfigError, AnnotationError
        When the project with corrections cannot be used.
    """

    def __init__(
        self,
        model: PrototypeSegmenter,
        settings: Settings,
        corrections: Corrections | None = None,
    ) -> None:
        self.model, self.settings, self._out = model, settings, settings.out
        if corrections is None and settings.corrections is not None:
            corrections = Corrections(settings.corrections, model.classes)
        self._corrections = corrections

    def segment(
        self, task: Task, image: Any, source: Source | None
    ) -> Generator[float, None, Callable[[], Finished]]:
        """Segment what `read` gave, and give what writes the results; the share done after a tile.

        Raises
        ------
        GaussProtoError
            When the image does not suit the model, or does not fit into memory.
        """
        item, settings = task.item, self.settings
        axis, channels = settings.channel_axis, self.model.config.channels
        about = {"work": settings.work, "model": self.model.card.name, "results": task.results}
        entry = Entry(source=source, **about)
        if item.path is not None:
            place = georeference_of(item.path)
            entry.georeference = None if place is None else dict(place.tags)
            stack = stack_in(item.path, image, channels, axis, grey=settings.grey)
            if stack is not None:
                return (yield from self._segment_stack(task, stack, entry))
            axis = channel_axis_in(item.path, axis)
        pixels = as_source(image, self.model, axis)
        entry.height, entry.width = pixels.height, pixels.width
        drawn, notes = None, list[str]()
        if self._corrections is not None:
            size = (pixels.height, pixels.width)
            drawn, entry.drawn = self._corrections.of(image, size, item)
            entry.compared = self._corrections.compared
            if self._corrections.differs(item, entry):
                notes = [differs(item)]
        if pixels.height * pixels.width > LARGE:
            return (yield from self._stream(item, entry, pixels, drawn, notes))
        steps = segment_steps(pixels, self.model, tile=settings.tile)
        for tile in (work := WithValue(steps)):
            yield tile.index / tile.total
        segmentation = work.value
        if settings.follow_edges is not None:
            segmentation = segmentation.with_outlines(settings.follow_edges)
        if drawn is not None:
            segmentation = segmentation.with_labels(drawn)
        _ = segmentation.labels  # with all threads of the network, which rests meanwhile
        return lambda: self._written(task, image, segmentation, entry, notes)

    def _stream(
        self,
        item: Item,
        entry: Entry,
        pixels: ImageSource,
        drawn: Labels | None,
        notes: list[str],
    ) -> Generator[float, None, Callable[[], Finished]]:
        store = self._out / f"{entry.results}{STREAMED}"
        notes += self._set_former_aside(store)
        store.parent.mkdir(parents=True, exist_ok=True)
        tile_size, follow = self.settings.tile, self.settings.follow_edges
        about = (pixels, self.model, store)
        for tile in segment_to_zarr_steps(*about, tile=tile_size, follow_edges=follow):
            yield tile.index / tile.total
        notes.append(f"{item.name} is large: labels only, as zarr")
        return lambda: (
            self._streamed(entry, pixels, drawn),
            notes + self._write_geotiff(entry),
        )

    def _segment_stack(
        self, task: Task, stack: Stack, entry: Entry
    ) -> Generator[float, None, Callable[[], Finished]]:
        """Segment the planes of a stack, and give what writes its results."""
        path, settings = task.item.path, self.settings
        assert path is not None  # as only files hold stacks
        about = (settings.outputs, task.item.name, LARGE, settings.tile, settings.follow_edges)
        work = StackWork(self.model, stack, entry, self._out, *about, nodata_of(path))
        store, notes = self._out / f"{entry.results}{STREAMED}", list[str]()
        if work.is_streamed:
            notes = self._set_former_aside(store)
            store.parent.mkdir(parents=True, exist_ok=True)
        if self._corrections is not None:
            work.drawn, entry.drawn = self._corrections.of_stack(stack.array, stack.shape)
            entry.compared = self._corrections.compared
            if self._corrections.differs(task.item, entry):
                notes.append(differs(task.item))
        yield from work.steps(store)
        if work.is_streamed:
            notes.append(f"{task.item.name} is large: labels only, as zarr")
            self._tell_streamed(entry)
            return lambda: (entry, notes)
        place, size = Georeference.from_json(entry.georeference), pixel_size_of(path)

        def write() -> Finished:
            told = work.write(place, task.untouched, size)
            assert work.labels is not None  # as it was not streamed
            self._tell_labels(entry, work.labels)
            return entry, notes + told

        return write

    def _tell_labels(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> None:
        """Let an entry know its label file (..., H, W), which was just written."""
        entry.labels = f"{entry.results}{self.settings.outputs.label_suffix}"
        entry.labels_modified = Source.of(self._out / entry.labels).modified
        entry.labels_digest = array_digest(labels)

    def _written(
        self,
        task: Task,
        image: Any,
        segmentation: Segmentation,
        entry: Entry,
        notes: list[str],
    ) -> Finished:
        """Write an image's results; in the writing thread."""
        item, outputs, card = task.item, self.settings.outputs, self.model.card
        title = f"{item.name} · {card.name}"
        place = Georeference.from_json(entry.georeference)
        size = None if item.path is None else pixel_size_of(item.path)
        about = (card.name, outputs, title, place, task.untouched, size)
        notes += write_results(self._out, entry.results, image, segmentation, *about)
        write_thumbnail(self._out, entry.results, image, segmentation)
        self._tell_labels(entry, segmentation.labels)
        if outputs.tables:
            write_tables_of(self._out, outputs, item.name, entry, segmentation, size)
        entry.cover, entry.data_share = segmentation.cover(), segmentation.data_share
        entry.novelty, entry.remarks = segmentation.photo_novelty(), segmentation.remarks()
        entry.uncertainty = segmentation.mean_uncertainty()
        return entry, notes

    def _streamed(self, entry: Entry, pixels: ImageSource, drawn: Labels | None) -> Entry:
        """Correct and count what was streamed, some rows at a time; in the writing thread."""
        if drawn is not None:
            labels = open_labels(self._out / f"{entry.results}{STREAMED}")
            for top in range(0, pixels.height, labels.chunks[0]):
                own = drawn[top : top + labels.chunks[0]]
                rows = np.asarray(labels[top : top + len(own)])
                labels[top : top + len(own)] = np.where((own > 0) & (rows > 0), own, rows)
        count_again(entry, self._tell_streamed(entry), self.model.classes)
        return entry

    def _tell_streamed(self, entry: Entry) -> npt.NDArray[np.int64]:
        """Let an entry know its streamed labels; pixels of each label on each plane (P, C + 1)."""
        entry.labels = f"{entry.results}{STREAMED}"
        path = self._out / entry.labels
        entry.labels_modified = Source.of(path).modified
        entry.labels_digest, counts = tally(read_image(path), len(self.model.classes))
        return counts

    def _write_geotiff(self, entry: Entry) -> list[str]:
        """Streamed labels as a GeoTIFF, too, where the image was one: maps are made of these."""
        place = Georeference.from_json(entry.georeference)
        if place is None:
            return []
        path = self._out / f"{entry.results}{Outputs().label_suffix}"
        notes = self._set_former_aside(path)
        labels = np.asarray(read_image(self._out / entry.labels))
        write_labels(path, labels, self.model.classes, {"model": self.model.card.name}, place)
        return notes

    def _set_former_aside(self, path: Path) -> list[str]:
        """Keep what was there before the run; a worker that died may have written it just now."""
        if not path.exists() or Source.of(path).modified >= self.settings.began:
            return []
        return [set_aside(path)]


def differs(item: Item) -> str:
    """What to say of a file that holds other pixels than those that were drawn on."""
    return f"{item.name} holds other pixels than were drawn on: predicted alone"


def read(item: Item) -> tuple[Any, Source | None]:
    """An image and what its file is.

    The file is looked at before it is read, so that one that changes meanwhile is found changed by
    the next call.

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    if item.path is None:
        assert item.read is not None  # as `Item` says
        return item.read(), None
    try:
        source = Source.of(item.path).with_digest()
    except OSError as error:
        raise ImageError(
            f"“{item.path.name}” could not be read ({error.strerror}): check that it is there."
        ) from error
    return read_image(item.path), source
