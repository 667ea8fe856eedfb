"""Segment many images into a folder, here or on the workers of a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.model.encode import TileSize
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.corrections import Corrections
from napari_gaussproto.io.batch.cover import changed, count_again, write_cover
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
    open_labels_of,
    outdated,
)
from napari_gaussproto.io.batch.report import write_report
from napari_gaussproto.jobs.batch.here import work_here
from napari_gaussproto.jobs.batch.measure import ImageMeasure, MeasureRequest
from napari_gaussproto.jobs.batch.one_image import (
    BatchStep,
    Finished,
    ImageWork,
    Settings,
    Take,
    Task,
    differs,
)
from napari_gaussproto.jobs.batch.tables import collect, missing_steps

# Does images somewhere: here, or on a cluster.
Doer = Callable[[ImageWork, Sequence[Task], Take], Generator[BatchStep, None, None]]

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
    corrections : Path, Annotations or None
        A project, or what is drawn in it: on these images it overrules the prediction.
    grey : bool
        Whether there are no channels: arrays of three axes that nobody named are stacks.
    device : str
        What the manifest says of where it was computed; "" for the model's own.
    """

    model: PrototypeSegmenter
    images: Found | Sequence[Item]
    out: Path
    outputs: Outputs = field(default_factory=Outputs)
    tile: TileSize = "auto"
    again: bool = False
    channel_axis: int | None = None
    follow_edges: bool | None = None
    corrections: Path | Annotations | None = None
    grey: bool = False
    device: str = ""


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


def batch_steps(
    request: BatchRequest, do: Doer = work_here
) -> Generator[BatchStep, None, BatchResult]:
    """Segment images into a folder, one generator step a tile, or an image on a cluster.

    What is there already, of the same image, model and settings, is kept. An image that cannot be
    read is left out. Closed early, or ended by an error, everything that is done stays.

    Parameters
    ----------
    request : BatchRequest
    do : callable
        `work_here`, in this process, or `cluster.work_on` of a cluster's client.

    Raises
    ------
    ConfigError
        When the folder cannot be used, or another run writes into it.
    OSError
        When a result cannot be written.
    """
    make_folder(request.out)
    with locked(request.out) as began:
        return (yield from _Run(request, began).steps(do))


class _Run:
    """A run that is under way."""

    def __init__(self, request: BatchRequest, began: int) -> None:
        self.request, self.began = request, began
        self.model, self.out = request.model, request.out
        self.result = BatchResult()
        self.manifest = manifest = read_manifest(self.out)
        manifest.images = {
            name: entry
            for name, entry in manifest.images.items()
            if (self.out / entry.labels).exists()
        }
        chosen = {"channel_axis": request.channel_axis, "edges": request.follow_edges}
        chosen["grey"] = request.grey or None
        how = {name: value for name, value in chosen.items() if value is not None}
        self.work = work_digest(self.model, tile=request.tile, **how)
        self.corrections = None
        if request.corrections is not None:
            self.corrections = Corrections(request.corrections, self.model.classes)
        self.items = self._items(request.images)
        self.results = results_of([item.name for item in self.items], manifest)
        self.outdated: list[str] = []
        self.saved = time.monotonic()
        self._describe()

    def _items(self, images: Found | Sequence[Item]) -> list[Item]:
        if not isinstance(images, Found):
            return list(images)
        self.manifest.root = self.manifest.root or str(images.root)
        self.result.left_out |= images.left_out
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
            "tables": outputs.tables,
            "device": self.request.device or str(self.model.device),
        }

    def steps(self, do: Doer) -> Generator[BatchStep, None, BatchResult]:
        todo, total = [], len(self.items)
        for item in self.items:
            yield BatchStep(item.name, 0, total)
            former, known = self.manifest.images.get(item.name), self._known(item)
            again = self.request.again
            if known and not again and self.request.outputs.are_there(self.out, known):
                known.left_out = known.begun = False
                self.result.kept.append(item.name)
                self.result.images[item.name] = known
                if self.corrections is not None and self.corrections.differs(item, known):
                    self.result.notes.append(differs(item))
            else:
                about = (former, known is not None, again)
                todo.append(Task(item, self.results[item.name], *about))
        try:
            for step in self._do(do, todo) if todo else ():
                yield BatchStep(step.name, total - len(todo) + step.done, total, step.share)
            yield from self._measure_rest()
            self.result.notes += _about_outdated(self.outdated)
        finally:
            self._save()
            write_report(self.out, self.manifest)
        found = self.result.images
        self.result.images = {i.name: found[i.name] for i in self.items if i.name in found}
        return self.result

    def _do(self, do: Doer, todo: Sequence[Task]) -> Generator[BatchStep, None, None]:
        """Do images; the manifest says whose labels a kill may leave unlike what it knows."""
        formers = (task.former for task in todo if task.former is not None and not task.known)
        begun = [entry for entry in formers if not entry.begun]
        for entry in begun:
            entry.begun = True
        if begun:
            self.manifest.write(self.out)
        try:
            yield from do(self._work(), todo, self._take)
        except GeneratorExit:  # what was written was told, as at the end
            _forget(begun)
            raise
        _forget(begun)

    def _measure_rest(self) -> Generator[BatchStep, None, None]:
        """Tables of what has none yet, and those of all images in one file."""
        request, outputs = self.request, self.request.outputs
        if not outputs.tables:
            return
        measure = MeasureRequest(
            self.model,
            Found(self.out, [], []),
            request.tile,
            outputs.pixel_size,
            outputs.least_area,
            labels=self.out,
            channel_axis=request.channel_axis,
            grey=request.grey,
            scratch=self.out,
        )
        items = [item for item in self.items if item.name in self.result.images]
        about = (self.out, outputs, ImageMeasure(measure, self.manifest), items, self.manifest)
        try:
            self.result.notes += yield from missing_steps(*about)
        finally:
            collect(self.out, outputs, self.manifest)

    def _work(self) -> ImageWork:
        request = self.request
        given = request.corrections
        # Workers on other machines begin elsewhere.
        settings = Settings(
            self.out.absolute(),
            request.outputs,
            request.tile,
            request.channel_axis,
            request.follow_edges,
            given.absolute() if isinstance(given, Path) else None,
            self.work,
            self.began,
            request.grey,
        )
        return ImageWork(self.model, settings, self.corrections)

    def _known(self, item: Item) -> Entry | None:
        """What an earlier run made of an image as it is now, by this model and these settings.

        Its label file is the one in the format that is wanted, where there is one.
        """
        entry = self.manifest.images.get(item.name)
        is_known = (
            entry is not None
            and item.path is not None
            and entry.source is not None
            and entry.work == self.work
            and entry.source.is_unchanged(item.path)
            and self._is_drawn(entry, item.path)
            and self._take_edited(entry)
            and self._turn_to_format(entry)
        )
        return entry if is_known else None

    def _turn_to_format(self, entry: Entry) -> bool:
        """Let the label file in the wanted format count; no, when it is none for this model."""
        wanted = f"{entry.results}{self.request.outputs.label_suffix}"
        if entry.labels.endswith(STREAMED):  # of which a GeoTIFF is a copy
            return True
        if wanted not in entry.others or not (self.out / wanted).exists():
            return True
        if not entry.turn_to(wanted):
            return True
        return self._take_edited(entry)

    def _is_drawn(self, entry: Entry, path: Path) -> bool:
        """Whether results have what is drawn now, no less and no more."""
        if self.corrections is None:
            return not entry.drawn
        return self.corrections.is_current(path, entry, self.request.channel_axis)

    def _take_edited(self, entry: Entry) -> bool:
        """Let what a person saved in a label file count; no, when it is none for this model."""
        path, count = self.out / entry.labels, len(self.model.classes)
        modified, shape = Source.of(path).modified, (*entry.leading, entry.height, entry.width)
        try:
            labels = partial(open_labels_of, path, shape, count)
            found = changed(entry.label_file, path, labels, count)
        except GaussProtoError:
            return False
        if found is not None and entry.begun:  # by a run that was killed, as it seems
            return False
        entry.labels_modified = modified
        if found is not None:
            entry.labels_digest, counts = found
            count_again(entry, counts, self.model.classes)
            entry.edited = True
        return True

    def _take(self, task: Task, came: Finished | GaussProtoError) -> None:
        """Note what was made of an image, or why nothing was."""
        name = task.item.name
        if isinstance(came, GaussProtoError):
            self.result.left_out[name] = str(came)
            # It may be back the next time, and a person may have corrected its labels.
            if name in self.manifest.images:
                self.manifest.images[name].left_out = True
            return
        entry, notes = came
        if task.former is not None:
            self.outdated += outdated(self.out, task.former, entry)
        self.manifest.images[name] = self.result.images[name] = entry
        self.result.notes += notes
        if time.monotonic() - self.saved > _SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        self.manifest.left_out = dict(self.result.left_out)
        self.manifest.write(self.out)
        self.result.notes += write_cover(self.out, self.manifest.images, self.manifest.classes)
        self.saved = time.monotonic()


def _forget(begun: Sequence[Entry]) -> None:
    for entry in begun:
        entry.begun = False


def _about_outdated(names: Sequence[str]) -> list[str]:
    """A sentence about files beside the results that are not of this model any more."""
    if not names:
        return []
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    return [
        f"{files} of an earlier model, photograph or setting left in the folder, as {names[0]}: "
        "call for the same again, or remove what you do not need"
    ]
