"""Every fit is a version: kept, compared, gone back to, saved as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog

from napari_gaussproto.jobs.libraries import load_libraries
from napari_gaussproto.jobs.storage import Desk, Drawn, new_project
from napari_gaussproto.widgets.layers.overlays import hide_changed, show_changed
from napari_gaussproto.widgets.layers.placement import pixels_of
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.preferences import remember_model
from napari_gaussproto.widgets.shared.state import Outcome, SharedState
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.fit_controller import FitController, Fitted
from napari_gaussproto.widgets.train.storage.autosave import Autosave
from napari_gaussproto.widgets.train.versions.version_panel import VersionPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_gaussproto.core.measure.compare import Comparison
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.core.project.project import Project

# Milliseconds after the last of many quick fits while a person draws; that one is kept.
_REST = 3000


@dataclass(frozen=True)
class Listed:
    """Versions, and which one is in use."""

    versions: list[Any]
    current: str | None


class VersionsController(QObject):
    """Adds versions to the project and does what the version panel asks for.

    Signals
    -------
    compared()
        A comparison is shown.
    """

    compared = Signal()

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
        self._ids: WeakKeyDictionary[PrototypeSegmenter, str] = WeakKeyDictionary()
        self._waiting: Fitted | None = None
        # A whole image is segmented to compare: saving must not wait for that.
        self._reader = JobQueue(self)
        self._reader.failed.connect(messages.report)
        self._compared: Outcome | None = None
        state.outcome_changed.connect(self._on_outcome)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self.flush)
        panel.compare_asked.connect(self.compare)
        panel.revert_asked.connect(self.revert)
        panel.rename_asked.connect(self.rename)
        panel.delete_asked.connect(self.delete)
        panel.save_asked.connect(self._ask_where)
        autosave.project_changed.connect(self._on_project)
        autosave.resumed.connect(self._refresh)
        autosave.begun.connect(self._on_begun)

    # -- adding ------------------------------------------------------------------------------

    def add(self, fitted: Fitted) -> None:
        """Keep a fit; of quick fits that follow each stroke, the last one."""
        self._waiting = fitted
        if fitted.live:
            self._timer.start()
        else:
            self.flush()

    def flush(self) -> None:
        """Keep the fit that waits, if any."""
        self._timer.stop()
        fitted, self._waiting = self._waiting, None
        if fitted is None:
            return
        job = partial(
            _add,
            self._autosave.desk,
            fitted,
            self._ids,
            self._annotations.classes,
            self._autosave.drawn(),
        )
        self._autosave.backlog.put(job, self._show)

    def checkpoint(self) -> Path | None:
        """Where a fine-tune keeps its state, to go on after a kill."""
        project = self._autosave.desk.project
        return None if project is None else project.folder / "fine-tune.safetensors"

    def _show(self, listed: Listed) -> None:
        self._panel.set_versions(listed.versions, listed.current)

    def _refresh(self, _: Any = None) -> None:
        self._ask(lambda project: _listed(project), self._show)

    # -- what the panel asks for -------------------------------------------------------------

    def compare(self, version: str) -> None:
        """Show what a version labels otherwise than the current model does."""
        outcome = self._state.current
        if outcome is None:
            self._messages.warn("Segment or fit an image first: then two versions can be compared.")
            return
        source = outcome.source
        self._ask(
            lambda project: _compared(
                project, version, pixels_of(source), bool(source.rgb), outcome.segmentation
            ),
            partial(self._on_compared, outcome),
            self._reader,
        )
        self._messages.tell("Comparing…")

    def _on_compared(self, outcome: Outcome, found: tuple[str, Comparison, list[Any]]) -> None:
        name, comparison, classes = found
        total = comparison.changed.size
        rows = [
            (classes[b].color, f"{classes[a].name} → {classes[b].name}", n, n / total)
            for a, b, n in comparison.moves()
        ]
        title = (
            f"From “{name}” to the current version: {comparison.share_changed:.1%} of the pixels"
        )
        if self._state.outcomes.get(outcome.source) is not outcome:
            self._messages.tell("The image was segmented anew meanwhile: compare again.")
            return
        self._panel.show_comparison(rows, title)
        self._compared = outcome
        if self._state.current is outcome and outcome.source in self._viewer.layers:
            show_changed(self._viewer, outcome, comparison.changed)
        self._messages.tell(comparison.summary(classes))
        self.compared.emit()

    def _on_outcome(self, outcome: Outcome) -> None:
        """What was compared with another result of the image is not true of this one."""
        before = self._compared
        if before is not None and outcome.source is before.source and outcome is not before:
            self._compared = None
            self._panel.clear_comparison()
            hide_changed(self._viewer, outcome)

    def revert(self, version: str) -> None:
        """Make a version the one in use; the next fit begins there."""
        self.flush()
        device = "cpu" if self._state.model is None else str(self._state.model.device)
        self._ask(
            lambda project: _loaded(project, version, device), partial(self._on_loaded, version)
        )

    def _on_loaded(self, version: str, loaded: tuple[PrototypeSegmenter, Listed]) -> None:
        model, listed = loaded
        self._ids[model] = version
        self._fits.use(model)
        self._show(listed)
        name = next((v.name for v in listed.versions if v.id == version), "")
        self._messages.tell(f"“{name}” is in use; the next fit begins there.")

    def rename(self, version: str, name: str) -> None:
        """Give a version another name."""
        self._ask(lambda project: project.versions.rename(version, name), self._refresh)

    def delete(self, version: str) -> None:
        """Forget a version."""
        self._ask(lambda project: project.versions.remove(version), self._refresh)

    def save(self, version: str, path: Path) -> None:
        """Write a version as a model file."""

        def done(_: Any) -> None:
            remember_model(path)
            self._messages.tell(f"Saved as {path.name}.")

        self._ask(lambda project: _save(project, version, path), done)

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

    def close(self) -> None:
        """Keep the fit that waits, and stop."""
        self._state.outcome_changed.disconnect(self._on_outcome)
        self.flush()
        self._reader.abandon()

    def _ask(
        self,
        of: Callable[[Project], Any],
        done: Callable[[Any], None],
        backlog: JobQueue | None = None,
    ) -> None:
        desk = self._autosave.desk

        def job() -> tuple[bool, Any]:
            load_libraries()
            return (False, None) if desk.project is None else (True, of(desk.project))

        def finish(found: tuple[bool, Any]) -> None:
            if found[0]:
                done(found[1])
            else:
                self._messages.tell("This project has no versions yet: fit a model first.")

        (backlog or self._autosave.backlog).put(job, finish)

    def _on_begun(self) -> None:
        self._ids.clear()
        self._show(Listed([], None))

    def _on_project(self, project: Project) -> None:
        self._ids.clear()

        def current(project: Project) -> tuple[PrototypeSegmenter, Listed] | None:
            now = project.versions.current
            return None if now is None else _loaded(project, now, "cpu")

        def done(found: Any) -> None:
            if found is None:
                # The model in use is the former project's.
                self._fits.begin_anew()
                self._show(Listed([], None))
            else:
                self._on_loaded(found[1].current, found)

        self._ask(current, done)


def _listed(project: Project) -> Listed:
    return Listed(project.versions.versions(), project.versions.current)


def _add(
    desk: Desk,
    fitted: Fitted,
    ids: Any,
    classes: Any,
    drawn: list[Drawn],
) -> Listed:
    """Write a fit as a version; the model it began with too, if that is none yet."""
    load_libraries()
    if desk.project is None:
        desk.project = new_project()
    versions, result = desk.project.versions, fitted.result
    annotations, _ = desk.drawn(classes, drawn)
    known_ids = {version.id for version in versions.versions()}
    for model, version_id in list(ids.items()):
        if version_id not in known_ids:  # deleted meanwhile, or of another project
            del ids[model]
    began, parent = result.began_with, ids.get(result.began_with)
    if parent is None and len(began.density_quantiles):
        # A model that came from elsewhere, or whose prototypes were edited since.
        kin = [known for known in ids if known.extractor is began.extractor]
        parent = versions.add(
            began,
            parent=ids[kin[-1]] if kin else None,
            what="edit" if kin else "start",
            name="" if kin else began.card.name,
        ).id
        ids[began] = parent
    version = versions.add(
        result.model,
        parent=parent,
        what=fitted.made,  # type: ignore[arg-type]
        annotations=annotations,
        settings=result.settings,
        measures=result.measures,
        seconds=result.seconds,
        strokes=result.strokes,
    )
    ids[result.model] = version.id
    return _listed(desk.project)


def _loaded(project: Project, version: str, device: str) -> tuple[PrototypeSegmenter, Listed]:
    model = project.versions.load(version, device)
    project.versions.current = version
    return model, _listed(project)


def _compared(
    project: Project, version: str, pixels: Any, rgb: bool, now: StackSegmentation
) -> tuple[str, Comparison, list[Any]]:
    from napari_gaussproto.core.base.steps import run
    from napari_gaussproto.core.measure.compare import compare
    from napari_gaussproto.core.model.stack import segment_stack_steps

    model = project.versions.load(version)
    former = run(segment_stack_steps(pixels, model, rgb=rgb))
    comparison = compare(former, now)
    return project.versions.get(version).name, comparison, list(comparison.classes)


def _save(project: Project, version: str, path: Path) -> None:
    from napari_gaussproto.core.editing.edits import named
    from napari_gaussproto.core.model.model_file import save_model

    save_model(named(project.versions.load(version), path.stem), path)
