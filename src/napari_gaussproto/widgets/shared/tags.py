"""How layers of this plugin are known: by their metadata, whatever a person calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.widgets.shared.preferences import PLUGIN

if TYPE_CHECKING:
    from napari.layers import Layer


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
