"""What a project says about the viewer that it was worked in: images by their paths, settings."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from napari_gaussproto.core.base.config import Settings
from napari_gaussproto.core.labels.annotations import ImageIdentity


class SessionImage(Settings):
    """An image of the viewer, or one that is labelled and was closed.

    Attributes
    ----------
    image : ImageIdentity
        Its file is the path to read it from; None where it came from no file.
    is_open : bool
        False for a labelled image that was closed.
    reader : str or None
        The plugin that read the file, if that is known.
    sample : (str, str) or None
        Plugin and name, of a sample.
    look : dict
        JSON-able: name, placement, contrast and the like of its layer.
    """

    image: ImageIdentity
    is_open: bool = True
    reader: str | None = None
    sample: tuple[str, str] | None = None
    look: dict[str, Any] = Field(default_factory=dict)


class Session(Settings):
    """The work of a viewer besides labels and models.

    Attributes
    ----------
    images : tuple of SessionImage
        In the order of the viewer's layers, from below.
    chosen : int or None
        Which of them was worked on.
    settings : dict
        JSON-able values by the dock and the name of the setting.
    """

    images: tuple[SessionImage, ...] = ()
    chosen: int | None = None
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_the_chosen(self) -> Self:
        if self.chosen is not None and not 0 <= self.chosen < len(self.images):
            raise ValueError(f"chosen is image {self.chosen} of {len(self.images)}")
        return self
