"""Layers of this plugin follow their image: they are named after it, and go with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_gaussproto.core.model.maps import LABELS
from napari_gaussproto.widgets.layers.class_layers import layers_to_remove
from napari_gaussproto.widgets.layers.large_labels import is_large, labels_of
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState, per_viewer, state_of
from napari_gaussproto.widgets.shared.tags import (
    ANNOTATIONS,
    annotations_of,
    is_cut_from,
    is_earlier,
    is_edited,
    is_ours,
    role_of,
)
from napari_gaussproto.widgets.shared.workers import soon

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.widgets.shared.choosers import ImageChooser

_BETWEEN = " – "


class Following:
    """Watches the images of one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        # What is kept by the viewer must not keep it.
        self._viewer = ref(viewer)
        self._names: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._state: SharedState = state_of(viewer)
        # What was hidden here comes back; what a person hid stays hidden.
        self._hidden: WeakSet[Layer] = self._state.hidden
        # Images that others were picked over, also those that a person had hidden before.
        self._away: WeakSet[Image] = WeakSet()
        # Labels of most of an image, and images whose classes are hidden below such labels.
        self._dense: WeakSet[Layer] = WeakSet()
        self._below: WeakSet[Image] = WeakSet()
        # Labels on disk, with the images that they are of: one file may be open twice.
        self._on_disk: WeakKeyDictionary[Layer, WeakSet[Image]] = WeakKeyDictionary()
        # Tools that were in the hand when a person was led to layers that nothing is drawn in.
        self._laid_down: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        state = self._state
        state.result_changed.connect(self._on_result)
        state.result_closed.connect(self._on_closed)
        state.streamed_changed.connect(self._on_streamed)
        viewer.layers.events.removed.connect(self._on_removed)
        for result in list(state.results.values()):
            self._on_result(result)

    def _on_result(self, result: ImageResult) -> None:
        self.watch(result.source)

    def watch(self, image: Image) -> None:
        """Name layers after an image from now on."""
        if image not in self._names:
            self._names[image] = image.name
            image.events.name.connect(partial(self._on_name, ref(image)))

    def bring_into_view(self, image: Image, others: Sequence[Image]) -> None:
        """Show an image with its layers, and hide other images that lie over it, with theirs."""
        viewer = self._viewer()
        if viewer is None:
            return
        others = [] if _is_grid(viewer) else others  # where they lie beside each other
        mode = _mode(viewer)  # napari lays the brush of a layer down that is hidden
        for other in others:
            if other is not image and _is_in_the_way(other, image):
                self.hide(other)
        for layer in self._all_of(viewer, image):
            if layer in self._hidden:
                layer.visible = True
        self._away.discard(image)
        image.visible = True
        if self.shows_classes(image):
            self._hide_other_classes(viewer, image)
        self._leave_hidden(viewer, [la for la in others if la is not image], image, mode)

    def lacks(self, image: Image, images: Sequence[Image]) -> bool:
        """Whether a layer of an image was hidden here, or none of all images is in view."""
        viewer = self._viewer()
        layers = [] if viewer is None else self._all_of(viewer, image)
        hidden = any(layer in self._hidden for layer in layers)
        return hidden or not any(one.visible for one in images)

    def put_aside(self, image: Image, chosen: Image) -> None:
        """Hide labels of an image that is hidden or covered, until it is brought into view."""
        viewer = self._viewer()
        if viewer is None or _is_grid(viewer):
            return
        if image.visible and not (chosen.visible and _is_in_the_way(image, chosen)):
            return
        mode = _mode(viewer)
        for layer in self._all_of(viewer, image)[1:]:
            if str(role_of(layer)) == ANNOTATIONS and layer.visible:
                self._hide(layer)
        self._leave_hidden(viewer, [image], chosen, mode)

    def _leave_hidden(
        self, viewer: Viewer, others: Sequence[Image], image: Image, mode: str
    ) -> None:
        """Make labels of an image, else itself, active instead of what is hidden of others.

        Strokes, and Ctrl+Z, would go into a layer that is not in view.
        """
        active = viewer.layers.selection.active
        if active is None or active.visible:
            return
        if not any(active in self._all_of(viewer, other) for other in others):
            return
        own = self._all_of(viewer, image)[1:]
        seen = {str(role_of(la)): la for la in own if la.visible and not is_edited(la)}
        labels = seen.get(ANNOTATIONS)
        found = labels or seen.get(str(LABELS)) or image
        mode = self._in_hand(active, mode, labels)
        if labels is None:
            self._laid_down[found] = mode
        # Over classes, a brush would begin annotations that nobody asked for.
        found.mode = "pan_zoom" if labels is None else mode
        viewer.layers.selection.active = found

    def _in_hand(self, left: Layer, mode: str, labels: Layer | None) -> str:
        """The tool to go on with: not that of a layer that one was led to, which paints nothing."""
        if left in self._laid_down:
            known = self._laid_down.pop(left)
            return known if mode == "pan_zoom" else mode
        return mode if labels is None or isinstance(left, Labels) else str(labels.mode)

    def hide(self, image: Image) -> None:
        """Hide an image with its layers until it is brought into view."""
        viewer = self._viewer()
        self._away.add(image)
        for layer in [] if viewer is None else self._all_of(viewer, image):
            if layer.visible:
                self._hide(layer)

    def _hide(self, layer: Layer) -> None:
        layer.visible = False
        self._hidden.add(layer)
        layer.events.visible.connect(self._on_visible)

    def _on_visible(self, event: Any) -> None:
        """Forget that a layer was hidden here, once it is shown: from then on a person hides it."""
        if event.source.visible:
            self._hidden.discard(event.source)

    def keep_out_of_view(self, image: Image) -> bool:
        """Hide new layers of an image that another was picked over; False if it is in view."""
        if not self._is_away(image):
            return False
        self.hide(image)
        return True

    def set_visible(self, layer: Layer, image: Image, wanted: bool) -> None:
        """Show or hide a layer of an image; of one that is out of view, once it comes back."""
        if wanted and self._is_away(image):
            self._hide(layer)
            return
        if not wanted:
            self._hidden.discard(layer)
        # napari redraws everything for a layer that is made visible, even if it was.
        if layer.visible != wanted:
            layer.visible = wanted

    def show_classes(self, image: Image, wanted: bool = True) -> None:
        """Show the newest classes of an image, and no others of that place; or none of its own.

        Where the ground is faint, older classes below would be taken for what is new. Labels that
        a person draws, and classes that they painted on, are left as they are.
        """
        viewer = self._viewer()
        if viewer is None or image not in viewer.layers:
            return
        mode, own, is_grid = _mode(viewer), self._classes_of(viewer, image), _is_grid(viewer)
        drawn = [la for la in annotations_of(viewer, image) if la in self._dense and la.visible]
        self._below.discard(image)
        if wanted and drawn and not is_grid:
            self._below.add(image)
        for layer in own:
            is_seen = is_grid or (layer is own[-1] and not drawn)
            self.set_visible(layer, image, wanted and is_seen)
        if wanted and own and not self._is_away(image):
            self._hide_other_classes(viewer, image)
            self._leave_hidden(viewer, [image, *_same_place(viewer, image)], image, mode)

    def note_dense(self, image: Image, layer: Labels, dense: bool) -> None:
        """Let dense labels that are in view hide the classes of an image, or no more.

        They show what is predicted where nothing is labelled.
        """
        if dense == (layer in self._dense):
            return
        (self._dense.add if dense else self._dense.discard)(layer)
        change = layer.events.visible
        (change.connect if dense else change.disconnect)(self._on_dense)
        self._show_again(image)

    def _on_dense(self, event: Any) -> None:
        viewer = self._viewer()
        for image in list(self._names) if viewer is not None else []:
            if event.source in annotations_of(viewer, image):
                self._show_again(image)

    def _show_again(self, image: Image) -> None:
        if image in self._below or self.shows_classes(image):
            self.show_classes(image)

    def shows_classes(self, image: Image) -> bool:
        """Whether results of an image are in view."""
        viewer = self._viewer()
        return viewer is not None and any(la.visible for la in self._classes_of(viewer, image))

    def _hide_other_classes(self, viewer: Viewer, image: Image) -> None:
        """Hide the classes of the windows of an image, or of its whole, until these come back."""
        for other in [] if _is_grid(viewer) else _same_place(viewer, image):
            for layer in self._classes_of(viewer, other):
                if layer.visible:
                    self._hide(layer)

    def _classes_of(self, viewer: Viewer, image: Image) -> list[Layer]:
        """The layers that show results of an image, the newest last."""
        return [
            layer
            for layer in self._all_of(viewer, image)[1:]
            if role_of(layer) == LABELS and not (is_edited(layer) or is_earlier(layer))
        ]

    def _is_away(self, image: Image) -> bool:
        is_chosen = image is self._state.image
        return image in self._away and not (image.visible or is_chosen)

    def _all_of(self, viewer: Viewer, image: Image) -> list[Layer]:
        """An image and its layers, also those that a person gave another name."""
        begins, result = image.name + _BETWEEN, self._state.results.get(image)
        known: list[Layer | None] = [*annotations_of(viewer, image)]
        known += [] if result is None else [result.labels, *result.maps.values()]
        ours = [layer for layer in viewer.layers if is_ours(layer)]
        return [image, *(la for la in ours if la.name.startswith(begins) or la in known)]

    def _on_name(self, weak: Any, event: object = None) -> None:
        """Name the layers anew that were called after an image."""
        viewer, image = self._viewer(), weak()
        if viewer is None or image is None or image not in viewer.layers:
            return
        former, self._names[image] = self._names[image] + _BETWEEN, image.name
        for layer in viewer.layers:
            if is_ours(layer) and layer.name.startswith(former):
                layer.name = image.name + _BETWEEN + layer.name.removeprefix(former)

    def _on_closed(self, result: ImageResult) -> None:
        """Remove what showed the result of an image that was closed, but for a person's work."""
        viewer = self._viewer()
        if viewer is None:
            return
        layers, begins = layers_to_remove(viewer, result), result.source.name + _BETWEEN
        layers += [
            layer for layer in viewer.layers if is_earlier(layer) and layer.name.startswith(begins)
        ]
        # After napari has finished with the image; the result itself is free before.
        QTimer.singleShot(0, partial(self._remove, layers))

    def _on_streamed(self, image: Image) -> None:
        viewer = self._viewer()
        layer = None if viewer is None else labels_of(viewer, self._state.streamed[image])
        if layer is not None:
            self._on_disk.setdefault(layer, WeakSet()).add(image)
            self.show_classes(image)

    def _on_removed(self, event: Any) -> None:
        """Let labels on disk go with the last of their images; the files stay."""
        viewer = self._viewer()
        if viewer is None:
            return
        for image in list(self._below) if event.value in self._dense else []:
            QTimer.singleShot(0, partial(self._show_again, image))
        layers = [
            layer
            for layer, images in self._on_disk.items()
            if event.value in images and not any(image in viewer.layers for image in images)
        ]
        if layers:
            QTimer.singleShot(0, partial(self._remove, layers))

    def _remove(self, layers: list[Layer]) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)


def _is_grid(viewer: Viewer) -> bool:
    return bool(getattr(viewer, "canvas", viewer).grid.enabled)  # since napari 0.9


def _mode(viewer: Viewer) -> str:
    """The tool in hand."""
    active = viewer.layers.selection.active
    return "pan_zoom" if active is None else str(active.mode)


def _is_in_the_way(other: Image, image: Image) -> bool:
    """Whether one image hides another; channels that are added up and windows do not."""
    pair = (other, image)
    if any(str(one.blending) == "additive" or is_large(one) for one in pair):
        return False
    (low, high), (least, most) = (layer.extent.world[:, -2:] for layer in pair)
    return bool((low < most).all() and (least < high).all())


def _same_place(viewer: Viewer, image: Image) -> list[Image]:
    """The windows of an image, or the image that it is a window of."""
    return [la for la in viewer.layers if is_cut_from(la, image) or is_cut_from(image, la)]


@per_viewer
def follow_images(viewer: Viewer) -> Following:
    """Let layers follow the images of a viewer from now on."""
    return Following(viewer)


def leave_hidden_labels(viewer: Viewer, chooser: ImageChooser) -> None:
    """Make the chosen image active instead of hidden labels, such as the mask of a sample.

    napari makes every layer that it opens the active one.
    """

    def leave(_: object = None) -> None:
        active, image = viewer.layers.selection.active, chooser.image()
        if image is not None and image in viewer.layers and _is_hidden_mask(active):
            viewer.layers.selection.active = image

    # When napari has made it the active one.
    Connections(chooser).add(viewer.layers.events.inserted, lambda _: soon(chooser, leave))
    leave()


def _is_hidden_mask(layer: Layer | None) -> bool:
    return isinstance(layer, Labels) and not layer.visible and not is_ours(layer)


def show_what_is_picked(viewer: Viewer, chooser: ImageChooser) -> None:
    """Bring the image that a person picks in a dock into view, and what follows a removed one."""
    following = follow_images(viewer)

    def show() -> None:
        image = chooser.image()
        if image is not None:
            following.bring_into_view(image, chooser.images())

    def show_hidden() -> None:
        image = chooser.image()
        if image is not None and following.lacks(image, chooser.images()):
            show()

    chooser.activated.connect(lambda _: show())
    # Where many are removed at once, only the last choice counts.
    chooser.fell_back.connect(lambda: soon(chooser, show_hidden))
