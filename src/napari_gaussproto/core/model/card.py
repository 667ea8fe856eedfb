"""What a model says about itself: the card inside its file."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pydantic import BaseModel, Field

_PACKAGES = ("napari-gaussproto", "torch", "timm", "numpy", "scikit-learn", "safetensors")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a model's numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def now() -> str:
    """The current time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class ModelCard(BaseModel):
    """Provenance, terms and measures of a model.

    Attributes
    ----------
    name, description, command : str
        What it is called, what it is for, and how it was made.
    licence, attribution, citation, data : str
        Terms of the training data, whom to name, what to cite, and which data and split.
    not_for : list of str
        What the model must not be used for.
    created : str
        ISO 8601.
    history : list of dict
        One entry per fit or edit: what was done, settings, seed, steps, time.
    measures : dict
        By split, for example ``{"test": {"iou": {"soil": 0.9}, "miou": 0.9, "ece": 0.02}}``.
    package_versions : dict
        Of the packages that made it.
    """

    name: str = "unnamed"
    description: str = ""
    command: str = ""
    licence: str = ""
    attribution: str = ""
    citation: str = ""
    data: str = ""
    not_for: list[str] = Field(default_factory=list)
    created: str = Field(default_factory=now)
    history: list[dict[str, Any]] = Field(default_factory=list)
    measures: dict[str, Any] = Field(default_factory=dict)
    package_versions: dict[str, str] = Field(default_factory=package_versions)
