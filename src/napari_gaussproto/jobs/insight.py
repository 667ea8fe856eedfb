"""What the Prototypes dock asks of a thread besides edits: places, latent space, files, why."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.editing.stack_cells import latents_of
from napari_gaussproto.core.explain.dependence import Dependence, Probed, dependence_steps
from napari_gaussproto.core.explain.explain import Explanation, explain_mask
from napari_gaussproto.core.explain.places import Place, most_novel_places, most_uncertain_places
from napari_gaussproto.core.explain.projection import Projection, project
from napari_gaussproto.core.imaging.masks import component_at
from napari_gaussproto.core.imaging.patches import cut_patch
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, plane_sources
from napari_gaussproto.io.explanation import caption_of, save_explanation
from napari_gaussproto.jobs.train_image import TrainImage, named_with_file

_PLACES = 10


@dataclass(frozen=True)
class FoundPlaces:
    """Places of one kind, each with a picture (h, w, 3) of its surroundings."""

    kind: str
    places: list[Place]
    pictures: list[npt.NDArray[np.uint8]]


def places_job(
    segmentation: StackSegmentation,
    image: TrainImage,
    leading: tuple[int, ...],
    model: PrototypeSegmenter,
) -> Generator[None, None, list[FoundPlaces]]:
    """The most novel and the most uncertain places of a plane, which is given by ``leading``."""
    source, plane = _source_of(image, segmentation, model, leading), segmentation.plane_at(leading)
    size, found = model.as_for(plane).cell_size, []
    for kind, search in (("novel", most_novel_places), ("uncertain", most_uncertain_places)):
        places = search(plane, _PLACES)
        pictures = [cut_patch(source, p.y, p.x, size) for p in places]
        found.append(FoundPlaces(kind, places, pictures))
        yield
    return found


def space_job(segmentation: StackSegmentation, model: PrototypeSegmenter) -> Projection:
    """The latent space in two dimensions."""
    with one_thread():
        return project(model, latents_of(segmentation))


def component_job(segmentation: Segmentation, y: int, x: int) -> Explanation:
    """Explain the connected component of one class around a pixel."""
    with one_thread():
        explanation = explain_mask(segmentation, component_at(segmentation.labels, y, x))
        _ = explanation.outlines  # computed here, kept for the GUI
    return explanation


def dependence_job(
    image: TrainImage,
    segmentation: StackSegmentation,
    model: PrototypeSegmenter,
    leading: tuple[int, ...],
    y: int,
    x: int,
) -> Generator[Probed, None, Dependence]:
    """What the class of a pixel depends on; its plane is given by ``leading``."""
    source, plane = _source_of(image, segmentation, model, leading), segmentation.plane_at(leading)
    found = yield from dependence_steps(source, model, plane, y, x)
    _ = found.levels  # computed here, kept for the GUI
    return found


def figure_job(
    path: Path,
    image: TrainImage,
    leading: tuple[int, ...],
    segmentation: Segmentation,
    explanation: Explanation,
    edition: str = "",
) -> Path:
    """Write the figure of an explanation in a plane, which is given by ``leading``.

    It names the image, and the model by its ``edition``.
    """
    photo, about = np.asarray(image.plane(leading)), (segmentation, explanation)
    caption = caption_of(named_with_file(image.name, image.file), edition, *about, leading)
    return save_explanation(path, photo, *about, caption=caption, nodata=image.nodata)


def _source_of(
    image: TrainImage,
    segmentation: StackSegmentation,
    model: PrototypeSegmenter,
    leading: tuple[int, ...],
) -> ImageSource:
    sources = plane_sources(image.pixels, model, rgb=image.rgb, nodata=image.nodata)
    return sources(int(np.ravel_multi_index(leading, segmentation.leading)) if leading else 0)
