"""What a model says about an image: classes of its cells, and why."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import PrototypeError
from napari_gaussproto.core.base.quantiles import quantiles_of, rank
from napari_gaussproto.core.cells.outlines import labels_along_edges
from napari_gaussproto.core.imaging.patches import Patches, no_patches
from napari_gaussproto.core.labels.annotations import overruled
from napari_gaussproto.core.labels.cover import cover_of
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer, MixtureScores
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.familiarity import Familiarity, Look, novelty_of
from napari_gaussproto.core.model.remarks import are_coloured, reading_remarks, remarks_of

Map = npt.NDArray[np.float32]


@dataclass
class Prototype:
    """What is known about one Gaussian besides its parameters.

    Attributes
    ----------
    patches : (K, S, S, 3) ndarray of uint8
        The nearest training patches, nearest first.
    patch_labels : (K,) ndarray of int
        Class index at each patch's centre.
    usage : float
        Share of its class' training cells for which it is responsible.
    purity : float
        Largest class share among the patches; nan without patches.
    distance_quantiles : (QUANTILES,) ndarray of float32
        Squared Mahalanobis distances of its own cells, ascending: training cells, or those of
        the image that it was merged, split or added on.
    identity : object
        It stays with a prototype through edits of the model, when its place in the list and its
        name do not (see `napari_gaussproto.core.editing.edits.index_of`), and is in no file.
    """

    name: str
    class_index: int
    patches: Patches = field(default_factory=no_patches, repr=False)
    patch_labels: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64), repr=False
    )
    usage: float = float("nan")
    purity: float = float("nan")
    distance_quantiles: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.zeros(0, np.float32), repr=False
    )
    identity: object = field(default_factory=object, repr=False, compare=False)


def prototype_index(prototypes: Sequence[Prototype], which: int | str) -> int:
    """Index of a prototype that is given by its name, or by its index, which is checked.

    Raises
    ------
    PrototypeError
    """
    names = [prototype.name for prototype in prototypes]
    if isinstance(which, str) and which in names:
        return names.index(which)
    if isinstance(which, int | np.integer) and 0 <= which < len(names):
        return int(which)
    raise PrototypeError(
        f"There is no prototype {which!r}: give a number from 0 to {len(names) - 1}, or a name "
        f"such as “{names[0]}”."
    )


@dataclass(frozen=True)
class CellValues:
    """What a model says about K cells.

    Attributes
    ----------
    posterior : (K, C) ndarray
        p(c|z).
    responsibility, typicality : (K, M) ndarray
        0 for inactive prototypes.
    novelty : (K,) ndarray
    """

    posterior: Map
    responsibility: Map
    typicality: Map
    novelty: Map


class Segmentation:
    """What a model says about one image; maps are computed when asked for.

    Every map is (H, W) at the image's resolution, or with ``cells=True`` at the partition's
    own, where an element covers ``map_pixel_size`` pixels in each direction. A prototype ``m``
    is given by its index or its name; one that is not there is a `PrototypeError`.

    Pixels without data (see `ImageSource.data_mask`) have label 0, and 0 in every map that lies
    in [0, 1]; so has what shows no others in maps of cells. They count nowhere.

    Parameters
    ----------
    encoding : Encoding
        N cells.
    layer : GaussianPrototypeLayer
        M prototypes of C classes; later changes of it do not reach what is said here.
    classes : sequence of SegmentationClass
    prototypes : sequence of Prototype
    density_quantiles : (QUANTILES,) ndarray
        Of log p(z) over training cells, ascending; empty before training.
    familiarity : Familiarity, optional
        What the training photographs look like, if there were enough of them.
    class_quantiles : (C, QUANTILES) ndarray, optional
        Of log p(z|c) over the training cells of each class, ascending; nan where there are none.

    Attributes
    ----------
    active : list of bool
        For each prototype whether it takes part.
    learned_scales : sequence of float
        Of the images that the model learned from; see `reading_remarks`.
    """

    def __init__(
        self,
        encoding: Encoding,
        layer: GaussianPrototypeLayer,
        classes: Sequence[SegmentationClass],
        prototypes: Sequence[Prototype],
        density_quantiles: Map,
        familiarity: Familiarity | None = None,
        class_quantiles: Map | None = None,
    ) -> None:
        self.encoding = encoding
        self._familiarity = familiarity
        self._class_quantiles = class_quantiles
        # What a person drew, and whether other labels stand for those of the model.
        self._drawn: npt.NDArray[np.uint8] | None = None
        self._replaced = False
        self.learned_scales: Sequence[float] = ()
        self.classes = list(classes)
        self.prototypes = list(prototypes)
        self._density_quantiles = density_quantiles
        self._dim = layer.dim
        self.active: list[bool] = layer.active.tolist()
        # What is asked for later must not follow later changes of the layer.
        frozen = copy.deepcopy(layer).requires_grad_(False)
        self._scores = frozen.scores(encoding.latents.detach())

    def __repr__(self) -> str:
        (height, width), cells = self.shape, self.encoding.partition.n_cells
        about = ", ".join(entry.name for entry in self.classes)
        about = f"{cells} cells: {about}; {len(self.prototypes)} prototypes"
        return f"<Segmentation of {height} x {width} pixels in {about}>"

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.encoding.partition.shape

    @property
    def map_pixel_size(self) -> int:
        """Side of an element of a map at cell resolution, in pixels."""
        return self.encoding.partition.map_pixel_size

    @property
    def follows_edges(self) -> bool | None:
        """Whether borders of classes follow the photograph's edges; None where they cannot."""
        return None if self.encoding.rows is None else self.encoding.follow_edges

    def with_outlines(self, follow: bool) -> Segmentation:
        """The same, with borders of classes that follow the photograph's edges or do not."""
        if self.follows_edges in (None, follow):
            return self
        other = self._with(encoding=replace(self.encoding, follow_edges=follow))
        if not self._replaced:
            other.__dict__.pop("_said", None)
        return other

    def with_labels(self, drawn: npt.NDArray[np.uint8]) -> Segmentation:
        """The same, where labels (H, W) of a person, 0 for none, overrule what the model said.

        Pixels without data stay without a label.
        """
        former = self._drawn
        return self._with(_drawn=drawn if former is None else np.where(drawn > 0, drawn, former))

    def relabelled(self, labels: npt.NDArray[np.uint8]) -> Segmentation:
        """The same, with labels (H, W) in the place of what the model said."""
        return self._with(_said=labels, _drawn=None, _replaced=True)

    def _with(self, **changes: Any) -> Segmentation:
        """A copy with other attributes, which asks for its labels again."""
        other = copy.copy(self)
        other.__dict__.pop("labels", None)
        other.__dict__ |= changes
        return other

    @cached_property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Class index + 1 of every pixel, (H, W); 0 where there is no data."""
        said, drawn = self._said, self._drawn
        labels = said.view() if drawn is None else overruled(said, drawn)
        # This is what the model said; a caller that wants to paint takes a copy.
        labels.flags.writeable = False
        return labels

    @cached_property
    def _said(self) -> npt.NDArray[np.uint8]:
        """Labels (H, W) of the model, or what took their place, without what a person drew."""
        encoding = self.encoding
        posterior = self._scores.class_log_posterior
        if encoding.rows is not None and encoding.colours is not None and encoding.follow_edges:
            maps, guide = (
                encoding.partition.to_map(v) for v in (posterior.exp(), encoding.colours)
            )
            height, width = self.shape
            best = labels_along_edges(maps, guide, encoding.rows, self.map_pixel_size)
            best = best[:height, :width]
        else:
            best = encoding.partition.largest(posterior)
        labels: npt.NDArray[np.uint8] = (best + 1).cpu().numpy()
        return labels if encoding.data_mask is None else labels * encoding.data_mask

    def class_probabilities(self, cells: bool = False) -> Map:
        """p(c|z), (C, H, W): the log-posteriors are interpolated, then normalised."""
        paint = self.encoding.partition.to_map if cells else self.encoding.partition.to_pixels
        probabilities = paint(self._scores.class_log_posterior).softmax(0)
        return self._where_data(probabilities.float().cpu().numpy(), cells)

    def log_likelihood(self, m: int | str, cells: bool = False) -> Map:
        """Gaussian log-density under prototype ``m``, (H, W)."""
        m = prototype_index(self.prototypes, m)
        return self._paint(self._scores.log_likelihood[:, m], cells)

    def log_likelihood_limits(self) -> tuple[float, float]:
        """Range that shows the log-likelihoods of all active prototypes on one scale.

        From the median over all cells and prototypes, below which nothing is told apart that
        matters, to the 99.9th percentile.
        """
        active = torch.as_tensor(self.active, device=self._scores.log_likelihood.device)
        shown = self._scores.log_likelihood[self.encoding.has_data]
        values = shown[:, active].float().cpu().numpy()
        low, high = np.quantile(values, (0.5, 0.999))
        return float(low), max(float(high), float(low) + 1e-3)

    def likelihood(self, m: int | str, cells: bool = False) -> Map:
        """Typicality for prototype ``m``, (H, W) in [0, 1].

        The share of the prototype's own cells that lie farther from it: of its training cells,
        or, once it was merged, split or added by a person, of those of the image that this was
        done on. Before training, or where those are few, it is the chi-squared survival function
        of the squared Mahalanobis distance, which is that share for cells drawn from the
        Gaussian itself.
        """
        m = prototype_index(self.prototypes, m)
        return self._share_map(self._typicality(m, slice(None)), cells)

    def _typicality(self, m: int, cells: Any) -> Tensor:
        distance = self._scores.mahalanobis[cells, m]
        quantiles = self.prototypes[m].distance_quantiles
        if not self.active[m]:
            return torch.zeros_like(distance)
        if len(quantiles):
            return 1 - rank(distance, quantiles)
        half_dim = torch.full_like(distance, self._dim / 2)
        return torch.special.gammaincc(half_dim, distance / 2)

    def responsibility(self, m: int | str, cells: bool = False) -> Map:
        """Share of prototype ``m`` in the answer for each cell, (H, W).

        Those of a class sum to its posterior; see `MixtureScores.log_responsibility`.
        """
        m = prototype_index(self.prototypes, m)
        return self._share_map(self._scores.log_responsibility[:, m].exp(), cells)

    @cached_property
    def look(self) -> Look | None:
        """What the image looks like within each class; None of a part of an image."""
        context = self.encoding.context
        if context is None or not self.data_share:
            return None
        partition, k = self.encoding.partition, self.map_pixel_size
        chosen = torch.nn.functional.one_hot(
            self._scores.class_log_posterior.argmax(1), len(self.classes)
        )
        area = partition.to_map(chosen.float())
        if (shown := self.encoding.data_map) is not None:
            area = area * torch.from_numpy(shown).to(area)
        # Both must cover the same pixels, also beyond the image.
        extent = [-(-n * self.encoding.context_stride // k) for n in context.shape[-2:]]
        beyond = [max(0, extent[axis] - area.shape[axis + 1]) for axis in (0, 1)]
        return Look.of(context, torch.nn.functional.pad(area, (0, beyond[1], 0, beyond[0])))

    def photo_novelty(self) -> float | None:
        """How unlike the training photographs the image is as a whole, in [0, 1].

        Compared class by class, leaves with leaves and ground with ground: the share of the
        training photographs, each held out in turn, that are less unlike them. From
        ``1 - FALSE_ALARMS`` on it is called unlike; see `Familiarity.novelty`. None where the
        model was not made from enough photographs to know, or the image has no data.
        """
        if self._familiarity is None or self.look is None:
            return None
        novelty = self._familiarity.novelty(self.look)
        return None if np.isnan(novelty) else novelty

    def class_novelty(self) -> dict[str, float]:
        """How far each class of the image is from that of the training photographs, by name.

        The log of the distance; 0 is usual for a photograph like them. Without classes that are
        not there, or of which nothing is known.
        """
        if self._familiarity is None or self.look is None:
            return {}
        distances = self._familiarity.distances(self.look).tolist()
        pairs = zip(self.classes, distances, strict=True)
        return {entry.name: value for entry, value in pairs if not np.isnan(value)}

    def remarks(self) -> list[str]:
        """What one should know before one believes the labels, in sentences; often nothing.

        That the image is unlike the training photographs, mostly without data, constant, grey
        where the model expects colour, or read in another range.
        """
        grey = self.encoding.is_grey and are_coloured([p.patches for p in self.prototypes])
        facts = (self.data_share, self.photo_novelty(), self.class_novelty())
        reading = reading_remarks(self.encoding, self.learned_scales)
        return remarks_of(*facts, lacks_colour=grey) + reading

    def novelty(self, cells: bool = False) -> Map:
        """Share of the training cells of its class that are more familiar, (H, W) in [0, 1].

        The class is the one that a cell is given, so that leaves are compared with leaves; by a
        file of before, which does not know classes apart, with all training cells. Before
        training it compares with the cells of this image.
        """
        return self._share_map(self._novelty(self._scores), cells)

    def _novelty(self, scores: MixtureScores) -> Tensor:
        """Of all cells or of some, (N,)."""
        return novelty_of(scores, self._known_density, self._class_quantiles)

    @cached_property
    def _known_density(self) -> Map:
        """Quantiles (QUANTILES,) of log p(z) over training cells, or those of the image."""
        if self.knows_training_cells:
            return self._density_quantiles
        return quantiles_of(self._scores.log_density[self.encoding.has_data])

    @cached_property
    def compared_with(self) -> str:
        """What novelty compares with, in words."""
        if not self.knows_training_cells:
            return "cells of this image"
        given = self._scores.class_log_posterior.argmax(1).cpu().numpy()
        seen = np.bincount(given, minlength=len(self.classes)) > 0
        known = (levels := self._class_quantiles) is not None and not np.isnan(levels[seen]).any()
        return "training cells of its class" if known else "training cells"

    @property
    def knows_training_cells(self) -> bool:
        """Whether novelty compares with training cells, or else with those of this image."""
        return len(self._density_quantiles) > 0

    def log_density(self, cells: bool = False) -> Map:
        """Log p(z), (H, W); unlike novelty it orders what is farther than all training cells."""
        return self._paint(self._scores.log_density, cells)

    def uncertainty(self, cells: bool = False) -> Map:
        """Entropy of p(c|z) over its largest possible value, (H, W) in [0, 1]."""
        probability = self._scores.class_log_posterior.exp()
        entropy = -(probability * self._scores.class_log_posterior).sum(1)
        return self._share_map(entropy / float(np.log(len(self.classes))), cells)

    def mean_uncertainty(self) -> float | None:
        """Mean of `uncertainty` over what holds data; None where nothing does."""
        values, shown = self.uncertainty(cells=True), self.encoding.data_map
        values = values if shown is None else values[shown]
        return float(values.mean()) if values.size else None

    def at(self, cells: Sequence[int] | Tensor) -> CellValues:
        """Values of some cells, by their indices (K,) in the partition."""
        rows = torch.as_tensor(cells, dtype=torch.long, device=self._scores.mahalanobis.device)
        part = self._scores.of_cells(rows)
        values = (
            part.class_log_posterior.exp(),
            part.log_responsibility.exp(),
            torch.stack([self._typicality(m, rows) for m in range(len(self.prototypes))], dim=1),
            self._novelty(part),
        )
        return CellValues(*(value.float().cpu().numpy() for value in values))

    def cover(self) -> dict[str, float]:
        """Share of each class in the pixels with data, by name; they sum to 1.

        Where there are none, all are 0; see `data_share`.
        """
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes) + 1)
        return cover_of(counts, self.classes)[0]

    @property
    def data_share(self) -> float:
        """Share of the pixels that hold data; `cover` is over these."""
        mask = self.encoding.data_mask
        return 1.0 if mask is None else float(mask.mean())

    def prototype_share(self) -> Map:
        """Mean responsibility of each prototype over the area with data, (M,); sums to 1."""
        return self._prototype_share.copy()

    @cached_property
    def _prototype_share(self) -> Map:
        areas = self.encoding.partition.areas.to(self._scores.log_responsibility)
        if self.encoding.data_share is not None:
            # Without any data all cells count, so that there is a share.
            areas = areas * self.encoding.data_share if self.data_share else areas
        weight = areas / areas.sum()
        return (weight @ self._scores.log_responsibility.exp()).float().cpu().numpy()

    def _where_data(self, values: Map, cells: bool) -> Map:
        """A map (..., H, W) with 0 where there is no data."""
        mask = self.encoding.data_map if cells else self.encoding.data_mask
        return values if mask is None else values * mask

    def _share_map(self, values: Tensor, cells: bool) -> Map:
        return self._where_data(self._paint(values, cells), cells)

    def _paint(self, values: Tensor, cells: bool) -> Map:
        partition = self.encoding.partition
        paint = partition.to_map if cells else partition.to_pixels
        return paint(values[:, None])[0].float().cpu().numpy()
