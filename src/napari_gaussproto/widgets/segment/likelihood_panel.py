"""The part of the Segment dock that shows where each prototype is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QComboBox, QMenu, QMessageBox, QSizePolicy, QWidget

from napari_gaussproto.core.model.maps import LIKELIHOOD, likelihoods
from napari_gaussproto.widgets.layers.placement import show_stack, undisturbed
from napari_gaussproto.widgets.layers.prototype_map import prototype_map
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    down,
    enable,
    fill,
    hold_panel,
    radio_button,
)
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.pictures import ICON_SIZE, picture_icon
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState

if TYPE_CHECKING:
    from napari.viewer import Viewer

# Adding a layer costs about a tenth of a second each, and every further one slows napari
# down; from this many on, a person is asked first.
_ASK_FROM = 9
_SECONDS_A_LAYER = 0.12


class LikelihoodPanel(QWidget):
    """Choose a prototype; its likelihood layer follows. Pin it, or show all."""

    def __init__(self, viewer: Viewer, state: SharedState, messages: Messages) -> None:
        super().__init__()
        self._viewer, self._state, self._messages = viewer, state, messages
        self._map = prototype_map(viewer)
        self._batch: Iterator[int] | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._add_next)
        self._build()
        connections = Connections(self)
        connections.add(state.prototype_changed, self._on_prototype)
        connections.add(state.shown_changed, self._on_shown)
        self.show_result(None)

    def _build(self) -> None:
        self.classes = radio_button("Classes", "Show the classes over the image", checked=True)
        tip = "Show how typical each place is for the chosen prototype"
        self.likelihood = radio_button("Likelihood", tip)
        self.likelihood.toggled.connect(lambda on: self._state.show(likelihood=on))
        self.other = radio_button("", "Another map is in view, as the list below says")
        self.other.hide()
        tip = "A prototype with its nearest training patches"
        self.chooser = QComboBox(iconSize=ICON_SIZE, minimumWidth=200, toolTip=tip)
        self.chooser.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.chooser.activated.connect(self._on_chosen)
        tip = "Keep this prototype's likelihood as a layer of its own"
        self.pin = button("Pin", tip, self._pin)
        tip = "Show the likelihood of all prototypes, as layers or as one stack"
        self.all = button("All…", tip)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.as_layers = menu.addAction("One layer for every prototype", self.add_all_layers)
        self.as_stack = menu.addAction("One stack with a slider", self.add_stack)
        self.all.setMenu(menu)
        show = (self.classes, self.likelihood, self.other, None)
        buttons = (self.pin, self.all, None)
        fill(self, down(across(*show), self.chooser, across(*buttons)))

    # -- one layer that follows the chooser -------------------------------------------------

    def show_result(self, result: ImageResult | None) -> None:
        """Offer the prototypes of a result, the current one; of none, nothing."""
        hold_panel("" if result is not None else "Segment the image first", self)
        if result is None:
            return
        segmentation = result.segmentation
        share = segmentation.prototype_share()
        with QSignalBlocker(self.chooser):
            self.chooser.clear()
            for m, prototype in enumerate(segmentation.prototypes):
                color = segmentation.classes[prototype.class_index].color
                icon = picture_icon(prototype.patches, color)
                self.chooser.addItem(icon, f"{prototype.name}   {share[m]:.0%}")
            self.chooser.setCurrentIndex(self._state.prototype)
        each = f"One layer for each of the {len(share)} prototypes"
        self.as_layers.setText(f"{each} (about {_seconds(len(share))} s, slows napari)")
        obstacle = "A stack of images has a slider already" if segmentation.leading else ""
        enable(self.as_stack, "One layer, in which a slider chooses the prototype", obstacle)
        self._on_shown()

    def _pin(self) -> None:
        self._messages.tell(self._map.pin(self._state.prototype))

    def _on_chosen(self, m: int) -> None:
        self._state.select_prototype(m)
        self.likelihood.setChecked(True)

    def _on_prototype(self, m: int) -> None:
        self.chooser.setCurrentIndex(m)

    def show_other(self, name: str) -> None:
        """Say that another map is in view in the place of the classes; "" for none."""
        self.other.setText(name)
        self._on_shown()

    def _on_shown(self) -> None:
        other = bool(self.other.text()) and not self._state.shows_likelihood
        self.other.setVisible(other)
        shown = self.likelihood if self._state.shows_likelihood else self.classes
        (self.other if other else shown).setChecked(True)

    def show_prototype(self, result: ImageResult, m: int, values: np.ndarray) -> None:
        """Let the following layer show a prototype, whose typicality (..., h, w) is given."""
        if self._state.quantity == "typicality":
            self._map.show(result, m, values)
        else:
            self._map.refresh()

    def abandon(self) -> None:
        """Add no more layers, before the dock goes."""
        self._timer.stop()
        self._batch = None

    # -- more layers ------------------------------------------------------------------------

    def add_all_layers(self) -> None:
        """Add a layer for every prototype, one at a time so that napari stays alive."""
        result = self._state.current
        if result is None:
            return
        count = len(result.segmentation.prototypes)
        if count >= _ASK_FROM and not self._agreed(count):
            return
        self._batch = (m for m in range(count) if self._state.current is result)
        self._timer.start(0)

    def _agreed(self, count: int) -> bool:
        answer = QMessageBox.question(
            self,
            "Many layers",
            f"{count} layers take about {_seconds(count)} s to add and make napari slower. "
            "A stack with a slider costs as much as one layer. Add them all the same?",
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _add_next(self) -> None:
        m = next(self._batch, None) if self._batch is not None else None
        if m is None:
            self.abandon()
        else:
            self._map.pin(m)

    def add_stack(self) -> None:
        """Add one layer with the likelihood of all prototypes along a slider."""
        result = self._state.current
        if result is None or result.segmentation.leading:
            return
        with undisturbed(self._viewer):
            show_stack(self._viewer, result, likelihoods(result.segmentation))
        # Over classes or over one prototype's map it would only be muddy.
        for layer in (result.labels, result.maps.get(LIKELIHOOD)):
            if layer is not None:
                layer.visible = False


def _seconds(count: int) -> int:
    return max(1, round(count * _SECONDS_A_LAYER))
