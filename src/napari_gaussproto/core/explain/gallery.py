"""All prototypes of a model by class: the model's knowledge as a person can read it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image as PillowImage

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.explain.health import Mark, health
from napari_gaussproto.core.imaging.patches import Patches
from napari_gaussproto.core.model.model_file import AnyModel, as_model
from napari_gaussproto.core.model.segmentation import Prototype

_SHOWN, _GAP = 6, 2


@dataclass(frozen=True)
class GalleryEntry:
    """One prototype.

    Attributes
    ----------
    index : int
        Among all prototypes of the model.
    weight : float
        Prior share of its class that it stands for; 0 when inactive.
    """

    index: int
    prototype: Prototype
    active: bool
    weight: float
    marks: list[Mark]


@dataclass(frozen=True)
class GalleryGroup:
    """The prototypes of one class."""

    entry: SegmentationClass
    prototypes: list[GalleryEntry]


@dataclass(frozen=True)
class Gallery:
    """Prototypes by class."""

    groups: list[GalleryGroup]

    def __repr__(self) -> str:
        """The gallery in one line, without pictures."""
        names = ", ".join(f"{len(g.prototypes)} of {g.entry.name}" for g in self.groups)
        return f"<Gallery of prototypes: {names}>"

    def _repr_html_(self) -> str:
        """Table with patches, for notebooks."""
        return "".join(_group_html(group) for group in self.groups)


def gallery(model: AnyModel) -> Gallery:
    """The gallery of a model, or of that of a name or file.

    Every class has a group, in the order of the classes.

    Raises
    ------
    ModelFileError
        When there is no such model.
    """
    model = as_model(model)
    weight = model.layer.log_weight.detach().exp().tolist()
    active = model.layer.active.tolist()
    entries = [
        GalleryEntry(m, prototype, active[m], weight[m], marks)
        for m, (prototype, marks) in enumerate(zip(model.prototypes, health(model), strict=True))
    ]
    return Gallery(
        [
            GalleryGroup(entry, [e for e in entries if e.prototype.class_index == c])
            for c, entry in enumerate(model.classes)
        ]
    )


def strip(patches: Patches, count: int) -> Patches:
    """The first of P patches (P, S, S, 3) in a row: (S, W, 4) uint8 with transparent gaps."""
    shown = patches[:count]
    side = patches.shape[1]
    width = max(1, len(shown) * (side + _GAP) - _GAP)
    picture = np.zeros((side, width, 4), np.uint8)
    for slot, patch in enumerate(shown):
        left = slot * (side + _GAP)
        picture[:, left : left + side, :3] = patch
        picture[:, left : left + side, 3] = 255
    return picture


def data_url(picture: Patches) -> str:
    """A picture (H, W, 3) or (H, W, 4) uint8 as a URL that holds it as PNG, for HTML."""
    stream = io.BytesIO()
    PillowImage.fromarray(picture).save(stream, format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _group_html(group: GalleryGroup) -> str:
    rows = "".join(_entry_html(entry) for entry in group.prototypes)
    title = f'<span style="color:{group.entry.color}">■</span> {escape(group.entry.name)}'
    return f"<h4>{title}</h4><table>{rows}</table>"


def _entry_html(entry: GalleryEntry) -> str:
    prototype = entry.prototype
    picture = ""
    if len(prototype.patches):
        picture = f'<img src="{data_url(strip(prototype.patches, _SHOWN))}">'
    marks = "; ".join(escape(mark.title) for mark in entry.marks)
    state = "" if entry.active else " (off)"
    return (
        f"<tr><td>{entry.index}</td><td>{picture}</td><td>{escape(prototype.name)}{state}</td>"
        f"<td>{entry.weight:.0%}</td><td>{marks}</td></tr>"
    )
