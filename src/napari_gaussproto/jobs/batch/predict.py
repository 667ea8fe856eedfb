"""Segment many images into a folder: reading, network and writing at the same time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.model.encode import Tile, TileSize, as_source
from napari_gaussproto.core.model.predict import segment_steps, segment_to_zarr_steps
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.corrections import Corrections, array_digest
from napari_gaussproto.io.batch.cover import write_cover
from napari_gaussproto.io.batch.inputs import Found, Item
from napari_gaussproto.io.batch.manifest import (
    Entry,
    Source,
    locked,
    named,
    read_manifest,
    results_of,
    work_digest,
)
from napari_gaussproto.io.batch.outputs import (
    STREAMED,
    Outputs,
    make_folder,
    read_label_file,
    set_aside,
    write_results,
)
from napari_gaussproto.io.batch.report import write_report, write_thumbnail
from napari_gaussproto.io.geo import georeference_of
from napari_gaussproto.io.images import channel_axis_in, read_image
from napari_gaussproto.io.ome import write_labels

# Above this many pixels labels are streamed to disk and no maps are kept.
LARGE = 100_000_000
# So many images are read ahead, and so many wait to be written: more would only cost memory.
_AHEAD = 2
# Tables are written so often, in seconds: what was done since is done again after a kill.
_SAVE_EVERY = 10.0


@dataclass(frozen=True)
class BatchRequest:
    """What to segment, how, and where to.

    Attributes
    ----------
    images : Found or list of Item
        Files, or images that are in none.
    out : Path
        Folder for the results.
    again : bool
        Whether images whose results are up to date are segmented, too.
    channel_axis : int or None
        See `segment`; files that name their axes are believed.
    follow_edges : bool or None
        Whether borders of classes follow the photograph's edges; None as the model says.
    corrections : Path or None
        A project: what was drawn there on these images overrules the prediction.
    """

    model: PrototypeSegmenter
    images: Found | Sequence[Item]
    out: Path
    outputs: Outputs = field(default_factory=Outputs)
    tile: TileSize = "auto"
    again: bool = False
    channel_axis: int | None = None
    follow_edges: bool | None = None
    corrections: Path | None = None


@dataclass(frozen=True)
class BatchStep:
    """Where the work is: an image, how many are done of all, and its share that is done."""

    name: str
    done: int
    total: int
    share: float = 0.0


@dataclass
class BatchResult:
    """What came of it.

    Attributes
    ----------
    images : dict of str to Entry
        Those of this call, by name; results that were up to date among them.
    kept : list of str
        Names of these.
    left_out : dict of str to str
        Why an image could not be segmented.
    notes : list of str
        Sentences about what was kept under another name, or is labels only.
    """

    images: dict[str, Entry] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def segmented(self) -> int:
        """How many images were segmented by this call."""
        return len(self.images) - len(self.kept)


def batch_steps(request: BatchRequest) -> Generator[BatchStep, None, BatchResult]:
    """Segment images into a folder, one generator step a tile.

    What is there already, of the same image, model and settings, is kept. An image that cannot be
    read is left out. Closed early, or ended by an error, everything that is done stays.

    Raises
    ------
    ConfigError
        When the folder cannot be used, or another run writes into it.
    OSError
        When a result cannot be written.
    """
    make_folder(request.out)
    with locked(request.out):
        return (yield from _Run(request).steps())


class _Run:
    """A run that is under way."""

    def __init__(self, request: BatchRequest) -> None:
        self.request = request
        self.model, self.out = request.model, request.out
        self.result = BatchResult()
        self.manifest = manifest = read_manifest(self.out)
        manifest.images = {
            name: entry
            for name, entry in manifest.images.items()
            if (self.out / entry.labels).exists()
        }
        chosen = {"channel_axis": request.channel_axis, "edges": request.follow_edges}
        how = {name: value for name, value in chosen.items() if value is not None}
        self.work = work_digest(self.model, tile=request.tile, **how)
        self.corrections = None
        if request.corrections is not None:
            self.corrections = Corrections(request.corrections, self.model.classes)
        self.items = self._items(request.images)
        self.results = results_of([item.name for item in self.items], manifest)
        self.saved = time.monotonic()
        self.pending: deque[tuple[Item, Future[tuple[Entry, list[str]]]]] = deque()
        self._describe()

    def _items(self, images: Found | Sequence[Item]) -> list[Item]:
        if not isinstance(images, Found):
            return list(images)
        self.manifest.root = self.manifest.root or str(images.root)
        sentence = "There is no such file: check the name and the folder."
        self.result.left_out |= {str(path): sentence for path in images.missing}
        self.result.notes += images.notes
        return named(images.paths, images.root, self.manifest)

    def _describe(self) -> None:
        fresh = type(self.manifest)()
        manifest, card, outputs = self.manifest, self.model.card, self.request.outputs
        manifest.program, manifest.package_versions = fresh.program, fresh.package_versions
        manifest.classes = self.model.classes
        manifest.model = {"name": card.name, "created": card.created, "digest": self.work}
        manifest.settings = {
            "tile": self.request.tile,
            "labels": outputs.labels,
            "maps": outputs.maps,
            "overview": outputs.overview,
            "device": str(self.model.device),
        }

    def steps(self) -> Generator[BatchStep, None, BatchResult]:
        todo = []
        for item in self.items:
            yield BatchStep(item.name, 0, len(self.items))
            if self._is_done(item) and self._take_edited(self.manifest.images[item.name]):
                self.result.kept.append(item.name)
                self.result.images[item.name] = self.manifest.images[item.name]
            else:
                todo.append(item)
        reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        try:
            yield from self._segment_all(todo, reader, writer)
        finally:
            # What was segmented is written and told, also where the person has cancelled.
            reader.shutdown(cancel_futures=True)
            try:
                while self.pending:
                    self._take_written()
            finally:
                writer.shutdown()
                self._save()
                write_report(self.out, self.manifest)
        found = self.result.images
        self.result.images = {i.name: found[i.name] for i in self.items if i.name in found}
        return self.result

    def _is_done(self, item: Item) -> bool:
        entry = self.manifest.images.get(item.name)
        return (
            not self.request.again
            and entry is not None
            and item.path is not None
            and entry.source is not None
            and entry.work == self.work
            and entry.source.is_unchanged(item.path)
            and self.request.outputs.are_there(self.out, entry.results)
            and self._is_drawn(entry, item.path)
        )

    def _is_drawn(self, entry: Entry, path: Path) -> bool:
        """Whether results have what is drawn now, no less and no more."""
        if self.corrections is None:
            return not entry.drawn
        return self.corrections.is_current(path, entry.drawn)

    def _take_edited(self, entry: Entry) -> bool:
        """Let what a person saved in a label file count; no, when it is none for this model."""
        path = self.out / entry.labels
        modified = Source.of(path).modified
        if modified == entry.labels_modified or not entry.labels_digest:
            return True
        try:
            shape, count = (entry.height, entry.width), len(self.model.classes)
            labels = check_labels(read_label_file(path), shape, count)
        except GaussProtoError:
            return False
        entry.labels_modified = modified
        if array_digest(labels) != entry.labels_digest:
            counts = np.bincount(labels.ravel(), minlength=count + 1)
            _fill_cover(entry, counts, self.model)
            entry.labels_digest, entry.edited = array_digest(labels), True
        return True

    def _segment_all(
        self, todo: Sequence[Item], reader: ThreadPoolExecutor, writer: ThreadPoolExecutor
    ) -> Generator[BatchStep, None, None]:
        waiting = deque(todo)
        ahead: deque[tuple[Item, Future[tuple[Any, Source | None]]]] = deque()
        done = len(self.items) - len(todo)
        while waiting or ahead:
            while waiting and len(ahead) < _AHEAD:
                item = waiting.popleft()
                ahead.append((item, reader.submit(_read, item)))
            item, read = ahead.popleft()
            yield BatchStep(item.name, done, len(self.items))
            try:
                write = yield from self._segment(item, *read.result(), done)
                self.pending.append((item, writer.submit(write)))
            except GaussProtoError as error:
                self.result.left_out[item.name] = str(error)
                # What an earlier run said is of a file that is not there any more.
                self.manifest.images.pop(item.name, None)
            while len(self.pending) > _AHEAD or (self.pending and self.pending[0][1].done()):
                self._take_written()
            done += 1

    def _segment(
        self, item: Item, image: Any, source: Source | None, done: int
    ) -> Generator[BatchStep, None, Callable[[], tuple[Entry, list[str]]]]:
        """Segment an image, and give what writes its results."""
        axis = self.request.channel_axis
        axis = axis if item.path is None else channel_axis_in(item.path, axis)
        pixels = as_source(image, self.model, axis)
        entry = Entry(
            source=source,
            work=self.work,
            model=self.model.card.name,
            results=self.results[item.name],
            height=pixels.height,
            width=pixels.width,
        )
        work: WithValue[Tile, Any]
        if pixels.height * pixels.width > LARGE:
            store = self.out / f"{entry.results}{STREAMED}"
            if store.exists():
                self.result.notes.append(set_aside(store))
            store.parent.mkdir(parents=True, exist_ok=True)
            steps = segment_to_zarr_steps(pixels, self.model, store, tile=self.request.tile)
            for tile in (work := WithValue(steps)):
                yield BatchStep(item.name, done, len(self.items), tile.index / tile.total)
            self.result.notes.append(f"{item.name} is large: labels only, as zarr")
            return lambda: (self._streamed(entry, pixels), self._write_geotiff(item, entry))
        for tile in (work := WithValue(segment_steps(pixels, self.model, tile=self.request.tile))):
            yield BatchStep(item.name, done, len(self.items), tile.index / tile.total)
        segmentation = work.value
        if self.request.follow_edges is not None:
            segmentation = segmentation.with_outlines(self.request.follow_edges)
        if self.corrections is not None:
            drawn, entry.drawn = self.corrections.of(image, (pixels.height, pixels.width))
            if drawn is not None:
                segmentation = segmentation.with_labels(drawn)
        _ = segmentation.labels  # with all threads of the network, which rests meanwhile
        return lambda: self._written(item, image, segmentation, entry)

    def _written(
        self, item: Item, image: Any, segmentation: Segmentation, entry: Entry
    ) -> tuple[Entry, list[str]]:
        """Write an image's results; in the writing thread."""
        outputs, card = self.request.outputs, self.model.card
        title = f"{item.name} · {card.name}"
        place = None if item.path is None else georeference_of(item.path)
        about = (card.name, outputs, title, place, self._is_untouched(item))
        notes = write_results(self.out, entry.results, image, segmentation, *about)
        write_thumbnail(self.out, entry.results, image, segmentation)
        entry.labels = f"{entry.results}{outputs.label_suffix}"
        entry.labels_modified = Source.of(self.out / entry.labels).modified
        entry.labels_digest = array_digest(segmentation.labels)
        entry.cover, entry.data_share = segmentation.cover(), segmentation.data_share
        entry.novelty, entry.remarks = segmentation.photo_novelty(), segmentation.remarks()
        entry.uncertainty = segmentation.mean_uncertainty()
        return entry, notes

    def _is_untouched(self, item: Item) -> bool:
        """Whether the label file is as an earlier run wrote it."""
        former = self.manifest.images.get(item.name)
        if former is None or former.edited:
            return False
        path = self.out / former.labels
        return path.exists() and Source.of(path).modified == former.labels_modified

    def _streamed(self, entry: Entry, pixels: ImageSource) -> Entry:
        """Count what was streamed, some rows at a time; in the writing thread."""
        entry.labels = f"{entry.results}{STREAMED}"
        labels = read_image(self.out / entry.labels)
        counts = np.zeros(len(self.model.classes) + 1, np.int64)
        for top in range(0, pixels.height, labels.chunks[0]):
            rows = np.asarray(labels[top : top + labels.chunks[0]])
            counts += np.bincount(rows.ravel(), minlength=len(counts))
        _fill_cover(entry, counts, self.model)
        return entry

    def _write_geotiff(self, item: Item, entry: Entry) -> list[str]:
        """Streamed labels as a GeoTIFF, too, where the image was one: maps are made of these."""
        place = None if item.path is None else georeference_of(item.path)
        if place is None:
            return []
        path = self.out / f"{entry.results}{Outputs().label_suffix}"
        notes = [set_aside(path)] if path.exists() else []
        labels = np.asarray(read_image(self.out / entry.labels))
        write_labels(path, labels, self.model.classes, {"model": self.model.card.name}, place)
        return notes

    def _take_written(self) -> None:
        item, written = self.pending.popleft()
        entry, notes = written.result()
        self.manifest.images[item.name] = self.result.images[item.name] = entry
        self.result.notes += notes
        if time.monotonic() - self.saved > _SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        self.manifest.left_out = dict(self.result.left_out)
        self.manifest.write(self.out)
        self.result.notes += write_cover(self.out, self.manifest.images, self.manifest.classes)
        self.saved = time.monotonic()


def _fill_cover(entry: Entry, counts: npt.NDArray[np.int64], model: PrototypeSegmenter) -> None:
    """Cover from the numbers of pixels (C + 1,) of each label, the first without data."""
    known = int(counts[1:].sum())
    entry.data_share = known / int(counts.sum())
    shares = (counts[1:] / max(1, known)).tolist()
    entry.cover = {c.name: share for c, share in zip(model.classes, shares, strict=True)}


def _read(item: Item) -> tuple[Any, Source | None]:
    """An image and what its file is; in the reading thread.

    The file is looked at before it is read, so that one that changes meanwhile is found changed by
    the next call.
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
