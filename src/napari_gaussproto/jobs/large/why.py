"""What the Prototypes dock asks of a thread about a place in a large image."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.explain.dependence import Dependence, Probed
from napari_gaussproto.core.explain.explain import Explanation
from napari_gaussproto.core.explain.part import Part, part_steps
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.io.explanation import caption_of, heading, save_explanation
from napari_gaussproto.jobs.large.fill import sources_of
from napari_gaussproto.jobs.large.order import Streamed
from napari_gaussproto.jobs.train_image import Stage, named_with_file


@dataclass(frozen=True, eq=False)
class LargePlace:
    """A pixel of a large image that is asked about.

    Attributes
    ----------
    leading : tuple of int
        Its plane.
    """

    made: Streamed
    leading: tuple[int, ...]
    y: int
    x: int

    @property
    def source(self) -> ImageSource:
        """The image of the plane."""
        of_stack = self.made.leading
        number = np.ravel_multi_index(self.leading, of_stack) if of_stack else 0
        return sources_of(self.made)(int(number))


@dataclass(frozen=True, eq=False)
class Explained:
    """A place that was explained, and the part of the image that it lies in."""

    place: LargePlace
    part: Part
    explanation: Explanation


def why_job(
    place: LargePlace, component: bool, part: Part | None = None
) -> Generator[Stage, None, Explained]:
    """Explain a pixel, or the component around it, by a part that is known or is segmented now.

    Raises
    ------
    GaussProtoError
        When the image cannot be read, or holds no data there.
    """
    if part is None or not part.holds(place.y, place.x):
        yield Stage("Segmenting the tile", keep=True)
        made = place.made
        about = (place.source, made.model, made.side, place.y, place.x, made.follow_edges)
        for tile in (work := WithValue(part_steps(*about))):
            yield Stage("Segmenting the tile", tile.index, tile.total)
        part = work.value
    with one_thread():
        explain = part.explain_component if component else part.explain
        explanation = explain(place.y, place.x)
        _ = explanation.outlines  # computed here, kept for the GUI
    return Explained(place, part, explanation)


def dependence_job(found: Explained) -> Generator[Probed, None, Dependence]:
    """What the class of a pixel that was explained depends on."""
    place = found.place
    about = (place.source, place.made.model, place.y, place.x)
    dependence = yield from found.part.dependence_steps(*about)
    _ = dependence.levels  # computed here, kept for the GUI
    return dependence


def figure_job(path: Path, found: Explained, name: str) -> Path:
    """Write the figure of an explanation of an image with this name."""
    part, (height, width) = found.part, found.part.segmentation.shape
    window = found.place.source.part(part.top, part.left, part.top + height, part.left + width)
    photo = window.with_all_channels().read(0, 0, height, width).permute(1, 2, 0).numpy()
    title = heading(part.segmentation, found.explanation)
    made, photo_name = found.place.made, named_with_file(name, found.place.made.file)
    where = (part.segmentation, found.explanation, found.place.leading)
    caption = caption_of(photo_name, made.model.card.edition, *where)
    about = (photo, part.segmentation, part.inside(found.explanation))
    return save_explanation(path, *about, title=title, caption=caption)
