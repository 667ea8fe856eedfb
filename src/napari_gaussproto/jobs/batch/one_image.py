"""One image of a run over many: read it, segment it, write what was made of it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.atomic import move_files, new_beside, replacing
from napari_gaussproto.core.base.errors import GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.label_store import LARGE, check_apart, open_labels
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import overruled
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.encode import TileSize, as_source
from napari_gaussproto.core.model.predict import segment_steps, segment_to_zarr_steps
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.corrections import Corrections, Painted, array_digest
from napari_gaussproto.io.batch.cover import count_again, is_untouched, tally
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.batch.manifest import Entry, LabelFile, Source
from napari_gaussproto.io.batch.outputs import (
    STREAMED,
    Outputs,
    open_labels_of,
    set_aside,
    write_label_file,
    write_pictures,
)
from napari_gaussproto.io.batch.report import write_thumbnail
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.images import channel_axis_in, nodata_of, read_image
from napari_gaussproto.io.ome import write_labels
from napari_gaussproto.io.pixel_size import pixel_size_of
from napari_gaussproto.io.stacks import Stack, stack_in
from napari_gaussproto.jobs.batch.plane_tables import write_tables_of
from napari_gaussproto.jobs.batch.stacks import StackWork

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
    former : Entry or None
        What an earlier run made of it.
    known : bool
        Whether that is of the same model, photograph and settings.
    again : bool
        Whether it is done anew nevertheless; else it only lacks some files.
    """

    item: Item
    results: str
    former: Entry | None = None
    known: bool = False
    again: bool = False

    @property
    def kept(self) -> Entry | None:
        """What an earlier run made of it, where its labels are a person's, which stay."""
        stays = self.known and not self.again
        return self.former if stays and self.former is not None and self.former.edited else None


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
        entry = self._new_entry(task, source)
        if item.path is not None:
            place = georeference_of(item.path)
            entry.georeference = None if place is None else dict(place.tags)
            stack = stack_in(item.path, image, channels, axis, grey=settings.grey)
            if stack is not None:
                return (yield from self._segment_stack(task, stack, entry))
            axis = channel_axis_in(item.path, axis)
        pixels = as_source(image, self.model, axis)
        entry.height, entry.width = pixels.height, pixels.width
        drawn, notes = self._drawn_on(pixels, task, entry)
        if pixels.height * pixels.width > LARGE:
            return (yield from self._stream(task, entry, pixels, drawn, notes))
        steps = segment_steps(pixels, self.model, tile=settings.tile)
        for tile in (work := WithValue(steps)):
            yield tile.index / tile.total
        segmentation = work.value
        if settings.follow_edges is not None:
            segmentation = segmentation.with_outlines(settings.follow_edges)
        if drawn is not None:
            segmentation = segmentation.with_labels(drawn[:, :])
        if (kept := self._kept(task, (pixels.height, pixels.width))) is not None:
            segmentation = segmentation.relabelled(np.asarray(kept))
        _ = segmentation.labels  # with all threads of the network, which rests meanwhile
        return lambda: self._written(task, pixels, segmentation, entry, notes)

    def _drawn_on(
        self, image: ImageSource | Stack, task: Task, entry: Entry
    ) -> tuple[Any, list[str]]:
        """What a person drew on an image, and what to say of it; its entry knows it then."""
        if self._corrections is None:
            return None, []
        drawn, entry.drawn = self._corrections.of(image, task.item)
        entry.compared = self._corrections.compared
        is_other = self._corrections.differs(task.item, entry)
        return drawn, [differs(task.item)] if is_other else []

    def _new_entry(self, task: Task, source: Source | None) -> Entry:
        """What is known of an image before it is segmented."""
        about = {"work": self.settings.work, "model": self.model.card.name}
        entry = Entry(source=source, results=task.results, **about)
        if task.former is not None:
            drops = task.former.edited and task.kept is None
            entry.follow(task.former, known=task.known, pictures=task.known and not drops)
        return entry

    def _stream(
        self,
        task: Task,
        entry: Entry,
        pixels: ImageSource,
        drawn: Painted | None,
        notes: list[str],
    ) -> Generator[float, None, Callable[[], Finished]]:
        """Segment a large image, and give what lets its labels take the place of former ones."""
        new = new_beside(self._store_of(entry, pixels.array))
        tile_size, follow = self.settings.tile, self.settings.follow_edges
        about = (pixels, self.model, new)
        for tile in segment_to_zarr_steps(*about, tile=tile_size, follow_edges=follow):
            yield tile.index / tile.total
        notes.append(f"{task.item.name} is large: labels only, as zarr")

        def write() -> Finished:
            if drawn is not None:
                _draw_over(open_labels(new), drawn)
            told = self._put_streamed(task, entry, new)
            count_again(entry, self._tell_streamed(entry), self.model.classes)
            return entry, notes + told + self._write_geotiff(task, entry)

        return write

    def _store_of(self, entry: Entry, array: Any) -> Path:
        """Where labels of a large image go in the end."""
        store = self._out / f"{entry.results}{STREAMED}"
        check_apart(store, array)
        with _names_fit(), suppress(FileNotFoundError):
            store.stat()
        store.parent.mkdir(parents=True, exist_ok=True)
        return store

    def _put_streamed(self, task: Task, entry: Entry, new: Path) -> list[str]:
        """Let streamed labels, which are complete, take their name."""
        name = f"{entry.results}{STREAMED}"
        # Labels of a person that stay are in the new ones.
        stays = task.kept is not None and task.kept.labels == name
        notes = [] if stays else self._set_former_aside(task, name)
        with replacing(self._out / name) as partial:
            new.rename(partial)
        return notes

    def _segment_stack(
        self, task: Task, stack: Stack, entry: Entry
    ) -> Generator[float, None, Callable[[], Finished]]:
        """Segment the planes of a stack, and give what writes its results."""
        path, settings = task.item.path, self.settings
        assert path is not None  # as only files hold stacks
        about = (settings.outputs, task.item.name, LARGE, settings.tile, settings.follow_edges)
        # Pictures of the planes that are done stay beside former labels for no moment.
        aside = new_beside(self._store_of(entry, stack.array))
        work = StackWork(self.model, stack, entry, aside, *about, nodata_of(path))
        work.kept = self._kept(task, stack.shape)
        work.drawn, notes = self._drawn_on(stack, task, entry)
        try:
            yield from work.steps(aside / "labels")
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        if work.is_streamed:
            notes.append(f"{task.item.name} is large: labels only, as zarr")

            def put() -> Finished:
                told = self._put_streamed(task, entry, aside / "labels")
                move_files(aside, self._out)
                self._tell_streamed(entry)
                self._note_pictures(task, entry, read_image(self._out / entry.labels))
                return entry, notes + told

            return put
        place, size = Georeference.from_json(entry.georeference), pixel_size_of(path)

        def write() -> Finished:
            assert work.labels is not None  # as it was not streamed
            told = self._write_labels(task, entry, work.labels, place, size, f"{stack.axes}YX")
            work.write_maps()
            move_files(aside, self._out)
            self._note_pictures(task, entry, work.labels)
            return entry, notes + told

        return write

    def _kept(self, task: Task, shape: tuple[int, ...]) -> Any:
        """Labels (..., H, W) of a person that stay; streamed ones are on disk."""
        if task.kept is None:
            return None
        return open_labels_of(self._out / task.kept.labels, shape, len(self.model.classes))

    def _write_labels(
        self,
        task: Task,
        entry: Entry,
        labels: Labels,
        place: Georeference | None,
        size: PixelSize | None,
        axes: str | None = None,
    ) -> list[str]:
        """Write a label file (..., H, W), unless a person's stays, and let the entry know it."""
        outputs, digest = self.settings.outputs, array_digest(labels)
        name = f"{entry.results}{outputs.label_suffix}"
        if task.kept is not None and task.kept.labels == name:
            entry.know(name, task.kept.labels_modified, digest)
            return []
        about = (outputs, self.model.card.name, place, self._is_ours(task, name, labels.ndim))
        classes = self.model.classes
        notes = write_label_file(self._out, entry.results, labels, classes, *about, size, axes)
        entry.know(name, Source.of(self._out / name).modified, digest)
        return notes

    def _is_ours(self, task: Task, name: str, ndim: int = 2) -> bool:
        """Whether a label file is as an earlier run wrote it."""
        file = None if task.former is None else task.former.label_files.get(name)
        return file is not None and is_untouched(file, self._out / name, ndim)

    def _note_pictures(self, task: Task, entry: Entry, labels: Any) -> None:
        """Let an entry know what else was written, and whose labels (..., H, W) count."""
        entry.also = sorted({*entry.also, *self.settings.outputs.also_of(entry)})
        if task.kept is not None:
            entry.edited = True
            count_again(entry, tally(labels, len(self.model.classes))[1], self.model.classes)

    def _written(
        self,
        task: Task,
        pixels: ImageSource,
        segmentation: Segmentation,
        entry: Entry,
        notes: list[str],
    ) -> Finished:
        """Write an image's results; in the writing thread."""
        item, outputs, card = task.item, self.settings.outputs, self.model.card
        title = f"{item.name} · {card.name}"
        place = Georeference.from_json(entry.georeference)
        size = None if item.path is None else pixel_size_of(item.path)
        notes += self._write_labels(task, entry, segmentation.labels, place, size)
        about = (segmentation, outputs, title, place)
        write_pictures(self._out, entry.results, pixels, *about)
        write_thumbnail(self._out, entry.results, pixels, segmentation)
        entry.cover, entry.data_share = segmentation.cover(), segmentation.data_share
        entry.novelty, entry.remarks = segmentation.photo_novelty(), segmentation.remarks()
        entry.uncertainty = segmentation.mean_uncertainty()
        self._note_pictures(task, entry, segmentation.labels)
        if outputs.tables:
            write_tables_of(self._out, outputs, item.name, entry, segmentation, size)
        return entry, notes

    def _tell_streamed(self, entry: Entry) -> npt.NDArray[np.int64]:
        """Let an entry know its streamed labels; pixels of each label on each plane (P, C + 1)."""
        name = f"{entry.results}{STREAMED}"
        path = self._out / name
        modified = Source.of(path).modified
        digest, counts = tally(read_image(path), len(self.model.classes))
        entry.know(name, modified, digest)
        return counts

    def _write_geotiff(self, task: Task, entry: Entry) -> list[str]:
        """Streamed labels as a GeoTIFF, too, where the image was one: maps are made of these."""
        place = Georeference.from_json(entry.georeference)
        if place is None:
            return []
        name = f"{entry.results}{Outputs().label_suffix}"
        path, notes = self._out / name, self._set_former_aside(task, name)
        labels = read_image(self._out / entry.labels)  # which stay on disk
        write_labels(path, labels, self.model.classes, {"model": self.model.card.name}, place)
        modified = Source.of(path).modified
        entry.others[name] = LabelFile(modified=modified, digest=entry.labels_digest)
        return notes

    def _set_former_aside(self, task: Task, name: str) -> list[str]:
        """Keep what a person made before the run; a worker that died may have written it now."""
        path = self._out / name
        if not path.exists() or Source.of(path).modified >= self.settings.began:
            return []
        return [] if self._is_ours(task, name) else [set_aside(path)]


def _draw_over(labels: Any, drawn: Painted) -> None:
    """Correct labels on disk by what was drawn (H, W), some rows at a time."""
    for top in range(0, labels.shape[0], labels.chunks[0]):
        own = drawn[top : top + labels.chunks[0], :]
        if own.any():
            rows = slice(top, top + len(own))
            labels[rows] = overruled(np.asarray(labels[rows]), own)


def finished(write: Callable[[], Finished]) -> Finished | GaussProtoError:
    """Write the results of an image; what is known of it then, or why they cannot be.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    try:
        with _names_fit():
            return write()
    except GaussProtoError as error:
        return error


@contextmanager
def _names_fit() -> Iterator[None]:
    """Let an image be left out whose results cannot be called as they should be."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ImageError(
            "The names of its results would be too long for this disk: give the file a shorter one."
        ) from error


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
