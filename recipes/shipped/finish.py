"""The end of a shipped model's training: prototypes worth showing, with names and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter
from torch import Tensor

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.encode import as_source, encode_steps
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, name_prototypes
from napari_gaussproto.core.training.cells import LabelledCells, draw_latents
from napari_gaussproto.core.training.describe import PicturedSource, describe
from recipes.shipped.views import View

# Nearest patches, how many of them must be of the class, and the least share of its cells.
PATCHES, PURITY, USAGE = 10, 0.9, 0.05
# How often prototypes that are not worth showing are taken out, so that the others take over.
_ROUNDS = 8
# Standard deviations that the mean lightness of a prototype's cells has to be from that of its
# class to be called dark or bright; and the share of its cells beside another class, in all and
# beyond that of its class, for an edge.
_APART, _EDGE, _EDGE_MORE = 0.75, 0.6, 0.25
# Pixels that are beside a cell, in cells; and cells of a picture.
_BESIDE, _EVEN = 2, 500


@dataclass(frozen=True)
class Shown:
    """Pictures as a model sees them.

    Attributes
    ----------
    cells : LabelledCells
        Latents (N, D).
    even : LabelledCells
        Of every class as many as it has.
    held_out : (K,) Tensor of bool
        Whether each of these is of a picture that taught nothing.
    images : list of PicturedSource
    lightness : (N,) Tensor
        Mean of the bands around the middle of each cell, in [0, 1].
    beside : (N,) Tensor
        1 where another class is near, 0 elsewhere.
    """

    cells: LabelledCells
    even: LabelledCells
    held_out: Tensor
    images: list[PicturedSource]
    lightness: Tensor
    beside: Tensor


def look(
    model: PrototypeSegmenter,
    views: Iterable[View],
    per_class: int,
    seed: int,
    held_out: Callable[[int], bool],
) -> Shown:
    """Draw cells of pictures.

    Parameters
    ----------
    model : PrototypeSegmenter
    views : iterable of View
    per_class : int
        Cells of a class that are drawn from each picture, at most.
    seed : int
    held_out : callable
        Whether the photograph of a number teaches nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    parts, even, held, images, around = [], [], [], [], []
    for number, view in enumerate(views):
        source = as_source(view.image, model)
        encoding, labels = run(encode_steps(source, model)), torch.from_numpy(view.labels)
        drawn = draw_latents(encoding, labels, len(model.classes), per_class, generator, number)
        parts.append(drawn)
        rows = torch.randperm(len(encoding.latents), generator=generator)[:_EVEN]
        target, weight = encoding.partition.targets(labels, len(model.classes))
        place = torch.full_like(rows, number)
        columns = encoding.latents[rows], target[rows], weight[rows].sign(), place, rows
        even.append(LabelledCells(*columns))
        held.append(torch.full((len(rows),), held_out(view.number)))
        images.append(PicturedSource(model, source))
        middles = np.array([encoding.partition.center(int(cell)) for cell in drawn.cell])
        around.append(_around(view, model.cell_size)[:, *middles.T])
    lightness, beside = torch.from_numpy(np.concatenate(around, 1)).float()
    cells = LabelledCells.joined(parts)
    return Shown(cells, LabelledCells.joined(even), torch.cat(held), images, lightness, beside)


def _around(view: View, cell: int) -> npt.NDArray[np.float64]:
    """Lightness at every pixel of a picture, and whether another class is near, (2, H, W)."""
    light = uniform_filter(view.image.mean(2) / 255, cell)
    reach = 2 * _BESIDE * cell + 1
    least, most = minimum_filter(view.labels, reach), maximum_filter(view.labels, reach)
    return np.stack([light, least != most])


def select(
    model: PrototypeSegmenter, shown: Shown, fit: Callable[[GaussianPrototypeLayer], None]
) -> None:
    """Fit the prototypes, and take out what is not worth showing, until all are.

    Changes the model in place. The last prototype of a class stays, whatever it is like.
    """
    for _ in range(_ROUNDS):
        fit(model.layer)
        tell(model, shown)
        worst = _worst(model)
        if worst is None:
            break
        kept = [m for m in range(model.layer.n_prototypes) if m != worst]
        model.layer = surgery.select(model.layer, kept)


def tell(model: PrototypeSegmenter, shown: Shown) -> None:
    """Describe the prototypes and name them: a number, and a word on their cells if there is one.

    Changes the model in place.
    """
    model.prototypes = name_prototypes(model.classes, model.layer.class_index.tolist())
    describe(model, shown.cells, shown.images, patches=PATCHES)
    for prototype, hint in zip(model.prototypes, hints(model, shown), strict=True):
        prototype.name = f"{prototype.name}, {hint}" if hint else prototype.name


def _worst(model: PrototypeSegmenter) -> int | None:
    """The prototype that is farthest from being worth showing, if any is."""
    found: list[tuple[float, int]] = []
    counts = model.layer.class_index.bincount()
    for m, prototype in enumerate(model.prototypes):
        own = float((prototype.patch_labels == prototype.class_index).mean())
        lacks = max(PURITY - own, USAGE - prototype.usage)
        if lacks > 1e-6 and counts[prototype.class_index] > 1:
            found.append((lacks, m))
    return max(found)[1] if found else None


@torch.no_grad()
def hints(model: PrototypeSegmenter, shown: Shown) -> list[str]:
    """A word for each prototype that says how its cells differ from those of its class, or none."""
    cells, layer = shown.cells, model.layer
    joint = layer.scores(cells.values).log_likelihood + layer.log_weight
    other = layer.class_index[None] != cells.majority[:, None]
    owner = joint.masked_fill(other, -torch.inf).argmax(1)
    return [_hint(shown, owner == m, cells.majority == c) for m, c in enumerate(layer.class_index)]


def _hint(shown: Shown, own: Tensor, siblings: Tensor) -> str:
    if not bool(own.any()) or int(own.sum()) == int(siblings.sum()):
        return ""
    edge, usual = float(shown.beside[own].mean()), float(shown.beside[siblings].mean())
    if edge > _EDGE and edge > usual + _EDGE_MORE:
        return "edge"
    light = shown.lightness[siblings]
    apart = float((shown.lightness[own].mean() - light.mean()) / light.std().clamp_min(1e-6))
    return "bright" if apart > _APART else "dark" if apart < -_APART else ""
