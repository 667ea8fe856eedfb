"""Every fit is a version: kept, compared, gone back to, saved as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.project.version import LIVE
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.jobs.storage import ProjectSession
from napari_gaussproto.widgets.layers.overlays import hide_changed, show_changed
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.preferences import remember_model
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState
from napari_gaussproto.widgets.shared.workers import single_shot
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.fit_controller import FitController
from napari_gaussproto.widgets.train.fitting.sentences import Fitted
from napari_gaussproto.widgets.train.storage.autosave import Autosave
from napari_gaussproto.widgets.train.versions.version_panel import VersionPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_gaussproto.core.measure.compare import Comparison
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.jobs.versions import Listed

# Milliseconds after the last of many quick fits while a person draws; that one is kept.
_REST = 3000


class VersionsController(QObject):
    """Adds versions to the project and does what the version panel asks for."""

    compared = Signal()  # a comparison is shown

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        annotations: AnnotationSet,
        autosave: Autosave,
        fits: FitController,
        panel: VersionPanel,
        messages: Messages,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state = viewer, state
        self._annotations, self._autosave = annotations, autosave
        self._fits, self._panel, self._messages = fits, panel, messages
        self._waiting: Fitted | None = None
        # Numbers of the last fit that was given to the saving thread, and of the last that is kept.
        self._given = self._added = 0
        self._reader = JobQueue(self)
        self._reader.failed.connect(messages.report)
        self._compared: ImageResult | None = None
        state.result_changed.connect(self._on_image_result)
        self._timer = single_shot(self, _REST, self.flush)
        panel.compare_asked.connect(self.compare)
        panel.revert_asked.connect(self.revert)
        panel.rename_asked.connect(self.rename)
        panel.delete_asked.connect(self.delete)
        panel.save_asked.connect(self._ask_where)
        autosave.queue.failed.connect(self._on_failure)
        autosave.leaving.connect(self._on_leaving)
        autosave.project_changed.connect(self._on_project)
        autosave.resumed.connect(lambda: self._ask("list_versions", done=self._show))
        autosave.begun.connect(self._on_blank)

    # -- adding ------------------------------------------------------------------------------

    def add(self, fitted: Fitted) -> None:
        """Keep a fit; of quick fits that follow each stroke, the last one."""
        self._waiting = fitted
        if fitted.live:
            self._timer.start()
            self._announce()
        else:
            self.flush()

    def flush(self) -> None:
        """Keep the fit that waits, if any."""
        self._timer.stop()
        fitted, self._waiting = self._waiting, None
        if fitted is None:
            return
        classes, drawn = self._annotations.classes, self._autosave.drawn()
        result = fitted.result
        if fitted.live:
            result = replace(result, settings=result.settings | {LIVE: True})
        self._given += 1
        done = partial(self._on_added, self._given)
        self._ask("add_version", result, fitted.made, classes, drawn, done=done)
        self._announce()

    def _on_added(self, number: int, listed: Listed) -> None:
        self._added = number
        self._show(listed)
        self._announce()

    def _on_failure(self, error: Exception) -> None:
        self._added = self._given  # the error says what became of it
        self._announce()

    def _announce(self) -> None:
        """Say that the list is not complete yet: the fit is shown before it is kept."""
        waits = "The fit in use becomes a version when you rest from painting."
        keeps = "The fit in use is being added…" if self._added < self._given else ""
        self._panel.announce(waits if self._waiting is not None else keeps)

    def checkpoint(self) -> Path | None:
        """Where a fine-tune keeps its state, to go on after a kill."""
        folder = self._autosave.state.folder
        return None if folder is None else folder / "fine-tune.safetensors"

    def _show(self, listed: Listed) -> None:
        self._panel.set_versions(listed.versions, listed.current)

    # -- what the panel asks for -------------------------------------------------------------

    def compare(self, version: str) -> None:
        """Show what a version labels otherwise than the current model does."""
        result = self._state.current
        if result is None:
            self._messages.warn("Segment or fit an image first: then two versions can be compared.")
            return
        self._ask("read_version", version, done=partial(self._segment_by, result))
        self._messages.tell("Comparing…")

    def _segment_by(self, result: ImageResult, read: tuple[str, PrototypeSegmenter]) -> None:
        """Let another thread segment the image by a version: saving must not wait for that."""
        (name, model), now = read, result.segmentation
        about = (model, train_image(result.source), now, result.provenance.how.get("cell_size"))

        def job() -> Comparison:
            return run(run_job("versions", "compare_models", *about))

        self._reader.put(job, partial(self._on_compared, result, name))

    def _on_compared(self, result: ImageResult, name: str, comparison: Comparison) -> None:
        classes, total = comparison.classes, comparison.changed.size
        rows = [
            (classes[b].color, f"{classes[a].name} → {classes[b].name}", n, n / total)
            for a, b, n in comparison.moves()
        ]
        title = (
            f"From “{name}” to the current version: {comparison.share_changed:.1%} of the pixels"
        )
        if self._state.results.get(result.source) is not result:
            self._messages.tell("The image was segmented anew meanwhile: compare again.")
            return
        self._panel.comparison.show_rows(rows, title)
        self._compared = result
        if self._state.current is result and result.source in self._viewer.layers:
            show_changed(self._viewer, result, comparison.changed)
        self._messages.tell(comparison.summary(classes))
        self.compared.emit()

    def _on_image_result(self, result: ImageResult) -> None:
        """What was compared with another result of the image is not true of this one."""
        before = self._compared
        if before is not None and result.source is before.source and result is not before:
            self._compared = None
            self._panel.comparison.hide()
            hide_changed(self._viewer, result)

    def revert(self, version: str) -> None:
        """Make a version the one in use; the next fit begins there."""
        self.flush()
        device = "cpu" if self._state.model is None else str(self._state.model.device)
        self._ask("use_version", version, device, done=self._on_used)

    def _on_used(self, used: tuple[PrototypeSegmenter, Listed]) -> None:
        listed = self._use(used)
        name = next((v.name for v in listed.versions if v.id == listed.current), "")
        self._messages.tell(f"“{name}” is in use; the next fit begins there.")

    def _use(self, used: tuple[PrototypeSegmenter, Listed]) -> Listed:
        model, listed = used
        self._fits.use(model)
        self._show(listed)
        return listed

    def rename(self, version: str, name: str) -> None:
        """Give a version another name."""
        self._ask("rename_version", version, name, done=self._show)

    def delete(self, version: str) -> None:
        """Forget a version."""
        self._ask("remove_version", version, done=self._show)

    def save(self, version: str, path: Path) -> None:
        """Write a version as a model file."""

        def done(_: Any) -> None:
            remember_model(path)
            self._messages.tell(f"Saved as {path.name}.")

        self._ask("export_version", version, path, done=done)

    def _ask_where(self, version: str) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self._panel, "Save model", "my-model.safetensors", "Models (*.safetensors)"
        )
        path = Path(name)
        if name and path.suffix != ".safetensors":
            path = path.with_name(f"{path.name}.safetensors")
            if path.exists():  # the dialog asked about another name
                self._messages.tell(f"“{path.name}” is there already: choose another name.")
                return
        if name:
            self.save(version, path)

    # -- the thread --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a fit waits to be kept, or a version is read, written or compared."""
        return self._waiting is not None or self._autosave.busy or self._reader.busy

    def abandon(self) -> None:
        """Let the saving thread keep the fit that waits, and give up what is read."""
        self._state.result_changed.disconnect(self._on_image_result)
        self.flush()
        self._reader.abandon()

    def _ask(self, name: str, *arguments: Any, done: Callable[[Any], None]) -> None:
        """Let the saving thread do a job of ``jobs/versions.py``."""

        def job(session: ProjectSession) -> Any:
            return run(run_job("versions", name, session, *arguments))

        self._autosave.put(job, done)

    def _on_leaving(self) -> None:
        """Keep what was fitted; what is being fitted belongs to no other project."""
        self.flush()
        if self._fits.busy:
            self._fits.cancel()

    def _on_project(self, opened: object) -> None:
        self._ask("use_version", None, "cpu", done=self._on_project_used)

    def _on_project_used(self, used: tuple[PrototypeSegmenter, Listed] | None) -> None:
        if used is None:
            self._on_blank()
        else:
            self._use(used)

    def _on_blank(self) -> None:
        """A project without versions: the model in use is the former one's."""
        self._fits.begin_with()
        self._panel.set_versions([], None)
