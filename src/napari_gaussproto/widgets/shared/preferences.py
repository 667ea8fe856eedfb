"""Preferences: napari's settings for this plugin, and the list of recent models."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings

logger = logging.getLogger(__name__)

PLUGIN = "napari-gaussproto"
_DEFAULTS: dict[str, Any] = {"device": "auto", "tile": 0, "large": 64, "colormap": "magma"}
_MOST_RECENT = 8


def preference(name: str) -> Any:
    """A preference by its name; the default where napari is too old to have them."""
    try:
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings(PLUGIN)
        return getattr(settings.segment, name)
    except Exception as error:  # napari < 0.9, or the plugin is not installed as one
        logger.debug("no preference %s: %s", name, error)
        return _DEFAULTS[name]


def _store() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, PLUGIN, PLUGIN)


def recent_models() -> list[Path]:
    """Model files used before that are still there, the latest first."""
    stored = _store().value("recent_models", [])
    names = [stored] if isinstance(stored, str) else list(stored or [])
    return [path for path in map(Path, names) if path.is_file()]


def remember_model(path: Path) -> None:
    """Put a model file in front of the recent ones."""
    others = [known for known in recent_models() if known != path]
    latest = [str(entry) for entry in (path, *others)][:_MOST_RECENT]
    _store().setValue("recent_models", latest)
