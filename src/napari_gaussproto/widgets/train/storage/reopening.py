"""The viewer of a project: kept as it is, brought back with its images, moved ones asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog

from napari_gaussproto.core.project.session import Session, SessionImage
from napari_gaussproto.jobs.session.reading import Reading, find_moved, read_again
from napari_gaussproto.jobs.session.view import Opened, View
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.layers.restored import layer_of_reading, open_image
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import SharedState
from napari_gaussproto.widgets.train.storage.autosave import Autosave

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

# More labelled images than these are not opened without a question: they need memory.
_MOST = 20
# Closed images that a sentence names.
_MOST_NAMED = 3
# The setting that says whether closed images teach.
CLOSED = "closed"
DockValues = Mapping[str, dict[str, Any]]


class Reopening(QObject):
    """Keeps what a viewer shows in its project, and brings it back when that is opened."""

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        autosave: Autosave,
        images: ImageChooser,
        messages: Messages,
    ) -> None:
        super().__init__(autosave)
        self._viewer, self._state, self._autosave = viewer, state, autosave
        self._images, self._messages, self._ask = images, messages, autosave.bar.question
        self._queue = JobQueue(self)
        self._queue.failed.connect(messages.report)
        # Counts the projects that were opened: what was read for a former one is not shown.
        self._count = 0
        # Images that are being read.
        self._reading: list[SessionImage] = []
        # Images that are to come, that were not found, that are not looked for now, or were closed.
        self._waiting: list[SessionImage] = []
        self._lost: list[SessionImage] = []
        self._skipped: list[SessionImage] = []
        self._closed: list[SessionImage] = []
        # Closed ones of which the person was not told yet.
        self._untold: list[SessionImage] = []
        # Whether what comes now was asked for one by one, and not with the project.
        self._by_hand = False
        self._chosen: SessionImage | None = None
        self._back: list[tuple[SessionImage, Image]] = []
        autosave.saving.connect(self.keep)
        autosave.leaving.connect(self.keep)
        autosave.project_changed.connect(self._on_opened)
        autosave.begun.connect(self._forget)
        autosave.restored.connect(self._on_restored)
        connections = Connections(self)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            connections.add(event, self._on_layers)

    @property
    def busy(self) -> bool:
        """Whether images are being read."""
        return self._queue.busy

    # -- keeping -----------------------------------------------------------------------------

    def keep(self) -> None:
        """Let the project keep what the viewer shows now."""
        layers, chosen = self._images.images(), self._images.image()
        view = View(
            [open_image(layer) for layer in layers],
            layers.index(chosen) if chosen in layers else None,
            self._state.settings.values(),
            [*self._waiting, *self._lost, *self._skipped],
        )
        generation = self._autosave.state.generation
        self._autosave.put(lambda session: session.keep_view(view, generation))

    def _on_layers(self, event: object = None) -> None:
        if self._autosave.state.folder is not None:
            self._autosave.save_soon()

    # -- bringing back -----------------------------------------------------------------------

    def _on_opened(self, opened: Opened) -> None:
        """Another project: its images, and its settings once its version is in use."""
        self._forget()
        session = opened.session
        self._closed = [entry for entry in session.images if not entry.is_open]
        self._chosen = None if session.chosen is None else session.images[session.chosen]
        if opened.remark:
            self._messages.warn(opened.remark)
        # Behind the version that is put to use: settings are changed while no image is there.
        count = self._count
        self._autosave.put(lambda _: None, lambda _: self._look(count, opened))

    def _forget(self) -> None:
        """Ask and wait no more for images of the project that is left."""
        self._count += 1
        self._ask.drop()
        self._waiting, self._lost, self._skipped, self._back = [], [], [], []
        self._by_hand, self._untold, self._reading, self._closed = False, [], [], []

    def _look(self, count: int, opened: Opened) -> None:
        """Find out which images are not open."""
        session, settings = opened.session, self._state.settings
        settings.restore(
            _still_unticked(session.settings, settings.values())
            if self._autosave.offered
            else session.settings
        )
        identity_of = self._autosave.identities.of
        there = [train_image(layer) for layer in self._images.images()]

        def not_open() -> list[SessionImage]:
            known = [identity_of(image) for image in there]
            images = session.images
            return [e for e in images if not any(one.same_pixels(e.image) for one in known)]

        few = opened.is_kept or sum(entry.is_open for entry in session.images) <= _MOST
        self._queue.put(not_open, partial(self._on_wanted, count, not there and few))

    def _on_wanted(self, count: int, at_once: bool, missing: list[SessionImage]) -> None:
        if count != self._count:
            return
        wanted = self._waiting = [entry for entry in missing if entry.is_open]
        self._untold = [entry for entry in missing if not entry.is_open]
        if not wanted:
            self._ask_next()
            return
        if at_once:
            self._read(wanted)
            return
        number = "an image that is" if len(wanted) == 1 else f"{len(wanted)} images that are"
        self._ask.ask(
            f"“{self._autosave.state.name}” has {number} not open.",
            ("Open", "Read them from their files", partial(self._read, wanted)),
            ("Not now", "They stay in the project", self._ask_closed),
        )

    def _read(self, entries: Sequence[SessionImage]) -> None:
        self._ask.drop()
        self._reading = [*self._reading, *entries]
        for entry in entries:
            done = partial(self._on_read, self._count, entry)
            self._queue.put(partial(read_again, entry), done)

    def _on_read(self, count: int, entry: SessionImage, reading: Reading | None) -> None:
        if count != self._count:
            return
        self._waiting = [other for other in self._waiting if other is not entry]
        self._reading = [other for other in self._reading if other is not entry]
        if reading is None:
            self._lost.append(entry)
        else:
            self._show([(entry, reading)])
        if not self._reading:
            self._finish()

    def _show(self, readings: Sequence[tuple[SessionImage, Reading]]) -> None:
        for entry, reading in readings:
            layer = layer_of_reading(reading)
            self._viewer.add_layer(layer)
            self._back.append((entry, layer))
            self._autosave.look_for(layer)

    def _on_restored(self, image: Image) -> None:
        """Labels came back: they are at hand for the chosen image, and else come with theirs."""
        chosen = self._images.image()
        if image is chosen:
            self._autosave.activate(image)
        elif chosen is not None:
            follow_images(self._viewer).put_aside(image, chosen)

    def _finish(self) -> None:
        """All that was found is there: choose what was chosen, and ask for the rest."""
        count = self._count
        if not self._by_hand:
            self._viewer.reset_view()
        self._autosave.save_soon()
        self._ask_next()
        # After their labels came back.
        self._autosave.put(lambda _: None, lambda _: self._choose(count))

    def _choose(self, count: int) -> None:
        there = [layer for _, layer in self._back if layer in self._viewer.layers]
        if count != self._count or not there:
            return
        chosen = next((layer for entry, layer in self._back if entry is self._chosen), there[-1])
        if chosen in there:
            self._images.choose(chosen)
            self._autosave.activate(chosen)
            following = follow_images(self._viewer)
            if self._by_hand:
                following.bring_into_view(chosen, self._images.images())
            for other in there:
                if other is not chosen:
                    following.put_aside(other, chosen)
        number = "1 image" if len(there) == 1 else f"{len(there)} images"
        name = self._autosave.state.name
        told = (
            f"Opened {number} of “{name}”." if self._by_hand else f"Opened “{name}” with {number}."
        )
        self._messages.tell(told)

    # -- images that moved -------------------------------------------------------------------

    def _ask_next(self) -> None:
        """Ask for the first image that was not found, and last whether to open closed ones."""
        if not self._lost:
            self._ask_closed()
            return
        entry, others = self._lost[0], len(self._lost) - 1
        name, file = entry.image.name, entry.image.file
        where = "came from no file that is known" if file is None else f"is not at {file} any more"
        more = f", and neither {_counted(others)}" if others else ""
        skip = ("Skip", "Go on without it; its labels stay in the project", self._skip)
        skip_all = ("Skip all", "Their labels stay in the project", self._skip_all)
        answers = [("Find…", "Choose the file; others that moved are found with it", self._find)]
        answers += [skip, skip_all] if others else [skip]
        self._ask.ask(f"“{name}” {where}{more}: where is it?", *answers)

    def _ask_closed(self) -> None:
        """Tell once of labelled images that were closed when the project was left."""
        self._ask.drop()
        closed, self._untold = self._untold, []
        if closed:
            self._ask.ask(
                _closed_sentence(closed, self._autosave.state.name),
                (
                    "Open it" if len(closed) == 1 else "Open them",
                    "Read from where they were; their labels come with them",
                    partial(self.open_closed, closed),
                ),
                ("Not now", "Open ▾ under Labels offers them later, too", self._ask.drop),
            )

    def open_closed(self, entries: Sequence[SessionImage]) -> None:
        """Open labelled images of the project that are closed; their labels come with them."""
        self._by_hand, self._back, self._chosen = True, [], entries[-1]
        asked = [entry for entry in entries if entry not in self._reading]
        self._waiting = [*self._waiting, *asked]
        self._read(asked)

    def _skip(self) -> None:
        # Kept in the project, which asks again when it is opened the next time.
        self._skipped.append(self._lost.pop(0))
        self._ask_next()

    def _skip_all(self) -> None:
        self._skipped, self._lost = [*self._skipped, *self._lost], []
        self._ask_next()

    def _find(self) -> None:
        entry = self._lost[0]
        start = _first_folder(entry.image.file, self._autosave.state.folder)
        name, _ = QFileDialog.getOpenFileName(self._ask, f"Find {entry.image.name}", str(start))
        if name:
            self.find(Path(name))

    def find(self, path: Path) -> None:
        """Look whether the image that is asked for is at a path, and where others went with it."""
        first, *others = self._lost
        gone = [entry for entry in self._closed if not Path(str(entry.image.file)).is_file()]
        job = partial(find_moved, first, path, [*others, *gone])
        self._queue.put(job, partial(self._on_found, self._count, first, path))

    def _on_found(self, count: int, first: SessionImage, path: Path, found: list[Reading]) -> None:
        if count != self._count:
            return
        if not found:
            self._messages.warn(
                f"“{path.name}” does not hold the pixels of “{first.image.name}”: choose the "
                "photograph itself, or skip it."
            )
            return
        moved = Session(images=tuple(reading.entry for reading in found))
        self._autosave.put(lambda session: session.locate(moved))
        readings = {reading.entry.image.sample: reading for reading in found}
        here = [entry for entry in self._lost if entry.image.sample in readings]
        self._lost = [entry for entry in self._lost if entry not in here]
        self._show([(entry, readings[entry.image.sample]) for entry in here])
        self._finish()

    def abandon(self) -> None:
        """Read no more."""
        self._count += 1
        self._queue.abandon()


def _still_unticked(wanted: DockValues, now: DockValues) -> DockValues:
    """Settings of a project that is brought back: what was not to be learned from is not now.

    Labels are brought back into the work that is under way; a person who opens a project by
    themselves goes back to how they worked in it.
    """
    untick = {CLOSED: False}
    unticked = {dock for dock, values in now.items() if values.get(CLOSED) is False}
    return {dock: v | untick if dock in unticked else v for dock, v in wanted.items()}


def _counted(others: int) -> str:
    return "is another image" if others == 1 else f"are {others} other images"


def _closed_sentence(closed: Sequence[SessionImage], project: str) -> str:
    """Which labelled images of a project are closed."""
    names = [f"“{entry.image.name}”" for entry in closed[:_MOST_NAMED]]
    if (rest := len(closed) - len(names)) > 0:
        names.append(f"{rest} more")
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    if len(closed) == 1:
        return f"One labelled image of “{project}” is closed: {listed}."
    return f"{len(closed)} labelled images of “{project}” are closed: {listed}."


def _first_folder(file: str | None, project: Path | None) -> Path:
    """Where to begin to look: the nearest folder that is there still."""
    for folder in () if file is None else Path(file).parents:
        if folder.is_dir() and folder != folder.parent:
            return folder
    return Path.home() if project is None else project.parent
