"""Where projects are kept, and what their folders are called."""

from __future__ import annotations

import re
from pathlib import Path

import platformdirs

SUFFIX = ".gaussproto"


def projects_root() -> Path:
    """Where projects are kept that nobody chose a place for: in the user's data."""
    return platformdirs.user_data_path("napari-gaussproto", appauthor=False) / "projects"


def default_folder(name: str) -> Path:
    """Folder of a project that nobody chose a place for; the same for the same name."""
    # What no file system takes, and dots and spaces at the ends, which Windows drops.
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(" .")[:100]
    return projects_root() / f"{plain or 'project'}{SUFFIX}"
