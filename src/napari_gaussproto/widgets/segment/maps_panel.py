"""The part of the Segment dock that says which maps a run added, and shows one of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.model.maps import NOVELTY, OUTLINES, UNCERTAINTY, MapRole
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.legends import sentence_of
from napari_gaussproto.widgets.layers.placement import layer_of, undisturbed
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import down, fill, wrapped_label
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_OF_A_CLASS = "probability of {}"


class MapsPanel(QWidget):
    """Names the maps of an image, apart from those of prototypes; a click shows or hides one.

    Attributes
    ----------
    names, meaning : QLabel
        The maps as links, those in view in bold; and what the one in view shows.

    Notes
    -----
    Its signals:

    in_view(str)
        Which map is seen in the place of the classes; empty for none.
    """

    in_view = Signal(str)

    def __init__(self, viewer: Viewer, state: SharedState) -> None:
        super().__init__()
        self._viewer, self._state = viewer, state
        self._result: ImageResult | None = None
        self._known: WeakSet[Layer] = WeakSet()
        # The map that was chosen here in the place of the classes.
        self._chosen: MapRole | None = None
        self.names, self.meaning = wrapped_label(), wrapped_label()
        self.names.setTextFormat(Qt.TextFormat.RichText)
        self.names.linkActivated.connect(lambda link: self.toggle(MapRole.parse(link)))
        fill(self, down(self.names, self.meaning))
        self._connections = Connections(self)
        self._connections.add(state.shown_changed, self._on_shown)
        self._connections.add(viewer.layers.events.removed, self.refresh)
        self.hide()

    def show_result(self, result: ImageResult | None) -> None:
        """Name the maps of a result; of none, nothing."""
        self._result = result
        labels = [] if result is None or result.labels is None else [result.labels]
        for layer in (*labels, *(layer for _, layer in self._layers())):
            if layer not in self._known:
                self._known.add(layer)
                self._connections.add(layer.events.visible, self.refresh)
        self._keep_chosen()  # a new result shows the classes
        self.refresh()

    def _keep_chosen(self) -> None:
        """Let the map that was chosen here stay in the place of the classes."""
        chosen = dict(self._layers()).get(self._chosen) if self._chosen else None
        if chosen is not None and chosen.visible:
            self._set_classes(visible=False)

    def toggle(self, role: MapRole) -> None:
        """Show one map over the photograph, alone; or hide it and show the classes again."""
        layers = dict(self._layers())
        if self._result is None or role not in layers:
            return
        layer, show = layers[role], not layers[role].visible
        if role == OUTLINES:  # lines hide nothing
            layer.visible = show
            return
        self._chosen = role if show else None
        with undisturbed(self._viewer):
            self._state.show(likelihood=False)
            self._hide_maps(but=layer if show else None)
            layer.visible = show
            self._set_classes(visible=not show)

    def show_classes(self) -> None:
        """Show the classes in the place of a map."""
        self._hide_maps()
        self._set_classes(visible=True)

    def changeEvent(self, event: QEvent) -> None:
        """Write the links in the colour of the text, which comes only when a dock is shown."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._name()

    def refresh(self, event: object = None) -> None:
        """Say which maps there are and which are in view."""
        layers = self._layers()
        self.setVisible(bool(layers))
        self._name()
        shown = [role for role, layer in layers if layer.visible and role != OUTLINES]
        seen = shown or [role for role, layer in layers if layer.visible]
        sentence = self._sentence(seen[0]) if seen else ""
        self.meaning.setText(sentence)
        self.meaning.setVisible(bool(sentence))
        alone = bool(shown) and not self._shows_classes
        self.in_view.emit(self._title(shown[0]).capitalize() if alone else "")

    def _name(self) -> None:
        layers = self._layers()
        links = ", ".join(self._link(role, layer) for role, layer in layers)
        shown = [role for role, layer in layers if layer.visible and role != OUTLINES]
        what = "bold is in view; click again to hide it" if shown else "click one to show it"
        self.names.setText(f"Maps added: {links} ({what}).")

    def _layers(self) -> list[tuple[MapRole, Layer]]:
        """Maps of the result that are in the viewer, in the order of their numbers."""
        result = self._result
        if result is None:
            return []
        classes = range(len(result.segmentation.classes))
        roles = [NOVELTY, UNCERTAINTY, *map(MapRole.probability, classes), OUTLINES]
        found = [(role, layer_of(self._viewer, result, role)) for role in roles]
        return [(role, layer) for role, layer in found if layer is not None]

    def _sentence(self, role: MapRole) -> str:
        result = self._result
        if result is None:
            return ""
        strokes = None if result.model is None else result.model.card.strokes
        return sentence_of(role, result.segmentation, strokes)

    def _link(self, role: MapRole, layer: Layer) -> str:
        # Qt draws links in a blue that cannot be read on napari's dark background.
        ink = self.palette().color(QPalette.ColorRole.WindowText).name()
        link = f'<a href="{role}" style="color: {ink}">{escape(self._title(role))}</a>'
        return f"<b>{link}</b>" if layer.visible else link

    def _title(self, role: MapRole) -> str:
        """What a map is called in the dock."""
        if role.number is not None and self._result is not None:
            return _OF_A_CLASS.format(self._result.segmentation.classes[role.number].name)
        return "cells" if role == OUTLINES else role.kind

    def _on_shown(self) -> None:
        if self._state.shows_likelihood:
            self._hide_maps()
        else:
            self._keep_chosen()

    def _hide_maps(self, but: Layer | None = None) -> None:
        for role, layer in self._layers():
            # napari redraws everything for a layer that is hidden, even if it was.
            if role != OUTLINES and layer is not but and layer.visible:
                layer.visible = False

    @property
    def _shows_classes(self) -> bool:
        result = self._result
        return result is not None and follow_images(self._viewer).shows_classes(result.source)

    def _set_classes(self, *, visible: bool) -> None:
        if self._result is not None:
            follow_images(self._viewer).show_classes(self._result.source, visible)
