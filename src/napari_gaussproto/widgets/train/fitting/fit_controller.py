"""Fits models to what was drawn, one at a time, and shows what they make of the image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.summary import classes_of
from napari_gaussproto.jobs.caches import PyramidCache
from napari_gaussproto.jobs.closed_images import ClosedImages
from napari_gaussproto.jobs.requests import ClosedRequest, FitRequest, Start, TuneRequest
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.jobs.storage import Identities
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.layers.results import publish, succeed
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import FITTED, ImageResult, SharedState
from napari_gaussproto.widgets.shared.workers import Runner
from napari_gaussproto.widgets.train.annotation.annotation_layer import label_shape
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.beginning import Beginning
from napari_gaussproto.widgets.train.fitting.closed_pixels import ClosedPixels
from napari_gaussproto.widgets.train.fitting.sentences import Fitted, Kind, Phase, judged_sentence

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.labels.class_table import TableChange
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.jobs.fit import FitResult


@dataclass(frozen=True)
class _Work:
    """What is being computed, and what was true when it was launched."""

    kind: Kind
    image: Image
    shape: tuple[int, ...]
    live: bool
    beginning: Beginning
    table: tuple[SegmentationClass, ...]


class FitController(QObject):
    """Quick fits and fine-tunes of the current model, one at a time."""

    progressed = Signal(object)  # a `Stage` or a `TrainingStep`
    phase_changed = Signal(str)
    fitted = Signal(object)  # Fitted
    used = Signal()  # a version is in use now
    beginning_changed = Signal()  # where the next fit begins

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        annotations: AnnotationSet,
        identities: Identities,
        messages: Messages,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._reader = ClosedImages(identities)
        self._viewer, self._state, self._messages = viewer, state, messages
        self._annotations = annotations
        self.cache = PyramidCache()
        annotations.dropped.connect(self.cache.remove)
        self.closed_pixels = ClosedPixels(viewer, annotations, self.cache, self)
        # What the last quick fit was asked with.
        self.asked: FitRequest | None = None
        self.beginning = Beginning(Start(), table=annotations.classes)
        self._asked: Any = None
        self._count = 0
        annotations.table_changed.connect(self._on_table)
        self._work: _Work | None = None
        self._stop, self._given_up = threading.Event(), threading.Event()
        self.phase: Phase = "idle"
        self.runner = Runner(self)
        self.runner.progressed.connect(self.progressed)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(lambda: messages.tell("Cancelled; the model is as it was."))
        self.runner.finished.connect(lambda: self._enter("idle"))
        Connections(self).add(viewer.layers.events.removed, self._on_removed)

    # -- where to begin ----------------------------------------------------------------------

    @property
    def model(self) -> PrototypeSegmenter | None:
        """The model that was fitted last, with the edits made since; None before any."""
        return self.beginning.model(self._state.model)

    def begin_with(self, start: Start | None = None) -> None:
        """Choose where the next fit begins; a quick fit that runs is given up for it.

        By default that is what was chosen last: the model in use does not count any more.
        """
        if self.phase == "fitting":
            self.cancel()
        chosen = start or self.beginning.chosen
        self._begin_at(self.beginning.with_choice(chosen, self._annotations.classes))

    def go_on(self, beginning: Beginning) -> None:
        """Go on where a former dock was, on the device that is chosen in this one."""
        self._begin_at(beginning.on_device(self.beginning.chosen.device))

    def begin_again_with(self, start: Start) -> None:
        """Let quick fits begin where those of a project did; its version stays in use."""
        self._begin_at(self.beginning.as_chosen(start))

    def compute_on(self, device: str) -> None:
        """Choose where the next fit is computed; where it begins stays."""
        self.beginning = self.beginning.on_device(device)

    def go_on_from(self, model: PrototypeSegmenter) -> None:
        """Begin the next fit with a model that is in use already."""
        if self.phase == "fitting":
            self.cancel()
        self._begin_at(self.beginning.with_model(model, self._annotations.classes))

    @property
    def going_on(self) -> PrototypeSegmenter | None:
        """The model that the next fit goes on from; None where it begins as was chosen."""
        return self.beginning.going_on(self._state.model)

    def begins_so(self, start: Start, *, goes_on: bool) -> bool:
        """Whether the next fit begins so already: with this start, or going on from a model."""
        if goes_on or self.going_on is not None:
            return goes_on and self.going_on is not None
        return self.beginning.chosen == start

    @property
    def knows_a_class(self) -> bool:
        """Whether the next fit goes on from a model that knows one of the classes already.

        Then strokes of one class are enough to correct it.
        """
        start, names = self.beginning.start(self._state.model), set[str]()
        if start.model is not None and len(start.model.density_quantiles):
            names = {entry.name for entry in start.model.classes}
        elif start.file is not None:
            names = set(classes_of(start.file))
        moved, table = self.beginning.renamed(), {c.name for c in self._annotations.classes}
        return any(moved[name] is not None if name in moved else name in table for name in names)

    def _begin_at(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self.beginning_changed.emit()

    def _on_table(self, change: TableChange, done: bool) -> None:
        self.beginning = self.beginning.with_change(change, done)

    def use(self, model: PrototypeSegmenter) -> None:
        """Make a version the model in use, and begin the next fit with it."""
        self.go_on_from(model)
        self._publish_model(model)
        self.used.emit()

    def _publish_model(self, model: PrototypeSegmenter) -> None:
        self._count += 1
        key = (f"{FITTED}{self._count}", float(self._count), str(model.device))
        self._state.set_model(model, key)

    # -- what the dock asks for --------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is being computed that a person waits for."""
        return self.runner.running

    def quick_fit(
        self, image: Image, *, live: bool = False, closed: ClosedRequest | None = None
    ) -> None:
        """Fit prototypes to all strokes; a running quick fit is given up for it."""
        if self.phase not in ("idle", "fitting"):
            return
        self.asked = self._request(image)
        request = replace(self.asked, closed=closed)
        self._launch("quick fit", image, live, "quick_job", request)

    def fine_tune(
        self,
        image: Image,
        *,
        steps: int | None,
        minutes: float | None,
        semi: dict[str, float],
        unlabelled: Sequence[Image],
        checkpoint: Path | None,
        closed: ClosedRequest | None,
    ) -> None:
        """Train the whole model on all strokes and on what is not labelled; see `TuneRequest`."""
        if self.phase not in ("idle", "fitting"):
            return
        # New ones: the thread of a training that was cancelled may still read the former.
        self._stop, self._given_up = threading.Event(), threading.Event()
        tune = TuneRequest(
            steps=steps,
            minutes=minutes,
            semi=semi,
            unlabelled=[self._train_image(other) for other in unlabelled],
            checkpoint=checkpoint,
            in_use=self.model,
            stop=self._stop.is_set,
            given_up=self._given_up.is_set,
        )
        request = replace(self._request(image), closed=closed)
        self._launch("fine-tune", image, False, "tune_job", request, tune)

    def closed_images(
        self, stored: Callable[[], Annotations], opened: Sequence[Image]
    ) -> ClosedRequest:
        """What a fit needs to learn from labelled images that are not open.

        ``stored`` gives a thread all labels of the project; ``opened`` are images without
        annotations, of which there may be some in the project, as there are of those that were
        removed and saved.
        """
        present = self._annotations.open
        removed = [a for a in self._annotations.all if a not in present]
        return ClosedRequest(
            self._reader,
            stored,
            [self._train_image(a.image) for a in removed],
            [self._train_image(image) for image in (*opened, *self._annotations.closed)],
        )

    def predict(self, image: Image) -> None:
        """Segment an image by the model that was fitted last, unless that was asked for already.

        What comes back is not of the model itself where the class table or the device changed.
        """
        asked = (image, self.model, self._annotations.classes)
        if asked == self._asked:
            return
        self._asked = asked
        if self.phase == "idle" and self.model is not None:
            start = Start(model=self.model, device=self.beginning.chosen.device)
            self._launch("prediction", image, False, "predict_job", self._request(image, start))

    def stop(self) -> None:
        """End a fine-tune early and keep the best model so far."""
        if self.phase in ("running", "paused"):
            self._stop.set()
            self.runner.resume()
            self._enter("finishing")
            self._messages.tell("Stopping…")

    def pause(self) -> None:
        """Let a fine-tune rest."""
        if self.phase == "running":
            self.runner.pause()
            self._enter("paused")

    def resume(self) -> None:
        """Go on with a fine-tune that rests."""
        if self.phase == "paused":
            self.runner.resume()
            self._enter("running")

    def cancel(self) -> None:
        """Give up what is being computed; the model stays as it was."""
        self._given_up.set()
        self._asked = None  # what was given up can be asked for again
        self.runner.cancel()

    # -- the work ----------------------------------------------------------------------------

    def _launch(self, kind: Kind, image: Image, live: bool, job: str, *arguments: Any) -> None:
        self._work = _Work(
            kind,
            image,
            label_shape(image),
            live,
            self.beginning.launched(self._state.model),
            self._annotations.classes,
        )
        self.runner.start(partial(run_job, "fit", job, *arguments))
        self._enter("running" if kind == "fine-tune" else "fitting")

    def _enter(self, phase: Phase) -> None:
        if phase == "idle" and self.runner.running:
            return  # a fit was given up for another one
        if phase != self.phase:
            self.phase = phase
            self.phase_changed.emit(phase)

    def _request(self, image: Image, start: Start | None = None) -> FitRequest:
        for annotation in self._annotations.open:
            annotation.settle()
        result = self._state.results.get(image)
        return FitRequest(
            start=start or self.beginning.start(self._state.model),
            classes=self._annotations.classes,
            renamed=self.beginning.renamed(),
            images=[self._train_image(a.image) for a in self._annotations.open],
            shown=self._train_image(image),
            maps=[] if result is None else list(result.maps),
            prototype=self._state.prototype,
            quantity=self._state.quantity,
            follow_edges=self._state.follow_edges,
            cache=self.cache,
        )

    def _train_image(self, image: Image) -> TrainImage:
        annotation = self._annotations.find(image)
        return train_image(image, None if annotation is None else annotation.snapshot)

    # -- what comes back ---------------------------------------------------------------------

    def _on_result(self, result: FitResult) -> None:
        work = self._work
        if work is None:
            return
        if work.kind != "prediction" and not result.kept:
            fitted = self.beginning.with_fit(result.base, result.model, work.beginning, work.table)
            self._begin_at(fitted)
            self._publish_model(result.model)
        there = work.image in self._viewer.layers and label_shape(work.image) == work.shape
        done = Fitted(work.kind, result, work.live)
        if there and not self._show(done.made, work.image, result):
            done = replace(done, away=work.image.name)
        if result.judgement and not result.judgement.startswith("stopped"):
            self._messages.warn(judged_sentence(result))
        self.fitted.emit(done)
        if not there:
            self._messages.tell("The image was removed or changed meanwhile; the model is fitted.")

    def _show(self, kind: Kind, image: Image, fit: FitResult) -> bool:
        """Show what a fit makes of an image; False where that is out of view by now."""
        model, view = fit.model, fit.view
        provenance = Provenance.of(model.card, model.device, None, fit=kind)
        result = ImageResult(image, view.segmentation, provenance, model=model)
        publish(
            self._viewer,
            self._state,
            succeed(self._viewer, self._state, result, view.maps),
            view.maps,
            view.prototype,
            view.values,
        )
        if not follow_images(self._viewer).keep_out_of_view(image):
            return True
        # Another one was chosen meanwhile; docks go on with what that one gave.
        chosen = self._state.results.get(self._state.image)
        if chosen is not None and chosen is not result:
            self._state.set_result(chosen)
        return False

    def _on_failure(self, error: Exception) -> None:
        # Who pressed Quick fit looks at the sentence below it; a fine-tune takes minutes.
        waited = self._work is None or self._work.kind == "fine-tune"
        self._messages.report(error, quietly=not waited)

    def _on_removed(self, event: Any) -> None:
        # Features of a labelled image serve the next fit, which learns from it still.
        if self._annotations.find(event.value) is None:
            self.cache.remove(getattr(event.value, "unique_id", None))

    def abandon(self) -> None:
        """Give up what runs, without waiting for it."""
        self._stop.set()
        self.runner.resume()
        self.runner.cancel()
