"""The segmenter: image to cells (`encode`), cells to classes and explanations (`decode`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_gaussproto.core.backbone import Backbone
from napari_gaussproto.core.card import ModelCard
from napari_gaussproto.core.config import ModelConfig, SegmentationClass
from napari_gaussproto.core.extractor import Extractor
from napari_gaussproto.core.gaussian import GaussianPrototypeLayer
from napari_gaussproto.core.partition import Partition
from napari_gaussproto.core.partitioner import make_partitioner
from napari_gaussproto.core.steps import run

if TYPE_CHECKING:
    from napari_gaussproto.core.explain import Explanation
    from napari_gaussproto.core.gallery import Gallery
    from napari_gaussproto.core.image import ImageSource

Map = npt.NDArray[np.float32]

# Levels at which the spread of training cells is remembered, for typicality and novelty.
QUANTILES = 101


@dataclass
class Prototype:
    """What is known about one Gaussian besides its parameters.

    `identity` stays with a prototype through edits of the model, when its place in the list and
    its name do not; see `napari_gaussproto.core.edit.index_of`.

    Attributes
    ----------
    name : str
    class_index : int
    patches : ndarray
        (K, S, S, 3) uint8, the nearest training patches, nearest first.
    patch_labels : ndarray
        (K,) class index at each patch's centre.
    usage : float
        Share of its class' training cells for which it is responsible.
    purity : float
        Largest class share among the patches; nan without patches.
    distance_quantiles : ndarray
        (QUANTILES,) squared Mahalanobis distances of its own cells, ascending: training cells,
        or those of the image that it was merged, split or added on.
    identity : object
        In no file.
    """

    name: str
    class_index: int
    patches: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros((0, 48, 48, 3), np.uint8)
    )
    patch_labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    usage: float = float("nan")
    purity: float = float("nan")
    distance_quantiles: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.zeros(0, np.float32)
    )
    identity: object = field(default_factory=object, repr=False, compare=False)


@dataclass
class Encoding:
    """An image as cells: the slow part of a segmentation, kept.

    Attributes
    ----------
    latents : Tensor
        (N, D).
    partition : Partition
    """

    latents: Tensor
    partition: Partition

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image in pixels."""
        return self.partition.shape


class PrototypeSegmenter(nn.Module):
    """Extractor, partition and Gaussian prototype layer in a row.

    Parameters
    ----------
    config : ModelConfig
    pretrained : bool
        Start the backbone from ImageNet weights; files bring their own.
    class_index : list of int, optional
        Class of each prototype; by default ``prototypes_per_class`` for every class.
    backbone : Backbone, optional
        One to share with other models; by default a new one.

    Attributes
    ----------
    partitioner : Partitioner
        Cuts images into cells as the configuration says.
    prototypes : list of Prototype
        In the order of the layer's.
    card : ModelCard
    receptive_radius : int
        Pixels of the original image beyond which the input hardly moves a latent vector.
    density_quantiles : ndarray
        (QUANTILES,) of log p(z) over training cells, ascending; empty before training.
    """

    def __init__(
        self,
        config: ModelConfig,
        pretrained: bool = False,
        class_index: list[int] | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.partitioner = make_partitioner(config)
        self.extractor = Extractor(config, pretrained, backbone)
        if class_index is None:
            class_index = [
                c for c in range(len(config.classes)) for _ in range(config.prototypes_per_class)
            ]
        self.layer = make_layer(config, class_index)
        self.prototypes = name_prototypes(config.classes, class_index)
        self.card = ModelCard()
        self.receptive_radius = 4 * self.extractor.alignment
        self.density_quantiles: npt.NDArray[np.float32] = np.zeros(0, np.float32)

    @property
    def classes(self) -> list[SegmentationClass]:
        """Classes, in order of their index."""
        return self.config.classes

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.layer.mean.device

    @property
    def alignment(self) -> int:
        """Pixels that the sides and origins of what `extract` gets are multiples of."""
        return self.extractor.alignment

    @property
    def cell_size(self) -> int:
        """Pixels of the original image per latent position."""
        return self.config.cell_size

    def extract(self, image: Tensor) -> Tensor:
        """Latent map (B, D, H / cell_size, W / cell_size) of images (B, C, H, W) in [0, 1].

        H and W must be multiples of `alignment`.
        """
        latents: Tensor = self.extractor(image)
        return latents

    def partition(self, source: ImageSource) -> Partition:
        """Cut an image into this model's cells."""
        return run(self.partitioner.steps(source))

    def encode(self, image: Any) -> Encoding:
        """Cells of a whole image, without tiles.

        Parameters
        ----------
        image : array or ImageSource
            See `ImageSource.from_array`.
        """
        from napari_gaussproto.core.predict import encode_steps

        return run(encode_steps(image, self, tile=None))

    def decode(self, encoding: Encoding) -> Segmentation:
        """Classes and explanations of an encoded image; a few matrix products."""
        return Segmentation(self, encoding)

    def with_layer(
        self, layer: GaussianPrototypeLayer, prototypes: list[Prototype], card: ModelCard
    ) -> PrototypeSegmenter:
        """A model with other prototypes that shares this one's extractor, without a copy."""
        other = copy.copy(self)
        # A shallow copy of a module shares the table of its parts; this one needs its own.
        other._modules = dict(self._modules)
        other.layer = layer.train(self.training)
        other.prototypes = prototypes
        other.card = card
        return other

    def with_extractor(self, extractor: Extractor) -> PrototypeSegmenter:
        """The same prototypes behind a copy of the extractor, on the device of that copy."""
        device = next(extractor.parameters()).device
        layer = copy.deepcopy(self.layer).to(device)
        other = self.with_layer(layer, self.prototypes, self.card)
        other.extractor = extractor
        return other

    def on_device(self, device: torch.device | str) -> PrototypeSegmenter:
        """A copy of the model on a device; this one stays where it is."""
        return self.with_extractor(copy.deepcopy(self.extractor).to(device))

    def with_regions(self, region_size: int) -> PrototypeSegmenter:
        """Same model with superpixels of another nominal side in pixels; weights are shared.

        The prototypes were learned from regions of the model's own size: far from it, expect
        worse results. Models whose cells are no superpixels are returned as they are.

        Raises
        ------
        ConfigError
            For a size that regions cannot have.
        """
        if not self.config.has_regions or region_size == self.config.region_size:
            return self
        other = copy.copy(self)
        other.config = self.config.with_region_size(region_size)
        other.partitioner = make_partitioner(other.config)
        return other

    def gallery(self) -> Gallery:
        """Prototypes by class, with patches and marks of health; shows itself in a notebook."""
        from napari_gaussproto.core.gallery import gallery_of

        return gallery_of(self)

    def __repr__(self) -> str:
        """The model in one line; the modules of the network would be hundreds."""
        names = ", ".join(entry.name for entry in self.classes)
        return (
            f"<PrototypeSegmenter “{self.card.name}” of {names}: {len(self.prototypes)} "
            f"prototypes, {self.config.latent_dim} latent dimensions>"
        )

    def forward(self, image: Tensor) -> Tensor:
        """Log p(c|z) at every latent position, (B, C, h, w), of images (B, C, H, W)."""
        latents = self.extract(image)
        batch, dim, height, width = latents.shape
        cells = latents.permute(0, 2, 3, 1).reshape(-1, dim)
        return self.layer(cells).reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def make_layer(config: ModelConfig, class_index: list[int]) -> GaussianPrototypeLayer:
    """Build the Gaussian prototype layer that a configuration describes."""
    return GaussianPrototypeLayer(
        config.latent_dim,
        class_index,
        len(config.classes),
        covariance=config.covariance,
        learned_scale=config.learned_scale,
        scale_floor=config.scale_floor,
    )


def name_prototypes(classes: list[SegmentationClass], class_index: list[int]) -> list[Prototype]:
    """Name prototypes after their class and their number in it: “weed 3”."""
    counts = [0] * len(classes)
    prototypes = []
    for c in class_index:
        counts[c] += 1
        prototypes.append(Prototype(f"{classes[c].name} {counts[c]}", c))
    return prototypes


@dataclass(frozen=True)
class CellValues:
    """What a model says about K cells.

    Attributes
    ----------
    posterior : ndarray
        (K, C) p(c|z).
    responsibility, typicality : ndarray
        (K, M); 0 for inactive prototypes.
    novelty : ndarray
        (K,).
    """

    posterior: Map
    responsibility: Map
    typicality: Map
    novelty: Map


class Segmentation:
    """What a model says about one image; maps are computed when asked for.

    Every map is (H, W) at the image's resolution, or with ``cells=True`` at the partition's
    own, where an element covers ``map_pixel_size`` pixels in each direction.
    """

    def __init__(self, model: PrototypeSegmenter, encoding: Encoding) -> None:
        self.encoding = encoding
        self.classes = list(model.classes)
        self.prototypes = list(model.prototypes)
        self._density_quantiles = model.density_quantiles
        layer = model.layer
        self._dim = layer.dim
        self.active: list[bool] = layer.active.tolist()
        # Everything that a later edit of the model would change is computed now.
        with torch.no_grad():
            self._mahalanobis = layer.mahalanobis(encoding.latents)
            self._log_likelihood = layer.log_likelihood_from(self._mahalanobis)
            self._log_responsibility = layer.log_responsibility(self._log_likelihood)
            log_class = layer.class_log_likelihood(self._log_likelihood)
            self._log_posterior = layer.class_log_posterior_from(log_class)
            self._log_density = layer.log_density_from(log_class)

    def __repr__(self) -> str:
        height, width = self.shape
        names = ", ".join(entry.name for entry in self.classes)
        cells, prototypes = self.encoding.partition.n_cells, len(self.prototypes)
        return (
            f"<Segmentation of {height} x {width} pixels in {cells} cells: {names}; "
            f"{prototypes} prototypes>"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.encoding.shape

    @property
    def map_pixel_size(self) -> int:
        """Side of an element of a map at cell resolution, in pixels."""
        return self.encoding.partition.map_pixel_size

    @cached_property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Class index + 1 of every pixel, (H, W)."""
        best = self.encoding.partition.largest(self._log_posterior)
        labels: npt.NDArray[np.uint8] = (best + 1).cpu().numpy()
        # What the model said; whoever wants to paint takes a copy.
        labels.flags.writeable = False
        return labels

    def class_probabilities(self, cells: bool = False) -> Map:
        """p(c|z), (C, H, W): the log-posteriors are interpolated, then normalised."""
        paint = self.encoding.partition.to_map if cells else self.encoding.partition.to_pixels
        return paint(self._log_posterior).softmax(0).float().cpu().numpy()

    def log_likelihood(self, m: int, cells: bool = False) -> Map:
        """Gaussian log-density under prototype ``m``."""
        return self._paint(self._log_likelihood[:, self._check(m)], cells)

    def log_likelihood_limits(self) -> tuple[float, float]:
        """Range that shows the log-likelihoods of all active prototypes on one scale.

        From the median over all cells and prototypes, below which nothing is told apart that
        matters, to the 99.9th percentile.
        """
        active = torch.as_tensor(self.active, device=self._log_likelihood.device)
        values = self._log_likelihood[:, active].float().cpu().numpy()
        low, high = np.quantile(values, (0.5, 0.999))
        return float(low), max(float(high), float(low) + 1e-3)

    def likelihood(self, m: int, cells: bool = False) -> Map:
        """Typicality for prototype ``m``, in [0, 1].

        The share of the prototype's own cells that lie farther from it: of its training cells,
        or, once it was merged, split or added by a person, of those of the image that this was
        done on. Before training, or where those are few, it is the chi-squared survival function
        of the squared Mahalanobis distance, which is that share for cells drawn from the
        Gaussian itself.
        """
        return self._paint(self._typicality(m, slice(None)), cells)

    def _typicality(self, m: int, cells: Any) -> Tensor:
        distance = self._mahalanobis[cells, self._check(m)]
        quantiles = self.prototypes[m].distance_quantiles
        if not self.active[m]:
            return torch.zeros_like(distance)
        if len(quantiles):
            return 1 - rank(distance, quantiles)
        half_dim = torch.full_like(distance, self._dim / 2)
        return torch.special.gammaincc(half_dim, distance / 2)

    def responsibility(self, m: int, cells: bool = False) -> Map:
        """Share of prototype ``m`` in explaining each cell; all prototypes sum to 1."""
        return self._paint(self._log_responsibility[:, self._check(m)].exp(), cells)

    def novelty(self, cells: bool = False) -> Map:
        """Share of the training cells that the model finds more familiar, in [0, 1].

        Before training there are none to compare with; then the cells of this image are.
        """
        return self._paint(self._novelty(slice(None)), cells)

    def _novelty(self, cells: Any) -> Tensor:
        return self._novelty_of(self._log_density[cells])

    def _novelty_of(self, log_density: Tensor) -> Tensor:
        quantiles = self._density_quantiles
        if not self.knows_training_cells:
            quantiles = quantiles_of(self._log_density)
        return 1 - rank(log_density, quantiles)

    def novelty_at(self, log_density: Map) -> Map:
        """Novelty of places of a given log-density, for example of averages of `log_density`."""
        return self._novelty_of(torch.from_numpy(log_density)).numpy()

    @property
    def knows_training_cells(self) -> bool:
        """Whether novelty compares with training cells, or else with those of this image."""
        return len(self._density_quantiles) > 0

    def log_density(self, cells: bool = False) -> Map:
        """Log p(z); unlike novelty it also orders what is farther than all training cells."""
        return self._paint(self._log_density, cells)

    def uncertainty(self, cells: bool = False) -> Map:
        """Entropy of p(c|z) over its largest possible value, in [0, 1]."""
        probability = self._log_posterior.exp()
        entropy = -(probability * self._log_posterior).sum(1)
        return self._paint(entropy / float(np.log(len(self.classes))), cells)

    def at(self, cells: Sequence[int] | Tensor) -> CellValues:
        """Values of some cells, by their indices in the partition."""
        rows = torch.as_tensor(cells, dtype=torch.long, device=self._log_density.device)
        typicality = [self._typicality(m, rows) for m in range(len(self.prototypes))]
        return CellValues(
            *(
                values.float().cpu().numpy()
                for values in (
                    self._log_posterior[rows].exp(),
                    self._log_responsibility[rows].exp(),
                    torch.stack(typicality, dim=1),
                    self._novelty(rows),
                )
            )
        )

    def most_responsible(self) -> npt.NDArray[np.int64]:
        """Index of the most responsible prototype of every cell, (N,)."""
        return self._log_responsibility.argmax(1).cpu().numpy()

    def explain(self, y: int, x: int) -> Explanation:
        """Why a pixel has its class; see `napari_gaussproto.core.explain.explain`."""
        from napari_gaussproto.core.explain import explain

        return explain(self, y, x)

    def cover(self) -> dict[str, float]:
        """Share of the pixels of each class, by name; they sum to 1."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes) + 1)[1:]
        return {
            c.name: float(n) / self.labels.size for c, n in zip(self.classes, counts, strict=True)
        }

    def prototype_share(self) -> Map:
        """Mean responsibility of each prototype over the image's area, (M,); sums to 1."""
        return self._prototype_share.copy()

    @cached_property
    def _prototype_share(self) -> Map:
        areas = self.encoding.partition.areas
        weight = (areas / areas.sum()).to(self._log_responsibility)
        return (weight @ self._log_responsibility.exp()).float().cpu().numpy()

    def _check(self, m: int) -> int:
        if not 0 <= m < len(self.prototypes):
            raise IndexError(f"there is no prototype {m}: the model has {len(self.prototypes)}")
        return m

    def _paint(self, values: Tensor, cells: bool) -> Map:
        partition = self.encoding.partition
        paint = partition.to_map if cells else partition.to_pixels
        return paint(values[:, None])[0].float().cpu().numpy()


def quantiles_of(values: Tensor) -> npt.NDArray[np.float32]:
    """Quantiles of values at `QUANTILES` even levels, ascending."""
    levels = np.linspace(0, 1, QUANTILES)
    return np.quantile(values.detach().float().cpu().numpy(), levels).astype(np.float32)


def rank(values: Tensor, quantiles: npt.NDArray[np.float32]) -> Tensor:
    """Share in [0, 1] of a distribution, known by its quantiles, that lies below each value."""
    known = torch.as_tensor(quantiles, dtype=values.dtype, device=values.device)
    above = torch.searchsorted(known, values.contiguous(), right=True).clamp(1, len(known) - 1)
    low, high = known[above - 1], known[above]
    within = ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return (above - 1 + within) / (len(known) - 1)
