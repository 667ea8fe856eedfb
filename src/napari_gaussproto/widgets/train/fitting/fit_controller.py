"""Fits models to what was drawn, one at a time, and shows what they make of the image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, Signal

from napari_gaussproto import __version__
from napari_gaussproto.core.model.card import now
from napari_gaussproto.jobs.closed_images import ClosedImages
from napari_gaussproto.jobs.fit import predict_job, quick_job, tune_job
from napari_gaussproto.jobs.requests import (
    ClosedRequest,
    FitRequest,
    FitResult,
    PyramidCache,
    Start,
    TrainImage,
    TuneRequest,
)
from napari_gaussproto.jobs.storage import Identities
from napari_gaussproto.widgets.layers.placement import file_of, pixels_of
from napari_gaussproto.widgets.layers.results import publish, succeed
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import FITTED, Outcome, SharedState
from napari_gaussproto.widgets.shared.workers import Runner
from napari_gaussproto.widgets.train.annotation.annotation_layer import label_shape
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.labels.class_table import TableChange
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

Kind = Literal["quick fit", "fine-tune", "prediction"]
Phase = Literal["idle", "fitting", "running", "paused", "finishing"]


@dataclass(frozen=True)
class Fitted:
    """A fit that is shown now.

    Attributes
    ----------
    kind : str
    result : FitResult
    live : bool
        Whether it came by itself, after a stroke.
    """

    kind: Kind
    result: FitResult
    live: bool

    @property
    def made(self) -> Kind:
        """What the model is: a fine-tune that was no better leaves a quick fit."""
        left = self.kind == "fine-tune" and not self.result.trained
        return "quick fit" if left else self.kind


@dataclass(frozen=True)
class Budget:
    """How long to fine-tune; one of the two is given."""

    steps: int | None = None
    minutes: float | None = None


class FitController(QObject):
    """Quick fits and fine-tunes of the current model.

    A quick fit always begins with the model that was there before the first one, and takes
    all strokes: what comes out depends on the strokes alone, not on the order of the fits.

    Signals
    -------
    progressed(object)
        A `Stage`, `QuickStep` or `TrainingStep`.
    phase_changed(str)
    fitted(Fitted)
    used()
        A model of the history is in use now.
    """

    progressed = Signal(object)
    phase_changed = Signal(str)
    fitted = Signal(object)
    used = Signal()

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
        self._shelf = ClosedImages(identities)
        self._viewer, self._state, self._messages = viewer, state, messages
        self._annotations = annotations
        self.cache = PyramidCache()
        self._start = Start()
        self._base: PrototypeSegmenter | None = None
        self._own: PrototypeSegmenter | None = None
        self._asked: Any = None
        self._count = 0
        self._gone = False
        # What happened to the class table since the start was chosen, and since a launch.
        self._table: tuple[SegmentationClass, ...] = annotations.classes
        self._changes: list[tuple[TableChange, bool]] = []
        self._launched = 0
        self._launch_table = annotations.classes
        annotations.table_changed.connect(lambda change, done: self._changes.append((change, done)))
        self._work: tuple[Kind, Image, tuple[int, ...], bool] | None = None
        self._stop, self._given_up = threading.Event(), threading.Event()
        self.phase: Phase = "idle"
        self.runner = Runner(self)
        self.runner.progressed.connect(self.progressed)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(
            lambda: self._messages.tell("Cancelled; the model is as it was.")
        )
        self.runner.finished.connect(lambda: self._enter("idle"))
        viewer.layers.events.removed.connect(self._on_removed)

    # -- where to begin ----------------------------------------------------------------------

    @property
    def model(self) -> PrototypeSegmenter | None:
        """The model that was fitted last, with the edits made since; None before any."""
        current, own = self._state.model, self._own
        if own is not None and current is not None and current.extractor is own.extractor:
            return current
        return own

    def begin_with(self, start: Start) -> None:
        """Choose where the next fit begins; one that runs is of another start, and given up."""
        if self.phase == "fitting":
            self.cancel()
        self._start, self._base, self._own = start, None, None
        self._follow_table(self._annotations.classes)

    def begin_anew(self) -> None:
        """Begin the next fit with the start that was chosen, not with the model in use."""
        self.begin_with(self._start)

    def compute_on(self, device: str) -> None:
        """Choose where the next fit is computed; where it begins stays."""
        self._start = replace(self._start, device=device)

    def go_on_from(self, model: PrototypeSegmenter) -> None:
        """Begin the next fit with a model that is in use already."""
        self._base = self._own = model
        self._follow_table(self._annotations.classes)

    def _follow_table(self, table: tuple[SegmentationClass, ...], since: int | None = None) -> None:
        """The start knows this table; only later changes say where its classes went."""
        self._table = table
        self._changes = [] if since is None else self._changes[since:]

    def _renamed(self) -> dict[str, int | None]:
        went: dict[str, int | None] = {}
        for place, entry in enumerate(self._table if self._changes else ()):
            value = place + 1
            for change, done in self._changes:
                value = change.value_of(value, back=not done)
            went[entry.name] = value - 1 if value else None
        return went

    @property
    def beginnings(self) -> tuple[PrototypeSegmenter | None, PrototypeSegmenter | None]:
        """Where the next fit begins, and what the last one made."""
        return self._base, self._own

    def go_on(
        self, beginnings: tuple[PrototypeSegmenter | None, PrototypeSegmenter | None]
    ) -> None:
        """Go on where a former dock was."""
        self._base, self._own = beginnings

    def use(self, model: PrototypeSegmenter) -> None:
        """Make a model of the history the one in use, and begin the next fit with it."""
        self.go_on_from(model)
        self._publish_model(model)
        self.used.emit()

    def _publish_model(self, model: PrototypeSegmenter) -> None:
        self._count += 1
        key = (f"{FITTED}{self._count}", float(self._count), str(model.device))
        self._state.set_model(model, key)

    def _where_to_begin(self) -> Start:
        device = self._start.device
        if self.model is not self._own:
            # Its prototypes were edited since: the edits are where to begin now.
            return Start(model=self.model, device=device)
        if self._base is not None:
            return Start(model=self._base, device=device)
        return self._start

    # -- what one asks for -------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is being computed that a person waits for."""
        return self.runner.running

    def quick_fit(
        self, image: Image, *, live: bool = False, closed: ClosedRequest | None = None
    ) -> None:
        """Fit neck and prototypes to all strokes; a running quick fit is given up for it."""
        if self.phase not in ("idle", "fitting"):
            return
        request = replace(self._request(image), closed=closed)
        self._launch("quick fit", image, live, quick_job, request)

    def fine_tune(
        self,
        image: Image,
        budget: Budget,
        semi: dict[str, float],
        unlabelled: list[Image],
        checkpoint: Path | None = None,
        closed: ClosedRequest | None = None,
    ) -> None:
        """Train the whole model on all strokes and on what is not labelled."""
        if self.phase not in ("idle", "fitting"):
            return
        # Of its own: the thread of a training that was cancelled may still look at the former.
        self._stop, self._given_up = threading.Event(), threading.Event()
        tune = TuneRequest(
            steps=budget.steps,
            minutes=budget.minutes,
            semi=semi,
            unlabelled=[self._train_image(other) for other in unlabelled],
            checkpoint=checkpoint,
            stop=self._stop.is_set,
            given_up=self._given_up.is_set,
        )
        request = replace(self._request(image), closed=closed)
        self._launch("fine-tune", image, False, tune_job, request, tune)

    def closed_images(
        self, stored: Callable[[], Annotations], opened: Sequence[Image]
    ) -> ClosedRequest:
        """What a fit needs to learn from labelled images that are not open.

        Parameters
        ----------
        stored : callable
            Gives a thread all labels of the project.
        opened : sequence of Image
            Without annotations; there may be some in the project.
        """
        present = self._annotations.open
        removed = [a for a in self._annotations.all if a not in present]
        return ClosedRequest(
            self._shelf,
            stored,
            [self._train_image(a.image) for a in removed],
            [self._train_image(image) for image in opened],
        )

    def predict(self, image: Image) -> None:
        """Segment an image by the model that was fitted last."""
        if self.phase == "idle" and self.model is not None:
            request = self._request(image, Start(model=self.model, device=self._start.device))
            self._launch("prediction", image, False, predict_job, request)

    def predict_once(self, image: Image) -> None:
        """As `predict`, unless this model was asked for the image already.

        What comes back is not the model itself where the class table or the device changed.
        """
        asked = (image, self.model, self._annotations.classes)
        if asked != self._asked:
            self._asked = asked
            self.predict(image)

    def stop(self) -> None:
        """End a fine-tune early and keep the best model so far."""
        if self.phase in ("running", "paused"):
            self._stop.set()
            self.runner.resume()
            self._enter("finishing")

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
        self.runner.cancel()

    # -- the work ----------------------------------------------------------------------------

    def _launch(self, kind: Kind, image: Image, live: bool, job: Any, *arguments: Any) -> None:
        # Cancelling a former fit says so; the new one speaks for itself.
        self._work = (kind, image, label_shape(image), live)
        self._launched, self._launch_table = len(self._changes), self._annotations.classes
        self.runner.start(partial(job, *arguments))
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
        outcome = self._state.outcomes.get(image)
        return FitRequest(
            start=start or self._where_to_begin(),
            classes=self._annotations.classes,
            renamed=self._renamed(),
            images=[self._train_image(a.image) for a in self._annotations.open],
            shown=self._train_image(image),
            maps=[] if outcome is None else list(outcome.maps),
            prototype=self._state.prototype,
            quantity=self._state.quantity,
            cache=self.cache,
        )

    def _train_image(self, image: Image) -> TrainImage:
        annotation = self._annotations.find(image)
        codes = None if annotation is None else annotation.snapshot
        return TrainImage(
            image.unique_id,
            pixels_of(image),
            bool(image.rgb),
            codes,
            image.name,
            file_of(image),
        )

    # -- what comes back ---------------------------------------------------------------------

    def _on_result(self, result: FitResult) -> None:
        if self._work is None:
            return
        kind, image, shape, live = self._work
        if kind != "prediction":
            self._base, self._own = result.base, result.model
            self._follow_table(self._launch_table, self._launched)
            self._publish_model(result.model)
        there = image in self._viewer.layers and label_shape(image) == shape
        fitted = Fitted(kind, result, live)
        if there:
            self._show(fitted.made, image, result)
        if result.warning:
            self._messages.warn(result.warning)
        self.fitted.emit(fitted)
        if not there:
            self._messages.tell("The image was removed or changed meanwhile; the model is fitted.")

    def _show(self, kind: Kind, image: Image, result: FitResult) -> None:
        model = result.model
        provenance = {
            "model": model.card.name,
            "model_file": None,
            "model_created": model.card.created,
            "version": __version__,
            "device": str(model.device),
            "fit": kind,
            "time": now(),
        }
        outcome = Outcome(image, result.segmentation, provenance, model=model)
        annotation = self._annotations.find(image)
        publish(
            self._viewer,
            self._state,
            succeed(self._viewer, self._state, outcome, result.maps),
            result.maps,
            result.prototype,
            result.values,
            annotation.layer if annotation is not None else None,
        )

    def _on_failure(self, error: Exception) -> None:
        live = self._work is not None and self._work[3]
        self._messages.report(error, quietly=live)

    def _on_removed(self, event: Any) -> None:
        # Features of a labelled image serve the next fit, which learns from it still.
        if self._annotations.find(event.value) is None:
            self.cache.forget(getattr(event.value, "unique_id", None))

    def let_go(self) -> None:
        """Stop the threads and stop following the viewer."""
        if self._gone:
            return
        self._gone = True
        self._stop.set()
        self.runner.resume()
        self.runner.cancel()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
