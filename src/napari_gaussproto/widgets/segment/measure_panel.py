"""The part of the Segment dock that measures the image that is shown."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QFormLayout, QSpinBox

from napari_gaussproto.jobs.large.order import LargeMeasure
from napari_gaussproto.jobs.requests import MeasureOrder
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.class_layers import REMOVED, is_removed
from napari_gaussproto.widgets.layers.clicks import is_click, moves_image, pixel_in
from napari_gaussproto.widgets.layers.large_labels import is_large, labels_of, streamed_of
from napari_gaussproto.widgets.layers.regions import regions_of
from napari_gaussproto.widgets.segment.corrections import corrections_box, offer_corrections
from napari_gaussproto.widgets.segment.pixel_sizes import PixelSizes, same_size
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import (
    NOTHING_RUNS,
    Foldable,
    SlimBar,
    across,
    button,
    combo_box,
    down,
    enable,
    setting,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.messages import Messages, duration
from napari_gaussproto.widgets.shared.result_table import Column, ResultTable
from napari_gaussproto.widgets.shared.state import ImageResult, OpenProject, Setting, SharedState
from napari_gaussproto.widgets.shared.tags import is_ours
from napari_gaussproto.widgets.shared.workarounds import camera_of
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.io.batch.regions import Polygons
    from napari_gaussproto.jobs.batch.measure import Measured
    from napari_gaussproto.jobs.large.order import Streamed
    from napari_gaussproto.jobs.requests import Drawn
    from napari_gaussproto.jobs.train_image import Stage

_PIECES, _WHOLE = "connected pieces", "the whole image"
_LARGE = (
    "A large image is segmented again to be measured, tile by tile, and its pixels are summed up: "
    "it takes longer than to segment it."
)
# How numbers of a column are written; others have six digits that count.
_FORMS = {"object": "d", "area_px": "d", "confidence": ".2f", "novelty": ".2f", "likelihood": ".2f"}


class _Subject:
    """What was measured: an image, the shape of its labels (..., H, W), their layer; and how.

    Layers that were removed are not held in memory by it.
    """

    def __init__(
        self, image: Image, shape: tuple[int, ...], labels: Labels | None, pixel_size: str
    ) -> None:
        self.image, self.shape, self.pixel_size = ref(image), shape, pixel_size
        self._layer = ref(image if labels is None else labels)

    @property
    def layer(self) -> Layer | None:
        """The layer whose pixels are those of the labels."""
        return self._layer() or self.image()


class MeasurePanel(Foldable):
    """Measures cover and objects of the chosen image; a row shows its object, and back."""

    def __init__(
        self, viewer: Viewer, state: SharedState, images: ImageChooser, messages: Messages
    ) -> None:
        tip = "Cover in real units, and size, shape and place of every object"
        super().__init__("Measure", tip)
        self._viewer, self._state, self._messages = viewer, state, messages
        self._images = images
        self._measured: Measured | None = None
        # What the table is about, and what is being measured.
        self._of: _Subject | None = None
        self._asked: _Subject | None = None
        self._named: WeakSet[Layer] = WeakSet()  # whose names are followed
        self._failed = ""  # what stands below Segment, too
        self._begun = 0.0  # seconds, of `time.monotonic`
        self._sizes = PixelSizes(images)
        self.runner = Runner(self)
        self._build()
        self.runner.progressed.connect(self._on_progress)
        self.runner.cancelled.connect(lambda: self.status.setText("Cancelled."))
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.finished.connect(self._update)
        self._connections = connections = Connections(self)
        events = viewer.layers.events
        for event in (events.inserted, events.removed):
            connections.add(event, self._on_layers)
        connections.add(state.result_changed, self._on_image)
        connections.add(state.streamed_changed, self._on_image)
        connections.add(state.project_changed, self._update)
        images.image_changed.connect(self._on_image)
        self.header.toggled.connect(self._listen)
        self.pixel_size.textChanged.connect(self._tell_size)
        self._on_layers()
        self._on_image()

    def _build(self) -> None:
        tip = "What an object is: a connected piece of a class, or a label of a layer"
        self.objects = combo_box(tip, 8)
        self.regions = combo_box("Shapes, such as the plots of a trial, that are told apart", 8)
        self.least_area = QSpinBox(minimum=1, maximum=10_000_000, value=16, suffix=" px")
        self.least_area.setToolTip("Smaller objects are left out")
        self.pixel_size, self.size_of_all = self._sizes.field, self._sizes.of_all
        self.corrections = corrections_box("Measure")
        self.run_button = button("Measure", "", self.run)
        self.cancel_button = button("Cancel", "", self.runner.cancel)
        self.progress = SlimBar()
        self.status, self.areas, self.former = (wrapped_label() for _ in range(3))
        self.large = wrapped_label(_LARGE)
        self.table = ResultTable()
        self.table.setMinimumHeight(180)
        self.table.row_chosen.connect(self._go_to)
        copy = "Copy the table of objects, to paste it into a spreadsheet"
        self.copy_button = button("Copy", copy, self._copy)
        save = "Save the objects as CSV, and the cover beside them"
        self.save_button = button("Save CSV…", save, self._ask_where)
        form = QFormLayout(fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Objects", self.objects)
        form.addRow("Regions", self.regions)
        form.addRow("At least", self.least_area)
        form.addRow("Pixel size", self.pixel_size)
        form.addRow(self.size_of_all)
        form.addRow(self._sizes.refusal)
        form.addRow("", self.corrections)
        below = across(self.copy_button, self.save_button, None)
        run = across((self.run_button, 2), (self.cancel_button, 1))
        words = (self.progress, self.status, self.former, self.areas)
        parts = (form, self.large, run, *words, self.table, below)
        self.set_content(down(*parts, spacing=4))

    def kept(self) -> dict[str, Setting]:
        """Settings for projects to keep."""
        return {**self._sizes.kept(), "least_area": setting(self.least_area)}

    # -- actions ----------------------------------------------------------------------------

    def run(self) -> None:
        """Measure the chosen image as it is in the viewer, or a large one as it is on disk."""
        large, result = self._large(), self._result()
        if large is not None:
            self._measure_large(*large)
        elif result is not None:
            self._measure(result)

    def _measure(self, result: ImageResult) -> None:
        labels = result.segmentation.labels if result.labels is None else result.labels.data
        objects = self._chosen(self.objects)
        order = MeasureOrder(
            name=result.source.name,
            segmentation=result.segmentation,
            labels=np.array(labels),  # what is painted meanwhile is not half of it
            instances=None if objects is None else np.array(objects.data),
            regions=self._regions(result.source),
            pixel_size=self.pixel_size.text(),
            least_area=self.least_area.value(),
            drawn=self._drawn_on(result.source),
        )
        about = (result.source, result.segmentation.shape, result.labels)
        self._asked = _Subject(*about, order.pixel_size)
        self._start(partial(run_job, "batch.measure_shown", "measure_job", order))

    def _measure_large(self, image: Image, made: Streamed) -> None:
        objects, project = self._chosen(self.objects), self._project
        order = LargeMeasure(
            name=image.name,
            made=made,
            instances=None if objects is None else objects.data,
            regions=self._regions(image),
            pixel_size=self.pixel_size.text(),
            least_area=self.least_area.value(),
            drawn=None if project is None else project.drawn(),
        )
        about = (image, made.labels.shape, labels_of(self._viewer, made))
        self._asked = _Subject(*about, order.pixel_size)
        self._start(partial(run_job, "large.measure", "measure_job", order))

    def _start(self, job: partial[Any]) -> None:
        self._messages.withdraw(self._failed)
        self._begun = time.monotonic()
        self.status.setText("Measuring…")
        self.progress.setRange(0, 0)
        self.runner.start(job)
        self._update()

    def _regions(self, image: Image) -> dict[str, Polygons]:
        shapes = self._chosen(self.regions)
        return {} if shapes is None else regions_of(shapes, image)

    def _drawn_on(self, image: Image) -> Drawn | None:
        project = self._project
        return None if project is None else project.drawn_on(image)

    @property
    def _project(self) -> OpenProject | None:
        """The project whose labels overrule predictions, if they should."""
        return self._state.project if self.corrections.isChecked() else None

    def _result(self) -> ImageResult | None:
        """The result of the chosen image: the current one may be of another."""
        return self._state.results.get(self._images.image())

    def _large(self) -> tuple[Image, Streamed] | None:
        """The chosen image, if it is a large one that has labels on disk."""
        image = self._images.image()
        if image is None or image in self._state.results:
            return None
        made = streamed_of(self._state, image)
        return None if made is None else (image, made)

    def save(self, path: Path) -> None:
        """Write the objects to a CSV file, and the areas to one beside it."""
        from napari_gaussproto.io.batch.tables import write_table

        if self._measured is not None:
            write_table(self._measured.objects, path)
            write_table(self._measured.areas, path.with_name(f"{path.stem}-areas.csv"))

    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save objects", "objects.csv", "CSV (*.csv)")
        if name:
            self.save(Path(name).with_suffix(".csv"))

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.table.as_text())

    def _listen(self, on: bool) -> None:
        """While the section is open, a click on an object chooses its row."""
        clicks = self._viewer.mouse_drag_callbacks
        if on and self._on_press not in clicks:
            clicks.append(self._on_press)
        elif not on and self._on_press in clicks:
            clicks.remove(self._on_press)

    def abandon(self) -> None:
        """Listen to the canvas no more; the dock is closed."""
        self._listen(False)

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if (yield from is_click(event)) and moves_image(viewer) and self._of is not None:
            self._choose_at(self._of, event.position)

    def _choose_at(self, of: _Subject, position: Any) -> None:
        image = of.image()
        place = None if image is None else pixel_in(image, of.shape, position)
        if place is None or self._measured is None:
            return
        at, y, x = place
        leading = of.shape[:-2]
        plane = int(np.ravel_multi_index(at, leading)) if leading else 0
        row = self._measured.object_at(plane, y, x)
        if row is not None:
            # The object is in view already, and stays where the person looks.
            with QSignalBlocker(self.table):
                self.table.choose(row)

    def _go_to(self, row: int) -> None:
        """Bring an object into the middle of the view, on its plane."""
        of, measured = self._of, self._measured
        layer = None if of is None else of.layer
        if of is None or measured is None or layer is None:
            return
        if of.image() not in self._viewer.layers:
            return
        place = measured.objects.iloc[row]
        leading = of.shape[:-2]
        plane = np.unravel_index(int(place["plane"]) - 1, leading) if leading else ()
        at = layer.data_to_world((*plane, place["y_px"], place["x_px"]))
        # Another layer may have more axes, which come first.
        first = self._viewer.dims.ndim - len(at)
        self._viewer.dims.set_point(range(first, first + len(plane)), at[: len(plane)])
        camera = camera_of(self._viewer)
        camera.center = (0.0, *at[-2:])

    # -- what happens -----------------------------------------------------------------------

    def _on_progress(self, stage: Stage) -> None:
        self.progress.setRange(0, stage.total)
        self.progress.setValue(stage.done)
        each = (time.monotonic() - self._begun) / max(1, stage.done)
        left = f", {duration(each * (stage.total - stage.done))} left" if stage.done else ""
        self.status.setText(f"{stage.text}{left}…")

    def _on_result(self, measured: Measured) -> None:
        self._measured, self._of = measured, self._asked
        objects, areas = measured.objects, measured.areas
        self._tell_size()
        corrected = (areas["labels"] != "predicted").any()
        how = ", with corrections" if corrected else ""
        self.status.setText(f"{len(objects)} objects{how}.")
        self.areas.setText("<br>".join(_sentences(areas)))
        # Columns that say nothing here are in the file alone.
        hidden = {"labels", "image"} | (set() if objects["plane"].nunique() > 1 else {"plane"})
        hidden |= set() if objects["region"].any() else {"region"}
        names = [str(name) for name in objects if name not in hidden]
        self.table.show_columns([_column(name, objects[name].tolist()) for name in names])

    def _tell_size(self) -> None:
        """Say whether the table is of another size of a pixel than stands above."""
        of, image = self._of, self._images.image()
        self.former.hide()
        if of is None or image is None or of.image() is not image:
            return
        if not same_size(of.pixel_size, self.pixel_size.text()):
            size = of.pixel_size.strip()
            how = f"with pixels of {size}" if size else "in pixels alone"
            self.former.show()
            self.former.setText(f"Measured {how}: press Measure for the size that stands above.")

    def _on_failure(self, error: Exception) -> None:
        self._failed = str(error)
        self.status.setText(self._failed)
        self._messages.report(error)

    def _on_layers(self, event: object = None) -> None:
        from napari.layers import Labels, Shapes

        layers = [layer for layer in self._viewer.layers if not is_ours(layer)]
        for layer in layers:
            if layer not in self._named:
                self._named.add(layer)
                self._connections.add(layer.events.name, self._on_layers)
        labels = [la for la in layers if isinstance(la, Labels) and not la.multiscale]
        _offer(self.objects, _PIECES, labels)
        _offer(self.regions, _WHOLE, [layer for layer in layers if isinstance(layer, Shapes)])
        self._update()

    def _chosen(self, combo: QComboBox) -> Any:
        key = combo.currentData()
        return next((la for la in self._viewer.layers if str(la.unique_id) == key), None)

    def _on_image(self, *_: object) -> None:
        self._sizes.show()
        self._tell_size()
        self._update()

    def _update(self, event: object = None) -> None:
        image, result = self._images.image(), self._result()
        lacks = image is not None and is_large(image) and result is None
        known = result is not None or self._large() is not None
        missing = "" if known else "Segment the image first"
        if result is not None and is_removed(self._viewer, result.labels):
            missing = REMOVED
        self.large.setVisible(lacks)
        running = self.runner.running
        missing = "It is being measured" if running else missing
        enable(self.cancel_button, "Stop at once", "" if running else NOTHING_RUNS)
        self.progress.setVisible(running)
        enable(self.run_button, "Measure the labels as they are, painted ones too", missing)
        offer_corrections(self.corrections, self._state.project)
        for part in (self.table, self.areas, self.copy_button, self.save_button):
            part.setVisible(self._measured is not None)


def _offer(combo: QComboBox, first: str, layers: list[Layer]) -> None:
    """Fill a list with layers; the chosen one stays chosen while it is there."""
    chosen = combo.currentData()
    with QSignalBlocker(combo):
        combo.clear()
        combo.addItem(first, None)
        for layer in layers:
            combo.addItem(layer.name, str(layer.unique_id))
        combo.setCurrentIndex(max(0, combo.findData(chosen)))


def _column(name: str, values: list[Any]) -> Column:
    words = all(isinstance(value, str) for value in values)
    return Column(name.replace("_", " "), values, "" if words else _FORMS.get(name, ".6g"))


def _sentences(areas: Any) -> list[str]:
    """Cover of the whole image and of every region, one line each; of a stack, the means."""
    real = next((column for column in areas.columns if column.startswith("area_")), None)
    lines = []
    for (image, region), every in areas.groupby(["image", "region"], sort=False):
        # Planes without data have no cover.
        planes = every.loc[every["cover_percent"].notna(), "plane"].nunique()
        seen = every.dropna(subset="cover_percent") if planes else every
        own = seen.groupby("class", sort=False).mean(numeric_only=True).reset_index()
        how = f", mean of {planes} planes" if planes > 1 else ""
        parts = [
            f"{escape(row['class'])} {row['cover_percent']:.1f}%"
            + ("" if real is None else f" ({row[real]:.6g} {real[5:-1]}²)")
            for row in own.to_dict("records")
        ]
        lines.append(f"<b>{escape(region or image)}</b>{how}: {', '.join(parts)}")
    return lines
