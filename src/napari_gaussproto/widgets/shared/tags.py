"""How layers of this plugin are known: by their metadata, whatever a person calls them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.widgets.shared.preferences import PLUGIN

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

# The role of the layer that a person draws labels in.
ANNOTATIONS = "annotations"
# Where metadata say what a layer was read from that a project brought back.
RESTORED = "restored"
# Where they say which pixels (y0, x0, y1, x1) of a large image a layer shows.
WINDOW = "window"
# Where they say which layer a window was cut from; that goes with the session.
CUT_FROM = "cut_from"
# What the metadata of classes say that a person painted on and that were replaced since.
_EDITED = "edited"
# What those say of a layer that shows an earlier result.
_EARLIER = "earlier"


def file_of(image: Layer) -> str | None:
    """The file that an image was read from; None for other origins, such as samples."""
    path = image.source.path or image.metadata.get(RESTORED, {}).get("file")
    return None if path is None else str(Path(path).absolute())


def is_cut_from(window: Layer, image: Layer) -> bool:
    """Whether a layer is a window of an image, and not of another one at the same place."""
    if WINDOW not in window.metadata or WINDOW in image.metadata:
        return False
    file = file_of(image)
    is_same_file = file is not None and file == file_of(window)
    return is_same_file or window.metadata.get(CUT_FROM) == str(image.unique_id)


def is_ours(layer: Layer) -> bool:
    """Whether this plugin made a layer."""
    return PLUGIN in layer.metadata


def role_of(layer: Layer) -> MapRole | None:
    """What a layer of this plugin shows."""
    text = layer.metadata.get(PLUGIN, {}).get("role")
    return None if text is None else MapRole.parse(text)


def tag(role: MapRole, **more: Any) -> dict[str, Any]:
    """Metadata by which a layer of this plugin is known."""
    return {PLUGIN: {"role": str(role), **more}}


def annotations_tag(image: Layer) -> dict[str, Any]:
    """Metadata by which the layer is known that a person draws labels of an image in."""
    return {PLUGIN: {"role": ANNOTATIONS, "image": str(image.unique_id)}}


def annotations_of(viewer: Viewer, image: Layer) -> list[Labels]:
    """The layers that labels of an image are drawn in, whichever dock made them."""
    own = annotations_tag(image)[PLUGIN]
    return [layer for layer in viewer.layers if layer.metadata.get(PLUGIN) == own]


def is_edited(layer: Layer) -> bool:
    """Whether a layer holds classes that a person painted on, and is no result any more."""
    return bool(layer.metadata.get(PLUGIN, {}).get(_EDITED, False))


def keep_edited(layer: Layer) -> None:
    """Let classes that a person painted on be theirs from now on, under a name that says so."""
    layer.name = f"{layer.name} (edited)"
    layer.metadata = {**layer.metadata, PLUGIN: layer.metadata.get(PLUGIN, {}) | {_EDITED: True}}


def is_earlier(layer: Layer) -> bool:
    """Whether a layer shows an earlier result, which is not brought up to date any more."""
    return bool(layer.metadata.get(PLUGIN, {}).get(_EARLIER, False))


def keep_earlier(layer: Layer, name: str) -> None:
    """Let a layer show an earlier result from now on, under a name that says so."""
    layer.name = name
    layer.metadata = {**layer.metadata, PLUGIN: layer.metadata.get(PLUGIN, {}) | {_EARLIER: True}}
