"""What a project says about each of its versions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from napari_gaussproto.core.base.config import Settings
from napari_gaussproto.core.project.content_store import FILE_PATTERN

What = Literal["start", "quick fit", "fine-tune", "edit"]
# Names of measures; the first says most about other pixels than the painted ones.
HELD_OUT, ACCURACY = "held-out mIoU", "held-out accuracy"
# As quick fits of earlier versions were measured: on the strokes that they learned from.
LABELLED = "labelled accuracy"
MEASURES = HELD_OUT, ACCURACY, LABELLED
# Among the settings of a fit: it came by itself, after a stroke.
LIVE = "live"
# And how often the strokes that a measure is of were looked at before it was the best.
LOOKS = "looks"
Parts = dict[str, Annotated[str, Field(pattern=FILE_PATTERN)]]


class Version(Settings):
    """One model of a project, and how it came about.

    Attributes
    ----------
    id : str
        Short, unique in the store, never changed.
    parent : str or None
        Id of the version that the fit started from.
    name : str
        For people; it need not be unique.
    created : str
        ISO 8601 in UTC.
    seconds : float
        That the fit took.
    strokes, images : int
        How many it learned from.
    settings : dict
        Of the fit, JSON-able.
    measures : dict of str to float
        For example ``{"labelled accuracy": 0.97}``; what was not measured is not in it.
    backbone, device : str
        The network's name, and where the fit ran.
    parts : dict of str to str
        Files of model and drawings.
    """

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    parent: str | None
    name: str = Field(min_length=1)
    what: str = Field(min_length=1)
    created: str
    seconds: float = 0.0
    strokes: int = 0
    images: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    measures: dict[str, float] = Field(default_factory=dict)
    backbone: str = ""
    device: str = ""
    parts: Parts


class VersionList(Settings):
    """All versions, in the order in which they were made, and which one is current.

    Attributes
    ----------
    made : int
        How many versions were ever made: the numbers in their names are not used again.
    current : str or None
        Id of a version.
    versions : tuple of Version
        Every parent comes before its children.
    """

    made: int = 0
    current: str | None = None
    versions: tuple[Version, ...] = ()

    @model_validator(mode="after")
    def _is_tree(self) -> VersionList:
        seen: set[str | None] = {None}
        for version in self.versions:
            if version.id in seen or version.parent not in seen:
                raise ValueError("the versions are no tree")
            seen.add(version.id)
        if self.current not in seen:
            raise ValueError("the current version is not in the list")
        return self
