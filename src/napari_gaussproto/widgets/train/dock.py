"""The Train dock: from strokes and corrections to a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QTabWidget, QWidget

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.class_table import WantedClass, extend_table, first_table
from napari_gaussproto.core.model.summary import read_summary
from napari_gaussproto.jobs.requests import ClosedRequest
from napari_gaussproto.jobs.session.counts import Count
from napari_gaussproto.widgets.layers.following import leave_hidden_labels, show_what_is_picked
from napari_gaussproto.widgets.layers.offers.channels import ChannelsOffer
from napari_gaussproto.widgets.layers.offers.outlines_switch import OutlinesSwitch
from napari_gaussproto.widgets.layers.offers.upright_offer import UprightOffer
from napari_gaussproto.widgets.shared.choosers import ImageChooser, listed
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.forms import (
    NOTHING_RUNS,
    across,
    button,
    check_box,
    down,
    enable,
    fill,
    heading,
)
from napari_gaussproto.widgets.shared.preferences import preference
from napari_gaussproto.widgets.shared.workers import soon
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.budget import BudgetPanel
from napari_gaussproto.widgets.train.fitting.curves import TrainingCurves
from napari_gaussproto.widgets.train.fitting.fit_controller import FitController
from napari_gaussproto.widgets.train.fitting.progress import TrainingProgress
from napari_gaussproto.widgets.train.fitting.proposal import StartProposal
from napari_gaussproto.widgets.train.fitting.readiness import missing_for_fit
from napari_gaussproto.widgets.train.fitting.semi_terms import TERMS, weights_of
from napari_gaussproto.widgets.train.fitting.sentences import Fitted, begins_with, fitted_sentence
from napari_gaussproto.widgets.train.fitting.start_panel import StartPanel
from napari_gaussproto.widgets.train.labelling.class_panel import ClassPanel
from napari_gaussproto.widgets.train.labelling.labels_controller import LabelsController
from napari_gaussproto.widgets.train.labelling.labels_panel import LabelsPanel
from napari_gaussproto.widgets.train.memory import TrainMemory, kept_settings, remember, take_over
from napari_gaussproto.widgets.train.storage.autosave import Autosave
from napari_gaussproto.widgets.train.storage.reopening import Reopening
from napari_gaussproto.widgets.train.versions.version_panel import VersionPanel
from napari_gaussproto.widgets.train.versions.versions_controller import VersionsController

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.widgets.shared.state import ImageResult


_LIVE = "Fit again after every stroke"
_CANCEL = "Stop at once; the model stays as it was"
_TUNING = "The model is being fine-tuned: wait for it, or end that under Fine-tune"


class TrainWidget(Dock):
    """Draw, correct, fit and fine-tune."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, 370)
        self.annotations = AnnotationSet(self.viewer, self.state, self.messages, self)
        self.autosave = Autosave(self.viewer, self.state, self.annotations, self.messages, self)
        self.fits = FitController(
            self.viewer, self.state, self.annotations, self.autosave.identities, self.messages, self
        )
        # Whether neither classes nor a start were chosen here yet.
        self._untouched = False
        # Whether a fitted model was left for another start since the last fit.
        self._left = False
        # What was said to be missing last.
        self._said = ""
        self._build()
        self._connect()
        self._begin(take_over(self.state, self.close_work))
        self.find_devices(self._fill_devices)

    # -- what one sees ----------------------------------------------------------------------

    def _build(self) -> None:
        self.images = ImageChooser(self.viewer, lambda: self.fits.busy or self.autosave.unsaved)
        self.images.passed_over.connect(self.messages.tell)
        self.images.setToolTip("The image to label; all images with labels train the model")
        self.upright = UprightOffer(self.viewer, self.state, self.images, self.messages)
        self.channels = ChannelsOffer(self.viewer, self.state, self.images)
        self.classes = ClassPanel()
        self.outlines = OutlinesSwitch(self.viewer, self.state, self.messages)
        self.labels = LabelsPanel(self.outlines)
        shared = (self.viewer, self.state, self.annotations, self.autosave)
        said = (self.messages, self)
        self.labelling = LabelsController(*shared, self.images, self.labels, *said)
        self.start = StartPanel(self.messages.warn, self._in_use)
        self.proposal = StartProposal(self.start, self.fits, self.annotations)
        self._fill_devices(["cpu"])
        self.quick = button("Quick fit", "", self.quick_fit)
        self.live = check_box("live", _LIVE)
        self.cancel = button("Cancel", _CANCEL, self.fits.cancel)
        self.budget = BudgetPanel(TERMS)
        self.curves = TrainingCurves()
        self.version_panel = VersionPanel()
        self.versions = VersionsController(*shared, self.fits, self.version_panel, *said)
        self.reopening = Reopening(*shared[:2], self.autosave, self.images, self.messages)
        fields = (self.start, self.fits, self.live, self.labels.closed, self.budget)
        self.keep(kept_settings(*fields))
        self._progress = TrainingProgress(self.status, self.curves, self.budget)
        self.setWidget(self._arrange())

    def _arrange(self) -> QWidget:
        tune = fill(QWidget(), down(self.budget, self.curves, None), 0, 6, 0, 0)
        self.tabs = QTabWidget()
        self.tabs.addTab(tune, "Fine-tune")
        self.tabs.setTabToolTip(0, "Train the whole network, also on what is not labelled")
        self.tabs.addTab(self.version_panel, "Versions")
        self.tabs.setTabToolTip(1, "Every fit is kept: compare, go back, save")
        annotate = (heading("Classes"), self.classes, heading("Labels"), self.labels)
        fit = across((self.quick, 2), self.live, (self.cancel, 1))
        model = (heading("Model"), self.start, self.proposal, fit, self.status)
        parts = (
            self.autosave.bar,
            self.images,
            self.upright,
            self.channels,
            *annotate,
            *model,
            (self.tabs, 1),
        )
        return fill(QWidget(), down(*parts), 9, 9, 9, 9)

    def _connect(self) -> None:
        annotations, fits, autosave = self.annotations, self.fits, self.autosave
        annotations.classes_changed.connect(self._on_classes)
        annotations.edited.connect(self._on_edited)
        annotations.layers_changed.connect(self._on_layers)
        self.curves.grew.connect(self._scroll_to_curves)
        annotations.brushed.connect(self._on_brushed)
        self.classes.change_asked.connect(self.change_classes)
        self.classes.class_selected.connect(annotations.select)
        self.classes.undo_asked.connect(annotations.undo)
        self.classes.redo_asked.connect(annotations.redo)
        self.start.changed.connect(self._on_start)
        self.proposal.fit_asked.connect(self.quick_fit)
        self.live.toggled.connect(self._tell_missing)
        self.start.device.currentTextChanged.connect(fits.compute_on)
        self.budget.start_asked.connect(self.fine_tune)
        self.labels.closed.toggled.connect(self._update_buttons)
        self.labels.closed.toggled.connect(lambda: autosave.save_soon())
        self.budget.pause_asked.connect(fits.pause)
        self.budget.resume_asked.connect(fits.resume)
        self.budget.stop_asked.connect(fits.stop)
        self.budget.discard_asked.connect(fits.cancel)
        fits.progressed.connect(self._progress.show)
        fits.phase_changed.connect(self._on_phase)
        fits.fitted.connect(self._on_fitted)
        self.labels.open_asked.connect(self.reopening.open_closed)
        fits.used.connect(self._see)
        fits.beginning_changed.connect(self._show_start)
        self.connections.add(self.state.model_changed, self._show_start)
        self.classes.failed.connect(self.messages.warn)
        autosave.counted.connect(self._on_counted)
        autosave.restored.connect(self._on_restored)
        self.connections.add(self.state.result_changed, self._adopt)
        self.images.image_changed.connect(self._on_image)
        show_what_is_picked(self.viewer, self.images)
        leave_hidden_labels(self.viewer, self.images)
        self.connections.add(self.state.read_anew, self._on_image)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            self.connections.add(event, self.labelling.offer_layers)

    def _begin(self, memory: TrainMemory | None) -> None:
        """Go on with a former dock's work, with the model in use, or with a new one."""
        model = self.state.model
        if memory is not None:
            self.start.recall(memory.start)
        self._on_start()
        if memory is not None:
            self.annotations.set_table(memory.classes)
            self.fits.go_on(memory.beginning)
            for image in self.images.images():
                self.annotations.adopt(image)
            self.annotations.go_on(memory.changes)
            if memory.folder is not None:
                self.autosave.resume(memory.folder, memory.forgotten)
        elif model is not None:
            self.annotations.set_table(model.classes)
            self.fits.go_on_from(model)
        else:
            self.annotations.set_table(first_table())
            self._untouched = True
        self._on_image()
        self._on_phase("idle")

    def abandon(self) -> None:
        """End all work without waiting for it; what is drawn and fitted is put to be saved."""
        self._remember()
        self.labelling.close()
        self.reopening.abandon()
        self.annotations.close()
        self.fits.abandon()
        super().abandon()
        self.versions.abandon()

    def close_work(self) -> None:
        """End all work once; waits until labels and versions are written."""
        super().close_work()
        self.autosave.close()

    def _remember(self) -> None:
        annotations, autosave = self.annotations, self.autosave
        about = (annotations.classes, autosave.state.folder, self.fits.beginning)
        undo = (annotations.history, autosave.forgotten)
        remember(self.state, TrainMemory(*about, self.start.chosen, *undo))

    def _fill_devices(self, names: list[str]) -> None:
        self.start.offer_devices(names, str(preference("device")))

    # -- classes ----------------------------------------------------------------------------

    def change_classes(self, change: Any) -> None:
        """Change the class table, and all labels with it."""
        try:
            self.annotations.change_table(change)
        except GaussProtoError as error:
            self.messages.warn(str(error))
            self._on_classes()

    def _on_brushed(self, class_index: int) -> None:
        if class_index < len(self.classes.classes):
            self.classes.select(class_index)

    def _on_classes(self) -> None:
        annotations = self.annotations
        self.classes.set_classes(annotations.classes)
        self.classes.set_undo(annotations.can_undo, annotations.can_redo)
        if annotations.classes:
            self.classes.select(annotations.selected)
        self.autosave.save_soon()
        self._update_buttons()

    # -- what was drawn ---------------------------------------------------------------------

    def _on_edited(self, annotation: AnnotationLayer) -> None:
        self.autosave.save_soon()
        self._update_buttons()
        self.labelling.refresh_corrections()
        self._tell_missing()
        image = self.images.image()
        if self.live.isChecked() and image is not None and self._missing() is None:
            # Of open images only: it has to be there before the next stroke.
            self.fits.quick_fit(image, live=True)

    def _tell_missing(self) -> None:
        """Say what has to be painted yet, where a person paints or waits for a live fit."""
        missing = self._missing() if self.annotations.painted or self.live.isChecked() else None
        said = "" if missing is None else f"{missing}."
        if said or self.status.text() == self._said:
            self.status.setText(said)
        self._said = said

    def _on_layers(self) -> None:
        self.classes.select(self.annotations.selected)
        self._update_buttons()
        self.autosave.save_soon()

    def _on_restored(self, image: Image) -> None:
        """Labels that came back: show what the model makes of the rest, if nothing is shown."""
        if image is self.images.image() and image not in self.state.results:
            self._see_annotated()

    def _on_counted(self, count: Count) -> None:
        if len(count.pixels) == len(self.annotations.classes):
            self.classes.set_counts(count.all_pixels)
        self._remember()
        self.labels.show_count(count)
        self._update_buttons()

    # -- fitting ----------------------------------------------------------------------------

    def quick_fit(self) -> None:
        """Fit prototypes to all strokes."""
        image = self.images.image()
        if image is not None:
            self.fits.quick_fit(image, closed=self._closed())

    def _scroll_to_curves(self) -> None:
        if self.tabs.currentIndex() == 0:
            self.ensureWidgetVisible(self.curves, 0, 0)

    def fine_tune(self) -> None:
        """Train the whole model within the budget."""
        image = self.images.image()
        if image is None:
            return
        self.curves.clear()
        self.tabs.setCurrentIndex(0)
        self.live.setChecked(False)
        terms = weights_of(self.budget.terms())
        self.fits.fine_tune(
            image,
            steps=self.budget.steps(),
            minutes=self.budget.minutes(),
            semi=terms,
            unlabelled=self._unlabelled() if terms else [],
            checkpoint=self.versions.checkpoint(),
            closed=self._closed(),
        )

    def _closed(self) -> ClosedRequest | None:
        """Labelled images that are not open, if a fit should learn from them."""
        if not self.labels.closed.isChecked():
            return None
        stored = self.autosave.stored(self.annotations.classes)
        return self.fits.closed_images(stored, self._unlabelled())

    def _unlabelled(self) -> list[Image]:
        """Open images without labels."""
        return [i for i in self.images.images() if self.annotations.find(i) is None]

    def _on_start(self) -> None:
        """Another model to begin with."""
        path, model = self.start.path, self._in_use() if self.start.goes_on else None
        self._untouched = False
        if self.fits.begins_so(self.start.start(), goes_on=self.start.goes_on):
            return
        self._left = self._left or self.fits.model is not None
        if model is not None:
            self.fits.go_on_from(model)
        else:
            self.fits.begin_with(self.start.start())
        name = path.stem if path is not None else None if model is None else model.card.name
        if self._left:
            self.status.setText(begins_with(name, kept=bool(self.version_panel.versions)))
        try:
            if model is not None:
                self._take_classes(model.classes)
            elif path is not None:
                self._take_classes(read_summary(path).config.classes)
        except GaussProtoError as error:
            self.messages.warn(str(error))
        self._update_buttons()

    def _in_use(self) -> PrototypeSegmenter | None:
        return self.fits.going_on or self.state.model

    def _show_start(self, event: object = None) -> None:
        """Say where the next fit begins, also where no choice of the person's led there."""
        model = self._in_use()
        name = None if model is None else listed(model.card, in_use=model is self.state.model)
        self.start.show_in_use(name, goes_on=self.fits.going_on is not None)

    def _take_classes(self, classes: Sequence[SegmentationClass]) -> None:
        """A model's table; what is labelled, on open images or others, keeps its class."""
        labelled = any(a.painted for a in self.annotations.all)
        if not labelled and not self.autosave.state.kept.images:
            self.annotations.set_table(classes)
            return
        wanted = [WantedClass(entry.name, entry.color) for entry in classes]
        change = extend_table(self.annotations.classes, wanted)
        if change.after != change.before:
            self.annotations.change_table(change)

    def _adopt(self, result: ImageResult) -> None:
        """Go on with a model that was run before anything was chosen or drawn here.

        So it makes no difference whether this dock is opened before a run or after it.
        """
        annotations, self._untouched = self.annotations, self._untouched and not self._worked()
        if self._untouched and result.model is not None:
            annotations.set_table(result.model.classes)
            self.fits.go_on_from(result.model)
        self._update_buttons()

    def _worked(self) -> bool:
        """Whether there is anything that a change of all classes would lose."""
        annotations = self.annotations
        changed = annotations.can_undo or annotations.can_redo
        labelled = any(a.painted for a in annotations.all)
        fitted = self.fits.busy or bool(self.version_panel.versions)
        return changed or labelled or fitted or bool(self.autosave.state.kept.images)

    def _on_phase(self, phase: str) -> None:
        self._progress.show_phase(phase)
        tuning = phase in ("running", "paused", "finishing")
        self.budget.set_state(phase if tuning else "idle")  # type: ignore[arg-type]
        self.version_panel.set_busy("A model is being fitted" if phase != "idle" else None)
        self._update_buttons()

    def _on_fitted(self, fitted: Fitted) -> None:
        if fitted.kind != "prediction":
            self._left = False
            if not fitted.result.kept:
                self.versions.add(fitted)
        self.status.setText(f"{fitted_sentence(fitted)} {self.images.passed}".strip())
        self.labelling.refresh_corrections()
        # Another image may have been chosen while this one was fitted.
        soon(self, self._see_annotated)

    # -- what else changes ------------------------------------------------------------------

    def _on_image(self, *_: object) -> None:
        self.labels.accept.setChecked(False)
        self.labelling.offer_layers()
        self._update_buttons()
        image = self.images.image()
        if image is not None:
            self.autosave.look_for(image)
            if not self.images.follows:  # what another dock shows of it stays as it is
                self._see_annotated()

    def _see_annotated(self) -> None:
        """Segment the chosen image anew if it is one that a person labels."""
        if not self.abandoned and self.annotations.find(self.images.image()) is not None:
            self._see()

    def _see(self) -> None:
        """Segment the chosen image by the model in use, unless that was done already."""
        image, model = self.images.image(), self.fits.model
        if image is None or model is None or self.fits.busy:
            return
        result = self.state.results.get(image)
        if result is None or result.model is not model:
            self.fits.predict(image)

    def _missing(self, *, tunes: bool = False) -> str | None:
        """What a person must do before a quick fit, or before a fine-tune."""
        learns = self.labels.learns_from_closed
        return missing_for_fit(self.images.image(), self.annotations, self.fits, learns, tunes)

    def _update_buttons(self) -> None:
        missing, phase = self._missing(), self.fits.phase
        tuning = phase not in ("idle", "fitting")
        obstacle = _TUNING if tuning else missing or ""
        enable(self.quick, "Fit the prototypes to the strokes: a second or less", obstacle)
        self.live.setToolTip(f"{_LIVE}.\nIt waits. {obstacle}" if obstacle else _LIVE)
        enable(self.cancel, _CANCEL, "" if phase != "idle" else NOTHING_RUNS)
        self.cancel.setVisible(not tuning)  # what ends a fine-tune stands beside its progress
        self.budget.set_reason(self._missing(tunes=True))
        self.budget.advise(self.labels.amount.advice())
        self.start.hold(_TUNING if tuning else "")
        image = self.images.image()
        self.labels.allow_accepting(image is not None and image in self.state.results)
