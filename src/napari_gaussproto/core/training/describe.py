"""The last stage of a fit: calibrate, prune, and describe every prototype by its cells."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.quantiles import QUANTILES, quantiles_of
from napari_gaussproto.core.base.steps import WithValue, run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.editing.edits import purity_of
from napari_gaussproto.core.imaging.patches import (
    PATCH_PIXELS,
    PATCHES,
    Patches,
    cut_patch,
    shrinking,
)
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.mixture import placement, surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.encode import encode_steps
from napari_gaussproto.core.model.familiarity import FALSE_ALARMS, LEAST_PHOTOS, learn_familiarity
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, name_prototypes
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.core.training.cells import LabelledCells, sample_cells_steps
from napari_gaussproto.core.training.descent import fit_temperature
from napari_gaussproto.core.training.samples import TrainingImage

# What the card calls it when a model learns what its photographs look like.
PHOTO_NOVELTY = "photo novelty"
# From one image, where there are several; and the cells that are looked at to find these.
_PATCHES_PER_IMAGE, _LOOKED_AT = 2, 400
# Share of a prototype's own cells that are nearer to it than any patch may be.
_NEAR = 0.9


class Pictured(Protocol):
    """An image of which cells can be shown."""

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) in the middle of a cell."""

    def picture(self, y: int, x: int) -> Patches:
        """The surroundings of a pixel, (S, S, 3) uint8."""

    @property
    def reach(self) -> int:
        """Pixels of the image across a picture."""


@dataclass(frozen=True)
class PicturedSource:
    """An image that pictures are cut from, with the model that cuts it into cells."""

    model: PrototypeSegmenter
    source: ImageSource

    @cached_property
    def partition(self) -> Partition:
        """The cells of the image."""
        return self._seen.partition(self.source)

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) in the middle of a cell."""
        return self.partition.center(cell)

    def picture(self, y: int, x: int) -> Patches:
        """The surroundings of a pixel, (S, S, 3) uint8."""
        return cut_patch(self.source, y, x, self._seen.cell_size)

    @property
    def reach(self) -> int:
        """Pixels of the image across a picture."""
        return PATCH_PIXELS * shrinking(self.source, self._seen.cell_size)

    @cached_property
    def _seen(self) -> PrototypeSegmenter:
        return self.model.suited_to(self.source.pixels)


def finish_steps(
    model: PrototypeSegmenter,
    data: Sequence[TrainingImage],
    validation: Sequence[TrainingImage],
    config: TrainingConfig,
    seed: int,
) -> Iterator[int]:
    """Prune and merge, calibrate on validation cells, and fill `model.prototypes`.

    Changes the model in place; yields the number of images done, per set.
    """
    cells = yield from sample_cells_steps(model, data, seed)
    tidy(model, cells, config)
    if validation:  # after the pruning, which changes how sure the layer is
        held_out = yield from sample_cells_steps(model, validation, seed)
        fit_temperature(model.layer, held_out, exactly=True)
    describe(model, cells, [PicturedSource(model, image.source) for image in data])
    yield from learn_look_steps(model, [image.source for image in data])
    model.receptive_radius = effective_radius(
        model.extract, model.config.channels, model.alignment, model.device
    )


def learn_look(model: PrototypeSegmenter, images: Sequence[Any]) -> None:
    """Teach a finished model what its training photographs look like; see `photo_novelty`.

    Any model that has learned can be taught so afterwards, and saved again. With fewer than
    `LEAST_PHOTOS` it knows nothing about photographs from then on.

    Parameters
    ----------
    model : PrototypeSegmenter
        Changed in place, and its card says so.
    images : sequence of array or ImageSource
        Its training photographs, those of one place one after another; labels are not needed.

    Raises
    ------
    ImageError, ConfigError
        As `segment`.
    """
    run(learn_look_steps(model, images))


def learn_look_steps(
    model: PrototypeSegmenter, images: Sequence[Any]
) -> Generator[int, None, None]:
    """As `learn_look`; yields the number of images done, after every tile."""
    looks = []
    for done, image in enumerate(images if len(images) >= LEAST_PHOTOS else ()):
        for _ in (work := WithValue(encode_steps(image, model))):
            yield done
        looks.append(model.decode(work.value).look)
    model.familiarity = learn_familiarity([look for look in looks if look is not None])
    if model.familiarity is not None:
        model.card.log(PHOTO_NOVELTY, photos=len(looks), false_alarm_share=FALSE_ALARMS)


@torch.no_grad()
def tidy(model: PrototypeSegmenter, cells: LabelledCells, config: TrainingConfig) -> None:
    """Remove dead prototypes and merge duplicates; every class keeps at least one.

    With both limits 0 nothing happens: names and pictures stay, too.
    """
    if not (config.min_usage or config.min_hellinger):
        return
    layer = model.layer
    used = placement.usage(layer, cells.values, cells.target, cells.weight)
    keep = [
        m
        for m in range(layer.n_prototypes)
        if not used[m] < config.min_usage  # nan, where the class has no cells, included
        or used[m] == used[layer.class_index == layer.class_index[m]].max()
    ]
    layer = surgery.select(layer, keep)
    while (pair := _closest_siblings(layer, config.min_hellinger)) is not None:
        layer = surgery.merge(layer, *pair)
    model.layer = surgery.unfreeze(layer, model.config.learned_scale)
    model.prototypes = name_prototypes(model.classes, layer.class_index.tolist())


def _closest_siblings(layer: GaussianPrototypeLayer, limit: float) -> tuple[int, int] | None:
    """The most similar pair of a class, if its squared Hellinger distance is below a limit."""
    pairs, distance = layer.sibling_distances()
    if not len(pairs):
        return None
    nearest = int(distance.argmin())
    if float(distance[nearest]) >= limit:
        return None
    a, b = pairs[nearest].tolist()
    return a, b


@torch.no_grad()
def describe(
    model: PrototypeSegmenter,
    cells: LabelledCells,
    images: Sequence[Pictured] = (),
    *,
    patches: int = PATCHES,
) -> None:
    """Usage, spread, patches and purity of every prototype, and the spread of log p(z).

    What the cells say nothing about stays as it was known.

    Parameters
    ----------
    model : PrototypeSegmenter
        Changed in place.
    cells : LabelledCells
        Latents.
    images : sequence of Pictured
        The images of the cells, to cut patches from; without them patches stay.
    patches : int
        Of a prototype, at most.
    """
    layer, majority = model.layer, cells.majority
    scores = layer.scores(cells.values)
    distance = scores.mahalanobis
    alive = set(layer.class_index[layer.active].tolist())
    if alive <= set(cells.labelled) or not len(model.density_quantiles):
        # Without the cells of some class, that class would look novel everywhere.
        model.density_quantiles = quantiles_of(scores.log_density)
    levels = np.full((len(model.classes), QUANTILES), np.nan, np.float32)
    if model.class_quantiles is not None and model.class_quantiles.shape == levels.shape:
        levels = model.class_quantiles.copy()
    for c in alive & set(majority.tolist()):
        levels[c] = quantiles_of(scores.class_log_likelihood[majority == c, c])
    model.class_quantiles = levels
    used = placement.usage(layer, cells.values, cells.target, cells.weight)
    # For every cell, the prototype of its own class that explains it best.
    joint = scores.log_likelihood + layer.log_weight
    owner = joint.masked_fill(layer.class_index[None] != majority[:, None], -torch.inf).argmax(1)
    for m, prototype in enumerate(model.prototypes):
        own = distance[owner == m, m]
        if len(own) and layer.active[m]:
            prototype.distance_quantiles = quantiles_of(own)
        known = bool((majority == prototype.class_index).any())
        if layer.active[m] and known:
            prototype.usage = float(used[m])
        if len(images) and known:
            # Few strokes hold few places that lie apart: what is farther than its own cells is
            # not shown as an example of it, however near it is among the rest.
            near = distance[:, m] <= own.quantile(_NEAR) if len(own) else owner >= 0
            _add_patches(model, prototype, cells, distance[:, m], near, images, patches)


def _add_patches(
    model: PrototypeSegmenter,
    prototype: Prototype,
    cells: LabelledCells,
    distance: Tensor,
    near: Tensor,
    images: Sequence[Pictured],
    count: int,
) -> None:
    """Pictures of the nearest cells, their classes, and how many are of the most frequent one."""
    distance = distance.masked_fill(~near, torch.inf)
    places = _nearest_places(cells, distance, images, count)
    prototype.patches = np.stack([images[int(cells.image[i])].picture(y, x) for i, y, x in places])
    prototype.patch_labels = cells.majority[[i for i, _, _ in places]].cpu().numpy()
    prototype.purity = purity_of(prototype.patch_labels)


def _nearest_places(
    cells: LabelledCells, distance: Tensor, images: Sequence[Pictured], count: int
) -> list[tuple[int, int, int]]:
    """Rows and middles (y, x) of the nearest cells (N,), so chosen that the patches show variety.

    Few are of any one image, and those lie apart from each other. None is infinitely far.
    """
    several = len(cells.image.unique()) * _PATCHES_PER_IMAGE >= count
    most = _PATCHES_PER_IMAGE if several else count
    chosen: list[tuple[int, int, int]] = []
    looked_at = min(int(distance.isfinite().sum()), _LOOKED_AT)
    for i in distance.topk(looked_at, largest=False).indices.tolist():
        number = int(cells.image[i])
        there = [(y, x) for j, y, x in chosen if int(cells.image[j]) == number]
        if len(there) >= most:
            continue
        y, x = images[number].center(int(cells.cell[i]))
        apart = images[number].reach // 3
        if all(max(abs(y - a), abs(x - b)) >= apart for a, b in there):
            chosen.append((i, y, x))
        if len(chosen) == count:
            break
    return chosen


@torch.no_grad()
def class_accuracy(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor) -> float:
    """Mean over the classes that occur of the share of cells that get the right class.

    Of cells with latents (N, D) and soft labels (N, C).
    """
    with one_thread():
        truth, predicted = target.argmax(1), layer(z).argmax(1)
        shares = [(predicted[truth == c] == c).float().mean() for c in truth.unique().tolist()]
        return float(torch.stack(shares).mean())
