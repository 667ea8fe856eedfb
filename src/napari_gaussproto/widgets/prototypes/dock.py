"""The Prototypes dock: see what a model knows, ask why, and change it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLabel,
    QMessageBox,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QWidget,
)

from napari_gaussproto.core.model.maps import QUANTITIES
from napari_gaussproto.core.model.summary import with_suffix
from napari_gaussproto.widgets.layers.large_labels import streamed_of
from napari_gaussproto.widgets.layers.prototype_map import prototype_map
from napari_gaussproto.widgets.prototypes.edit_controller import EditController
from napari_gaussproto.widgets.prototypes.edit_panel import EditPanel
from napari_gaussproto.widgets.prototypes.edit_session import FOREIGN, EditSession
from napari_gaussproto.widgets.prototypes.gallery import GalleryView
from napari_gaussproto.widgets.prototypes.places_panel import PlacesPanel
from napari_gaussproto.widgets.prototypes.space_panel import SpacePanel
from napari_gaussproto.widgets.prototypes.tab_computation import TabComputation
from napari_gaussproto.widgets.prototypes.why_controller import WhyController
from napari_gaussproto.widgets.prototypes.why_panel import WhyPanel
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.forms import (
    ScrolledPage,
    across,
    button,
    down,
    enable,
    fill,
    hold,
    hold_panel,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.tags import is_cut_from
from napari_gaussproto.widgets.shared.workarounds import camera_of

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_gaussproto.core.explain.gallery import Gallery
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.jobs.large.order import Streamed

_EMPTY = (
    "Segment an image first:<br>"
    "Plugins > Gaussian Prototypes > Segment (Gaussian Prototypes).<br><br>"
    "Its prototypes then appear here."
)
LARGE = (
    "Of a large image its labels are kept, and no maps: the prototypes can be looked at and asked "
    "about, and are edited on an image that is not as large."
)
_OTHER = "The chosen one, “{}”, is not segmented yet: press Segment in the Segment dock."
_QUANTITY_TIPS = {
    "typicality": (
        "Share of the prototype's own cells that lie farther from it: of its training cells, or of "
        "those of the image that it was merged, split or added on"
    ),
    "responsibility": (
        "Share of the prototype in the answer for each place; those of a class sum to its "
        "probability"
    ),
    "log-likelihood": "Logarithm of the Gaussian density, on one scale for all prototypes",
}
_SAVE = "Save the model with its edits as a file"
_BUSY = "An edit is under way"
_CLOSE_UP = 3.0


class PrototypesWidget(Dock):
    """Gallery, explanations and edits of the prototypes of the current model."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, 360)
        self._map = prototype_map(viewer)
        self._gallery: Gallery | None = None
        self._moved = False
        self._connected: WeakSet[Image] = WeakSet()
        self.session = EditSession(self)
        self._build()
        self.why = WhyController(self, self.why_panel)
        self.edits = EditController(self, self.session, self.edit_panel)
        self.computation = TabComputation(self, self.tabs, self.places, self.space)
        self._connect()
        self.refresh()

    # -- the widgets ------------------------------------------------------------------------

    def _build(self) -> None:
        self.model_name, self.image_name = wrapped_label(), wrapped_label()
        self.image_name.setTextFormat(Qt.TextFormat.PlainText)
        # A long file name must not make the dock wide; the tooltip has all of it.
        self.image_name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Maximum)
        self.undo_button = button("Undo", "", self.session.undo)
        self.redo_button = button("Redo", "", self.session.redo)
        self.save_button = button("Save…", _SAVE, self._ask_where)
        self.gallery = GalleryView()
        self.quantity = QComboBox()
        self.quantity.addItems(QUANTITIES)
        for i, name in enumerate(QUANTITIES):
            self.quantity.setItemData(i, _QUANTITY_TIPS[name], Qt.ItemDataRole.ToolTipRole)
        self.quantity.setToolTip(_QUANTITY_TIPS["typicality"])
        self.classes_button = button("Classes", "", lambda: self.state.show(likelihood=False))
        tip = "Keep this prototype's map as a layer of its own"
        self.pin = button("Pin", tip, self._pin)
        self.why_panel, self.edit_panel = WhyPanel(), EditPanel()
        self.places, self.space = PlacesPanel(), SpacePanel()
        self.tabs = QTabWidget()
        for panel, title, tip in (
            (self.why_panel, "Why?", "Which prototypes made a place what it is"),
            (self.edit_panel, "Edit", "Change the chosen prototype, or add one"),
            (self.places, "Look next", "Places worth a look or an annotation"),
            (self.space, "Space", "The latent space as a picture"),
        ):
            self.tabs.addTab(panel, title)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        self._arrange()

    def _arrange(self) -> None:
        show = across(QLabel("Map"), (self.quantity, 1), self.classes_button, self.pin)
        self._splitter = splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        splitter.addWidget(fill(QWidget(), down((self.gallery, 1), show)))
        splitter.addWidget(self.tabs)
        splitter.setStretchFactor(0, 1)
        splitter.splitterMoved.connect(self._on_moved)
        self.tabs.currentChanged.connect(self._divide)
        self._divide()
        steps = (self.undo_button, self.redo_button, self.save_button)
        top = across((self.model_name, 1), *steps)
        full = fill(ScrolledPage(), down(top, self.image_name, (splitter, 1), self.status))
        self.empty = wrapped_label(_EMPTY)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.empty)
        self._pages.addWidget(full)
        content = QWidget()
        content.setLayout(down(self._pages))
        self.setWidget(content)

    def _divide(self, index: int = 0) -> None:
        """Let the open tab have the room that it needs, and the gallery the rest."""
        for i in range(self.tabs.count()):
            page, is_open = self.tabs.widget(i), i == self.tabs.currentIndex()
            policy = page.sizePolicy()
            how = QSizePolicy.Policy.Preferred if is_open else QSizePolicy.Policy.Ignored
            policy.setVerticalPolicy(how)
            page.setSizePolicy(policy)
            if not is_open:
                page.setMinimumHeight(0)
        if not self._moved:
            self._splitter.setSizes([self.height(), 0])

    def _on_moved(self, *_: int) -> None:
        self._moved = True  # from now on the person divides

    def _connect(self) -> None:
        state = self.state
        layers = self.viewer.layers.events
        for signal, slot in (
            (state.model_changed, self.session.cancel_stale),
            (state.result_changed, self._on_image_result),
            (state.streamed_changed, self._on_streamed),
            (state.model_changed, self._update_editable),  # with the results follows the rest
            (state.prototype_changed, self._on_prototype),
            (state.shown_changed, self._on_shown),
            (layers.removed, self._on_removed),
            (state.image_noted, self._on_noted),
            (state.turned, self._on_turned),
            (layers.inserted, self.edits.refresh_labels),
            (layers.removed, self.edits.refresh_labels),
        ):
            self.connections.add(signal, slot)
        self.gallery.chosen.connect(self.choose)
        self.gallery.renamed.connect(self.edits.rename)
        self.gallery.switched.connect(self.edits.switch)
        self.why_panel.chosen.connect(self.choose)
        self.space.chosen.connect(self.choose)
        self.places.chosen.connect(self.go_to)
        self.why.add_wanted.connect(self.edits.add_prototype)
        self.session.failed.connect(self.refresh)
        self.session.busy_changed.connect(self._on_busy)
        self.session.saved.connect(self._on_saved)
        self.quantity.activated.connect(self._on_quantity)

    # -- actions ----------------------------------------------------------------------------

    def choose(self, m: int) -> None:
        """Choose a prototype; its map shows at once."""
        self.state.select_prototype(m)
        if not self.state.shows_likelihood:
            self.state.show(likelihood=True)

    def go_to(self, y: int, x: int) -> None:
        """Move the camera to a pixel of the current image, and explain it."""
        result = self.state.current
        if result is None or result.source not in self.viewer.layers:
            return
        leading = self.computation.leading(result)
        channels = (0,) * (result.source.ndim - result.ndim)  # an axis that the result lacks
        point = result.source.data_to_world((*channels, *leading, y, x))
        camera = camera_of(self.viewer)
        scale = float(abs(result.source.scale[-2:]).mean())
        camera.center = tuple(point[-2:])
        camera.zoom = max(camera.zoom, _CLOSE_UP / scale)
        self.why.ask(leading, y, x)

    def _pin(self) -> None:
        self.messages.tell(self._map.pin(self.state.prototype))

    def _on_quantity(self, index: int) -> None:
        name = QUANTITIES[index]
        self.quantity.setToolTip(_QUANTITY_TIPS[name])
        self.state.show(quantity=name, likelihood=True)

    def _ask_where(self) -> None:
        model = self.state.model
        if model is None:
            return
        start = f"{model.card.name.replace(', ', '-')}-edited.safetensors"
        name, _ = QFileDialog.getSaveFileName(self, "Save model", start, "Models (*.safetensors)")
        if not name:
            return
        path = with_suffix(name)
        # The dialog asked about the name as it was typed.
        if str(path) != name and path.exists():
            question = f"{path.name} is there already. Replace it?"
            answer = QMessageBox.question(self, "Save model", question)
            if answer != QMessageBox.StandardButton.Yes:
                return
        self.session.save(path)

    # -- what changes -----------------------------------------------------------------------

    def _on_image_result(self, result: ImageResult) -> None:
        if result.model is not self.state.model and self.session.editable:
            # Segmented while the model was edited.
            self.session.catch_up()
        self.edits.hide_former_change(result)
        self.refresh()
        if not self.session.editable:
            self.status.setText(FOREIGN)
        self.why.ask_again()

    def _on_removed(self, event: Any) -> None:
        """Turn to another image that has a result when the current one is removed."""
        state = self.state
        gone = state.current is None or event.value is state.current.source
        state.remove_result(event)  # the order in which the two are called is not known
        if gone:
            self._show_another()
        self._on_name()

    def _on_turned(self, *_: object) -> None:
        """Turn to another image, too, when the current one lost its result."""
        if self.state.current is None:
            self._show_another()

    def _show_another(self) -> None:
        state = self.state
        left = [image for image in self.viewer.layers if image in state.results]
        if left:
            state.set_result(state.results[left[-1]])
        else:
            self.why.reset()
            self.refresh()

    def _on_name(self) -> None:
        result, large = self.state.current, self._large()
        image = large[0] if result is None and large is not None else result and result.source
        if image:
            other = self._unsegmented(image)
            more = f". {_OTHER.format(other.name)}" if other is not None else ""
            self.image_name.setText(f"Image: {image.name}{more}")
            self.image_name.setToolTip(f"All that is shown here is about {image.name}")

    def _follow_name(self, image: Image) -> None:
        if image not in self._connected:
            self._connected.add(image)
            self.connections.add(image.events.name, self._tell_chosen)

    def _on_noted(self, image: Image) -> None:
        self._follow_name(image)
        self._tell_chosen()

    def _tell_chosen(self, _: object = None) -> None:
        """Say of which image all is that stands here, where another one is chosen."""
        self._on_name()
        shown = self.state.current
        self.why.turn_to(None if shown is None else self._unsegmented(shown.source))

    def _unsegmented(self, shown: Image) -> Image | None:
        """The image at work, where it is another one that nothing is known of yet."""
        image, state = self.state.image, self.state
        if image is None or image not in self.viewer.layers or image in state.results:
            return None
        known = is_cut_from(image, shown) or streamed_of(state, image) is not None
        return None if known else image

    def _on_prototype(self, m: int) -> None:
        self.gallery.select(m)
        self.space.select(m)
        self._show_chosen()

    def _on_shown(self) -> None:
        self.quantity.setCurrentText(self.state.quantity)
        shown = "" if self.state.shows_likelihood else "The classes are shown already"
        enable(self.classes_button, "Show the classes again instead of the map", shown)

    def _on_busy(self, busy: bool) -> None:
        self.edit_panel.allow_training(_BUSY if busy else "")
        self._update_undo()

    def _on_saved(self, path: Path) -> None:
        self.status.setText(f"Saved as {path.name}.")
        self._update_undo()

    def refresh(self) -> None:
        """Show model and result as they are now."""
        result, large = self.state.current, self._large()
        if result is not None and result.model is not None:
            share = result.segmentation.prototype_share().tolist()
            self._show_model(result.source, result.model, share)
        elif large is not None:
            self._show_model(large[0], large[1].model, None)
        else:
            self._pages.setCurrentIndex(0)
            self.why_panel.button.setChecked(False)
            return
        hold("" if result is not None else LARGE, self.quantity, self.pin)
        self.edits.refresh_labels()
        self._show_chosen()
        self._update_editable()
        self._on_shown()
        self.computation.mark_stale()

    def _large(self) -> tuple[Image, Streamed] | None:
        """The large image that was segmented last, of those that are there."""
        made = {image: streamed_of(self.state, image) for image in self.state.streamed}
        shown = [(i, m) for i, m in made.items() if m is not None and i in self.viewer.layers]
        return shown[-1] if shown else None

    def _show_model(
        self, image: Image, model: PrototypeSegmenter, share: list[float] | None
    ) -> None:
        from napari_gaussproto.core.explain.gallery import gallery  # loads torch

        self._pages.setCurrentIndex(1)
        self._follow_name(image)
        self._on_name()
        self._gallery = gallery(model)
        about = (self._gallery, model.classes, share)
        self.gallery.show_gallery(*about, self.state.prototype)

    def _on_streamed(self, image: Image) -> None:
        if self.state.current is None:
            self.refresh()
        else:
            self._on_name()  # no more that this one is not segmented

    def _update_editable(self) -> None:
        """Offer edits only where they are edits of what is shown."""
        obstacle = self._obstacle
        hold_panel(obstacle, self.edit_panel)
        self.gallery.allow_editing(obstacle)
        self.why.allow_adding(obstacle)
        self._update_undo()
        said = self.status.text()
        if said in (FOREIGN, LARGE) and said != obstacle:
            self.status.clear()
        if obstacle and not self.status.text():
            self.status.setText(obstacle)

    @property
    def _obstacle(self) -> str:
        """Why nothing can be edited now; empty where it can."""
        if self.state.current is None and self._large() is not None:
            return LARGE
        return "" if self.session.editable else FOREIGN

    def _show_chosen(self) -> None:
        result = self.state.current
        groups = [] if self._gallery is None else self._gallery.groups
        entries = {entry.index: entry for group in groups for entry in group.prototypes}
        entry = entries.get(self.state.prototype)
        if result is None or result.model is None or entry is None:
            return
        from napari_gaussproto.core.explain.health import similar_siblings

        prototypes = result.model.prototypes
        siblings = similar_siblings(result.model, entry.index) if entry.active else []
        named = [(i, prototypes[i].name) for i in siblings]
        self.edit_panel.show_prototype(entry, result.segmentation.classes, named)

    def _update_undo(self) -> None:
        undo, obstacle = self.state.undo, _BUSY if self.session.busy else self._obstacle
        taken, again = (undo.undo_name, undo.redo_name) if undo else ("", "")
        for step, what, name, nothing in (
            (self.undo_button, "Undo", taken, "There is no edit to undo"),
            (self.redo_button, "Redo", again, "Nothing was undone"),
        ):
            enable(step, f"{what}: {name}", obstacle if name else nothing)
        model = self.state.model
        self._name_model()
        enable(self.save_button, _SAVE, "" if model is not None else "There is no model yet")

    def _name_model(self) -> None:
        """Say whose prototypes are shown: of labels on disk those of the model that made them."""
        state, large = self.state, self._large()
        shown = large[1].model if state.current is None and large is not None else state.model
        if shown is None:
            return
        is_ours = state.model is not None and shown.layer is state.model.layer
        unsaved = " *" if is_ours and state.model is not state.saved else ""
        self.model_name.setText(f"<b>{shown.card.name}</b>{unsaved}")
        names = state.undo.names if is_ours and state.undo else []
        edits = "\n".join(names) or "not edited"
        self.model_name.setToolTip(f"The model; its edits:\n{edits}")

    # -- the end ----------------------------------------------------------------------------

    def abandon(self) -> None:
        """Stop listening and working; a model that is being saved is written to the end."""
        self.why.abandon()
        self.session.cancel()
        super().abandon()

    def hideEvent(self, event: Any) -> None:
        """Free the mouse when the dock is not seen any more."""
        self.why_panel.button.setChecked(False)
        super().hideEvent(event)
