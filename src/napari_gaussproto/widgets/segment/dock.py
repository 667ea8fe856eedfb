"""The Segment dock: from an image to classes and likelihood maps."""

from __future__ import annotations

import sys
import time
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError
from napari_gaussproto.core.model.maps import NOVELTY, OUTLINES, UNCERTAINTY, MapRole
from napari_gaussproto.jobs.large.order import LargeResult, LargeStep
from napari_gaussproto.jobs.requests import BatchOrder, SegmentRequest
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.jobs.train_image import Stage
from napari_gaussproto.widgets.layers.class_layers import show_labels
from napari_gaussproto.widgets.layers.following import (
    follow_images,
    leave_hidden_labels,
    show_what_is_picked,
)
from napari_gaussproto.widgets.layers.large_labels import is_large
from napari_gaussproto.widgets.layers.offers.channels import ChannelsOffer, missing_answer
from napari_gaussproto.widgets.layers.offers.outlines_switch import OutlinesSwitch
from napari_gaussproto.widgets.layers.offers.upright_offer import UprightOffer
from napari_gaussproto.widgets.layers.placement import (
    check_unchanged,
    has_channels,
    pixels_of,
    show_map,
    show_outlines,
    train_image,
    undisturbed,
)
from napari_gaussproto.widgets.layers.results import present_maps, take_over
from napari_gaussproto.widgets.segment.batch_panel import BatchPanel
from napari_gaussproto.widgets.segment.cells_panel import CellsPanel
from napari_gaussproto.widgets.segment.corrected_view import CorrectedView
from napari_gaussproto.widgets.segment.large_panel import LargePanel
from napari_gaussproto.widgets.segment.likelihood_panel import LikelihoodPanel
from napari_gaussproto.widgets.segment.maps_panel import MapsPanel
from napari_gaussproto.widgets.segment.measure_panel import MeasurePanel
from napari_gaussproto.widgets.shared.choosers import ImageChooser, ModelChooser, listed
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.forms import (
    NOTHING_RUNS,
    SlimBar,
    across,
    button,
    check_box,
    combo_box,
    down,
    enable,
    heading,
    setting,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.messages import duration
from napari_gaussproto.widgets.shared.preferences import preference
from napari_gaussproto.widgets.shared.share_table import CoverTable
from napari_gaussproto.widgets.shared.state import ImageResult, Setting, is_fitted
from napari_gaussproto.widgets.shared.tags import annotations_of
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackTile
    from napari_gaussproto.jobs.segment import SegmentResult

_STOP = "Stop at once; layers stay as they are"
_EXTRAS = {
    "probability": ("Probability", "Add a layer with the probability of each class"),
    "uncertainty": ("Uncertainty", "Add a layer that shows where the classes are a close call"),
    "novelty": ("Novelty", "Add a layer that shows what is unlike anything in the training data"),
    "outlines": ("Outlines of the cells", "Add a layer with the borders of the cells"),
}


class SegmentWidget(Dock):
    """Segment an image of the viewer with a prototype model."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, 320)
        self.runner = Runner(self)
        # The run that is under way, and when its tiles began.
        self._started: tuple[Image, SegmentRequest] | None = None
        self._tiles_begun = 0.0
        self._build()
        self._connect()
        self._on_image()
        self.keep(self._kept())
        self.find_devices(self._fill_devices)

    # -- the widgets ------------------------------------------------------------------------

    def _build(self) -> None:
        self.images = ImageChooser(self.viewer, lambda: self.runner.running)
        self.upright = UprightOffer(self.viewer, self.state, self.images, self.messages)
        self.channels = ChannelsOffer(self.viewer, self.state, self.images)
        self.models = ModelChooser(self.messages.warn, in_use=lambda: self.state.model)
        self.cells = CellsPanel(self.viewer, self.images)
        self.device = combo_box("Where to compute; auto takes the fastest there is", 8)
        self._fill_devices(["cpu"])
        self.extras = {key: check_box(*texts) for key, texts in _EXTRAS.items()}
        self.run_button = button("Segment", "", self.run)
        self.cancel_button = button("Cancel", "", self.runner.cancel)
        self.progress = SlimBar()
        self.likelihood = LikelihoodPanel(self.viewer, self.state, self.messages)
        self.maps = MapsPanel(self.viewer, self.state)
        self.likelihood.classes.clicked.connect(self.maps.show_classes)
        self.maps.in_view.connect(self.likelihood.show_other)
        self.outlines = OutlinesSwitch(self.viewer, self.state, self.messages)
        self.cover = CoverTable()
        self.large = LargePanel(self.viewer, self.state, self.images, self.cover)
        self.corrected = CorrectedView(
            self.viewer, self.state, self.images, self.cover, self.messages
        )
        self.measure = MeasurePanel(self.viewer, self.state, self.images, self.messages)
        self.batch = BatchPanel(self._order, self.state, self.messages)
        self.remarks = wrapped_label()
        tip = "Open the Train dock; a new one begins with this model"
        self.train_button = button("Train with a few strokes…", tip, self._open_train_dock)
        self.remarks.hide()
        self.train_button.hide()
        self.setWidget(self._arrange())

    def _arrange(self) -> QWidget:
        growth = QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow
        form = QFormLayout(fieldGrowthPolicy=growth)
        form.addRow("Image", self.images)
        form.addRow("Model", self.models)
        form.addRow("Device", self.device)
        form.addRow("Cells", self.cells)
        form.addRow("Also add", down(*self.extras.values(), spacing=2))
        buttons = across((self.run_button, 2), (self.cancel_button, 1))
        cover = down(self.corrected, self.cover, spacing=2)
        show = (heading("Show"), self.likelihood, self.maps, self.outlines, cover)
        top = (
            form,
            self.large,
            buttons,
            self.progress,
            self.status,
            self.remarks,
            self.train_button,
        )
        content = QWidget()
        content.setLayout(
            down(self.upright, self.channels, *top, *show, self.measure, self.batch, None)
        )
        return content

    def _kept(self) -> dict[str, Setting]:
        """What projects keep of the settings; where to compute is a matter of the machine."""
        boxes = {key: setting(box) for key, box in self.extras.items()}
        more = {"model": self.models.setting(), "cell_size": self.cells.setting()}
        return more | boxes | self.measure.kept() | self.batch.kept()

    def _connect(self) -> None:
        self.images.image_changed.connect(self._on_image)
        show_what_is_picked(self.viewer, self.images)
        leave_hidden_labels(self.viewer, self.images)
        self.connections.add(self.state.result_changed, self._on_image_result)
        self.connections.add(self.state.turned, self._on_image)
        self.connections.add(self.state.read_anew, self._on_image)
        self.models.combo.currentIndexChanged.connect(self._on_model)
        self.connections.add(self.state.model_changed, self._on_model_in_use)
        if self.state.model is not None:
            self._on_model_in_use(self.state.model)
        self._on_model()
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_segmented)
        self.runner.failed.connect(self.messages.report)
        self.runner.cancelled.connect(lambda: self.status.setText(self.large.rest()))
        self.runner.finished.connect(self._update_buttons)

    # -- actions ----------------------------------------------------------------------------

    def choose(self, model: str, device: str) -> None:
        """Choose a shipped model and a device, as a person would."""
        self.models.choose_shipped(model)
        self.device.setCurrentText(device)

    def _fill_devices(self, names: list[str]) -> None:
        chosen = self.device.currentText() or str(preference("device"))
        self.device.clear()
        self.device.addItems(["auto", *names])
        self.device.setCurrentText(chosen)

    def run(self) -> None:
        """Segment the chosen image."""
        image = self.images.image()
        if image is not None and self._missing() is None:
            self._launch(image, self.models.path())

    def _launch(self, image: Image, path: Path | None) -> None:
        self.runner.cancel()
        pixels = pixels_of(image)
        former = self.state.results.get(image)
        request = SegmentRequest(
            pixels=pixels,
            rgb=has_channels(image),
            file=train_image(image).file,
            model_file=path,
            device=self.device.currentText(),
            tile=int(preference("tile")) or "auto",
            extras=frozenset(key for key, box in self.extras.items() if box.isChecked()),
            prototype=self.state.prototype,
            known_key=self.state.model_key,
            cell_size=self.cells.chosen,
            present=[] if former is None else list(present_maps(self.viewer, former)),
            former_model=None if former is None else former.model,
            known_models=self.state.known_models(),
            memo=self.state.memo_of(image),
            follow_edges=self.state.follow_edges,
        )
        self._started = (image, request)
        self.progress.setRange(0, 0)
        known = "torch" in sys.modules
        self.status.setText("Getting ready…" if known else "Loading torch, the first time only…")
        if is_large(image):
            order = self.large.begin(image)
            self.runner.start(partial(run_job, "large.fill", "fill_job", request, order))
        else:
            self.runner.start(partial(run_job, "segment", "segment_job", request))
        self._update_buttons()

    def _order(
        self, folder: Path | None, out: Path, labels: str, maps: bool, closed: bool
    ) -> BatchOrder | str:
        """What to do with many images, by the model and the settings that are chosen here."""
        images = [] if folder else [train_image(layer) for layer in self.images.images()]
        needs_none = folder is not None or (closed and not images)
        missing = None if needs_none and self._has_model() else self._missing()
        if folder is None and missing is None:
            answers = ((layer.name, missing_answer(layer)) for layer in self.images.images())
            missing = next((f"{answer}, for “{name}”" for name, answer in answers if answer), None)
        return missing or BatchOrder(
            model_file=self.models.path(),
            device=self.device.currentText(),
            known_key=self.state.model_key,
            known_models=self.state.known_models(),
            cell_size=self.cells.chosen,
            tile=int(preference("tile")) or "auto",
            images=images,
            folder=folder,
            out=out,
            labels=labels,
            maps=maps,
            least_area=self.measure.least_area.value(),
            follow_edges=self.state.follow_edges,
        )

    def _open_train_dock(self) -> None:
        # A new one begins with the model that was run last; one that is there comes to the front.
        add = self.viewer.window.add_plugin_dock_widget
        area, _ = add("napari-gaussproto", "Train", tabify=True)
        area.raise_()

    # -- results ----------------------------------------------------------------------------

    def _on_progress(self, done: StackTile | Stage | LargeStep) -> None:
        if isinstance(done, Stage):
            self.progress.setRange(0, 0)
            self.status.setText(f"{done.text}…")
            self._tiles_begun = time.monotonic()
        elif isinstance(done, LargeStep):
            if self.large.take(done):
                self._tell_tiles(done.cover.done, done.cover.total, done.before)
            else:
                self.runner.cancel()
                self.status.setText("The image was removed; tiles that are done stay on disk.")
        else:
            plane = f"plane {done.plane}/{done.planes}, " if done.planes > 1 else ""
            self._tell_tiles(done.index, done.total, words=plane)

    def _tell_tiles(self, done: int, total: int, before: int = 0, words: str = "") -> None:
        """Say how many tiles are done, some of them before this run, and the time that is left."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        each = (time.monotonic() - self._tiles_begun) / max(1, done - before)
        left = f", {duration(each * (total - done))} left" if done > before else ""
        self.status.setText(f"{words}tile {done}/{total}{left}")

    def _on_segmented(self, result: SegmentResult | LargeResult) -> None:
        state = self.state
        if self._started is None:
            return
        image, request = self._started
        try:
            check_unchanged(self.viewer, image, request.pixels)
            if request.model_file is None and result.key != state.model_key:
                raise ConfigError(
                    "The model was fitted anew while the image was segmented: press Segment again."
                )
        except GaussProtoError as error:
            self.status.setText(str(error))
            show_info(str(error))
            return
        state.set_model(result.model, result.key)
        if isinstance(result, LargeResult):
            self.status.setText(f"{self.large.sentence(result)} {self.images.passed}".strip())
            return
        if state.model is not None and state.model is not result.model:
            # It was edited meanwhile; the cells are the same.
            again = partial(run_job, "segment", "again_job", request, result, state.model)
            self.runner.start(again)
            return
        self.status.setText("Adding the layers…")
        self.status.repaint()  # napari takes a while for each, and nothing is drawn meanwhile
        self._show(image, result)
        tiles = f", {result.tiles} tiles" if result.tiles > 1 else ""
        took = f"Done in {result.seconds:.1f} s on {result.provenance.device}{tiles}"
        loading = f", after {result.loading:.1f} s of loading" if result.loading >= 0.05 else ""
        if image is self.images.image():
            self.status.setText(f"{took}{loading}. {self.images.passed}".strip())
            return
        # Another one was chosen meanwhile; what is shown here is what that one gave, or nothing.
        if not image.visible:
            follow_images(self.viewer).hide(image)
        self._on_image()
        self.status.setText(f"{took}{loading}: “{image.name}”.")

    def _show(self, image: Image, found: SegmentResult) -> None:
        former = self.state.results.get(image)
        undo, provenance = self.state.undo, found.provenance
        if undo is not None:
            provenance = provenance.with_edits(undo.names)
        result = ImageResult(image, found.segmentation, provenance, model=found.model)
        with undisturbed(self.viewer):
            outlines = [] if found.outlines is None else [OUTLINES]
            take_over(self.viewer, self.state, result, [*found.maps, *outlines])
            show_labels(self.viewer, result, found.segmentation.labels)
            for role, values in found.maps.items():
                name = _title(role, result)
                if name is None and role not in result.maps:
                    continue  # a pinned map that the person removed during the run
                title = result.maps[role].name if name is None else f"{image.name} – {name}"
                show_map(self.viewer, result, role, values, title, visible=False)
            if found.outlines is not None:
                about = (result.maps.get(OUTLINES), found.outlines, f"{image.name} – cells")
                layer = show_outlines(self.viewer, image, *about, visible=False)
                result.maps[OUTLINES] = layer
            self.state.set_result(result)
            self.likelihood.show_prototype(result, found.prototype, found.likelihood)
        drawn = annotations_of(self.viewer, image)
        if former is None and image is self.images.image() and not drawn:
            # The first time, what a person wants next is to look at the labels and to brush.
            self.viewer.layers.selection.active = result.labels

    def _on_image(self, *_: object) -> None:
        image = self.images.image()
        result = self.state.results.get(image)
        if result is None:
            self._show_no_result()
        elif result is self.state.current:
            self._on_image_result(result)
        else:
            self.state.set_result(result)
        if not self.runner.running:
            self.status.setText(f"{self._missing()}." if self._missing() else "")
        self._update_buttons()

    def _show_no_result(self) -> None:
        """Show nothing of what another image gave: it would be taken for this one's."""
        self.likelihood.show_result(None)
        self.maps.show_result(None)
        for part in (self.corrected, self.cover, self.remarks, self.train_button):
            part.hide()
        self.large.refresh()

    def _on_image_result(self, result: ImageResult) -> None:
        if result.source is not self.images.image():
            self._show_no_result()
            return
        segmentation = result.segmentation
        self.corrected.refresh()
        self.likelihood.show_result(result)
        self.maps.show_result(result)
        self.remarks.setText("<br>".join(escape(remark) for remark in segmentation.remarks))
        self.remarks.setVisible(bool(segmentation.remarks))
        self.train_button.setVisible(segmentation.is_unlike)

    def _on_model(self, index: int = 0) -> None:
        if self.models.is_current and self.state.model is not None:
            self.cells.set_config(self.state.model.config)
        else:
            self.cells.set_model(self.models.path())
        self._update_buttons()

    def _update_buttons(self) -> None:
        running = self.runner.running
        if not running:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)
            self._started = None
            self.large.end()
        obstacle = "An image is being segmented" if running else self._missing() or ""
        enable(self.run_button, "Segment the chosen image", obstacle)
        enable(self.cancel_button, _STOP, "" if running else NOTHING_RUNS)

    def _missing(self) -> str | None:
        """What a person must do before anything can be segmented."""
        if self.images.image() is None:
            return "Open an image first: File > Open, or File > Open Sample"
        if not self._has_model():
            return "Choose a model first"
        return missing_answer(self.images.image())

    def _has_model(self) -> bool:
        return self.models.is_current or self.models.path() is not None

    def _on_model_in_use(self, model: PrototypeSegmenter) -> None:
        """Offer a model that was fitted here, and is in no file yet."""
        key = self.state.model_key
        name = listed(model.card) if key is not None and is_fitted(key) else None
        if name != self.models.current:
            self.models.offer_current(name)
            self._on_model()

    def abandon(self) -> None:
        """End all work when the dock is closed; results stay."""
        self.cells.abandon()
        self.likelihood.abandon()
        self.measure.abandon()
        self.corrected.abandon()
        super().abandon()


def _title(role: MapRole, result: ImageResult) -> str | None:
    """What a map is called, if not by the prototype that it shows."""
    if role.is_probability and role.number is not None:
        return f"probability of {result.segmentation.classes[role.number].name}"
    return role.kind if role in (NOVELTY, UNCERTAINTY) else None
