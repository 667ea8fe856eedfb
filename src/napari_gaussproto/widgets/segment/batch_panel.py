"""The part of the Segment dock that segments many images into a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QFormLayout, QLineEdit

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.jobs.train_image import Stage
from napari_gaussproto.widgets.segment.corrections import (
    NO_PROJECT,
    corrections_box,
    offer_corrections,
)
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import (
    NOTHING_RUNS,
    Foldable,
    SlimBar,
    across,
    button,
    check_box,
    combo_box,
    down,
    enable,
    setting,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.result_table import Column, ResultTable
from napari_gaussproto.widgets.shared.state import Setting, SharedState
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari_gaussproto.jobs.batch.one_image import BatchStep
    from napari_gaussproto.jobs.batch.order import BatchOutcome
    from napari_gaussproto.jobs.requests import BatchOrder

_OPEN, _FOLDER, _PROJECT = "all open images", "a folder", "all images of the project"
_CHOOSE = "Choose a folder; all folders in it are searched, too"
_STOP = "Stop after this tile; what is done stays, and a next time goes on"
_FORMATS = {"OME-TIFF": "tiff", "PNG": "png", "OME-Zarr": "zarr"}


class BatchPanel(Foldable):
    """Segments a folder, or all open images, and shows a table of their cover.

    Parameters
    ----------
    order : callable
        Gives what to do with a folder, or None for open images, and with the place for results,
        the format of labels, whether maps are wanted, and whether no image needs to be open; or a
        sentence why nothing can be done.
    state : SharedState
    messages : Messages
    """

    def __init__(
        self,
        order: Callable[[Path | None, Path, str, bool, bool], BatchOrder | str],
        state: SharedState,
        messages: Messages,
    ) -> None:
        tip = "Segment many images, and write labels, a table and a report into a folder"
        super().__init__("Batch: a folder, or all open images", tip)
        self._order, self._state, self._messages = order, state, messages
        self._begun = 0.0
        self._said = ""  # to be missing
        self._out: Path | None = None
        self.runner = Runner(self)
        self._build()
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(self._on_cancel)
        self.runner.finished.connect(self._update)
        Connections(self).add(state.project_changed, self._update)
        self._update()

    def _build(self) -> None:
        self.what = combo_box("What to segment", 8)
        self.what.addItems([_OPEN, _FOLDER, _PROJECT])
        self.what.currentTextChanged.connect(self._update)
        self.folder = QLineEdit(placeholderText="folder with photographs")
        self.out = QLineEdit(placeholderText="folder for the results")
        self.choose_folder = button("…", _CHOOSE, partial(self._choose, self.folder))
        choose_out = button("…", "Choose where results go", partial(self._choose, self.out))
        for edit in (self.folder, self.out):
            edit.textChanged.connect(self._update)
        self.format = combo_box("How labels are written", 6)
        self.format.addItems(list(_FORMATS))
        self.maps = check_box("Likelihood maps", "Write a map for every prototype as well")
        tip = "Write tables of objects and areas, as Measure does; it says the smallest object"
        self.tables = check_box("Measurements", tip)
        self.corrections = corrections_box("Results")
        self.run_button = button("Segment all", "", self.run)
        self.cancel_button = button("Cancel", "", self.runner.cancel)
        self.progress, self.status = SlimBar(), wrapped_label()
        self.table = ResultTable()
        self.table.setMinimumHeight(180)
        copy = "Copy the table, to paste it into a spreadsheet"
        self.copy_button = button("Copy", copy, self._copy)
        report = "Open report.html, with a picture of every image, in the browser"
        self.report_button = button("Report", report, self._open_report)
        growth = QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow
        form = QFormLayout(fieldGrowthPolicy=growth)
        form.addRow("Images", self.what)
        form.addRow("Folder", across((self.folder, 1), self.choose_folder, spacing=4))
        form.addRow("Results", across((self.out, 1), choose_out, spacing=4))
        form.addRow("Labels", self.format)
        form.addRow("", self.maps)
        form.addRow("", self.tables)
        form.addRow("", self.corrections)
        buttons = across((self.run_button, 2), (self.cancel_button, 1))
        below = across(self.copy_button, self.report_button, None)
        parts = (form, buttons, self.progress, self.status, self.table, below)
        self.set_content(down(*parts, spacing=4))

    def kept(self) -> dict[str, Setting]:
        """Settings for projects to keep."""
        named = {
            "images": self.what,
            "folder": self.folder,
            "out": self.out,
            "format": self.format,
            "maps": self.maps,
            "tables": self.tables,
            "corrections": self.corrections,
        }
        return {f"batch_{name}": setting(widget) for name, widget in named.items()}

    # -- actions ----------------------------------------------------------------------------

    def run(self) -> None:
        """Segment what is chosen."""
        if self._missing():
            return
        self._out = Path(self.out.text()).expanduser()
        folder = Path(self.folder.text()).expanduser() if self._wants_folder else None
        kind = _FORMATS[self.format.currentText()]
        about = (self.maps.isChecked(), self._wants_project)
        order = self._order(folder, self._out, kind, *about)
        if isinstance(order, str):
            self.status.setText(f"{order}.")
            return
        order = replace(order, tables=self.tables.isChecked())
        if (project := self._state.project) is not None:
            drawn = project.drawn()
            wanted = drawn if self.corrections.isChecked() else None
            order = replace(order, drawn=wanted, closed=drawn if self._wants_project else None)
        self.progress.setRange(0, 0)
        self.status.setText("Getting ready…")
        self.runner.start(partial(run_job, "batch.order", "batch_job", order))
        self._update()

    @property
    def _wants_folder(self) -> bool:
        return self.what.currentText() == _FOLDER

    @property
    def _wants_project(self) -> bool:
        return self.what.currentText() == _PROJECT

    def _choose(self, edit: QLineEdit) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a folder", edit.text())
        if name:
            edit.setText(name)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.table.as_text())

    def _open_report(self) -> None:
        if self._out is not None:
            path = self._out.absolute() / "report.html"
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))

    # -- what happens -----------------------------------------------------------------------

    def _on_progress(self, step: BatchStep | Stage) -> None:
        if isinstance(step, Stage):
            self.status.setText(f"{step.text}…")
            self._begun = time.monotonic()
            return
        # In thousandths: a large image moves the bar, too.
        self.progress.setRange(0, 1000 * step.total)
        done = step.done + step.share
        self.progress.setValue(round(1000 * done))
        self.status.setText(f"{step.done + 1}/{step.total}: {step.name}")

    def _on_result(self, outcome: BatchOutcome) -> None:
        result, took = outcome.result, time.monotonic() - self._begun
        kept = f", {len(result.kept)} of them before" if result.kept else ""
        count = len(result.images) + len(result.left_out)
        lines = [f"{len(result.images)} of {count} segmented{kept}, in {took:.0f} s."]
        if corrected := sum(entry.corrected for entry in result.images.values()):
            lines[0] += f" {corrected} with corrections."
        lines += [f"Left out {name}: {reason}" for name, reason in result.left_out.items()]
        self.status.setText("\n".join([*lines, *result.notes]))
        self._show(outcome)

    def _show(self, outcome: BatchOutcome) -> None:
        entries = list(outcome.rows.values())
        columns = [Column("image", list(outcome.rows))]
        for known in outcome.classes:
            shares = [entry.share_of(known.name) for entry in entries]
            columns.append(Column(known.name, shares, ".1%", known.color))
        columns += [
            Column("novelty", [entry.novelty for entry in entries], ".2f"),
            Column("uncertainty", [entry.uncertainty for entry in entries], ".2f"),
            Column("corrected", ["yes" * entry.corrected for entry in entries]),
            Column("remarks", [" ".join(entry.remarks) for entry in entries]),
        ]
        self.table.show_columns(columns)

    def _on_failure(self, error: Exception) -> None:
        self.status.setText(str(error))
        self._messages.report(error)

    def _on_cancel(self) -> None:
        self.status.setText("Cancelled; what is done stays in the folder, a next time goes on.")

    def _missing(self) -> str:
        """What a person must do before anything can be segmented."""
        if self._wants_folder and not self.folder.text().strip():
            return "Choose a folder with photographs first"
        if self._wants_project and self._state.project is None:
            return NO_PROJECT
        return "" if self.out.text().strip() else "Choose a folder for the results first"

    def _tell_missing(self, missing: str) -> None:
        """Say why nothing can be started, in the place of what was said of it before."""
        said = f"{missing}." if missing else ""
        if said or self.status.text() == self._said:
            self.status.setText(said)
        self._said = said

    def _update(self) -> None:
        running, missing = self.runner.running, self._missing()
        if not running:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)
        obstacle = "They are being segmented" if running else missing
        enable(self.run_button, "Segment all of them and write the results", obstacle)
        enable(self.cancel_button, _STOP, "" if running else NOTHING_RUNS)
        if not running:
            self._tell_missing(missing)
        offer_corrections(self.corrections, self._state.project)
        elsewhere = "" if self._wants_folder else f"Choose “{_FOLDER}” above first"
        enable(self.folder, "Where the photographs are", elsewhere)
        enable(self.choose_folder, _CHOOSE, elsewhere)
        done = self.table.count > 0
        for part in (self.table, self.copy_button, self.report_button):
            part.setVisible(done)
