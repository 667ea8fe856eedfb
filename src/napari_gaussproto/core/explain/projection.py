"""The latent space as a picture: prototypes and a sample of cells along two directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

Floats = npt.NDArray[np.float64]

# Directions are found on so many points drawn from each prototype.
_DRAWS = 300


@dataclass(frozen=True)
class Projection:
    """Prototypes and cells in two dimensions.

    Attributes
    ----------
    method : {"discriminant", "principal"}
        Directions that tell classes apart best, or those of the largest spread.
    means : (M, 2) ndarray
    ellipses : (M, 3) ndarray
        Half axes and angle in radians of each covariance at one standard deviation; the first
        half axis points along (cos, sin) of the angle.
    cells : (K, 2) ndarray
        A sample.
    cell_class : (K,) ndarray of int
        Most probable class of each.
    """

    method: Literal["discriminant", "principal"]
    means: Floats
    ellipses: Floats
    cells: Floats
    cell_class: npt.NDArray[np.int64]


@torch.no_grad()
def project(model: PrototypeSegmenter, latents: Tensor, sample: int = 1500) -> Projection:
    """Project prototypes and cells onto two directions.

    The directions belong to the model and not to the image, so that pictures of several images
    can be compared: they are found on points drawn from the active prototypes. With three
    classes or more they are those of Fisher's linear discriminant analysis between the
    classes; with fewer there are not two such directions, and the principal components are
    taken.

    Parameters
    ----------
    model : PrototypeSegmenter
    latents : (N, D) Tensor
        Cells of one or more images.
    sample : int
        How many cells to show.
    """
    layer = model.layer
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(latents), generator=generator)[:sample]
    z = latents[order.to(latents.device)]
    means = _array(layer.mean)
    factors = _array(layer.scale_tril)
    active = layer.active.cpu().numpy()
    draws = np.random.default_rng(0).normal(size=(_DRAWS, layer.dim))
    points = [mean + draws @ f.T for mean, f in zip(means[active], factors[active], strict=True)]
    groups = layer.class_index.cpu().numpy()[active].repeat(_DRAWS)
    method, axes, origin = _directions(np.concatenate(points), groups)
    ellipses = np.array([_ellipse(axes.T @ factor) for factor in factors])
    cells = (_array(z) - origin) @ axes
    cell_class = layer(z).argmax(1).cpu().numpy()
    return Projection(method, (means - origin) @ axes, ellipses, cells, cell_class)


def _array(tensor: Tensor) -> Floats:
    return tensor.float().cpu().numpy().astype(np.float64)


def _directions(
    points: Floats, groups: npt.NDArray[np.int64]
) -> tuple[Literal["discriminant", "principal"], Floats, Floats]:
    """Two directions as columns (D, 2), and the point that becomes the origin."""
    if len(np.unique(groups)) >= 3:
        found = LinearDiscriminantAnalysis(n_components=2).fit(points, groups)
        return "discriminant", found.scalings_[:, :2], found.xbar_
    found = PCA(2).fit(points)
    return "principal", found.components_.T, found.mean_


def _ellipse(factor: Floats) -> tuple[float, float, float]:
    """Half axes and angle of the ellipse of a projected factor (2, D) of a covariance."""
    variance, directions = np.linalg.eigh(factor @ factor.T)
    long, short = np.sqrt(np.maximum(variance[::-1], 0))
    return float(long), float(short), float(np.arctan2(directions[1, 1], directions[0, 1]))
