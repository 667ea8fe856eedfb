"""Small real objects that tests are built from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from napari_gaussproto.core.base.config import Augmentation, ModelConfig, TrainingConfig
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.mixture.placement import place_by_kmeans
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# The smallest timm network with features at strides 2 to 32: keeps training tests quick.
TINY_BACKBONE = "mobilenetv3_small_050"


def random_layer(
    dim: int = 6,
    class_index: tuple[int, ...] = (0, 0, 1, 2, 2),
    covariance: str = "diagonal",
    seed: int = 0,
) -> GaussianPrototypeLayer:
    """A layer with random parameters everywhere."""
    generator = torch.Generator().manual_seed(seed)
    layer = GaussianPrototypeLayer(dim, class_index, max(class_index) + 1, covariance=covariance)
    with torch.no_grad():
        for parameter in (layer.mean, layer.raw_scale, layer.raw_weight, layer.raw_prior):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        layer.off_diagonal.copy_(0.3 * torch.randn(layer.off_diagonal.shape, generator=generator))
    return layer


def tiny_config(**changes: object) -> ModelConfig:
    """Two classes, a tiny backbone with random weights, eight latent dimensions."""
    settings = {
        "classes": ["soil", "plant"],
        "backbone": TINY_BACKBONE,
        "pretrained": False,
        "latent_dim": 8,
        "neck_channels": 16,
        "prototypes_per_class": 2,
    }
    return ModelConfig(**(settings | changes))


def tiny_training(**changes: object) -> TrainingConfig:
    """A fit that takes seconds."""
    settings = {
        "steps": 4,
        "batch_size": 2,
        "crop_size": 64,
        "warm_up_steps": 20,
        "layer_steps": 10,
        "cells_per_image": 64,
        "validate_every": 2,
        "augmentation": Augmentation(hue=0.0),
    }
    return TrainingConfig(**(settings | changes))


def tiny_model(seed: int = 0, **changes: object) -> PrototypeSegmenter:
    """A segmenter with a random backbone, its prototypes placed on a two-tone image."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PrototypeSegmenter(tiny_config(**changes)).eval()
    if model.config.channels == 3 and len(model.classes) == 2:
        image, labels = two_tone(seed=seed)
        encoding = segment(image, model).encoding
        target, _ = encoding.partition.targets(torch.from_numpy(labels), 2)
        place_by_kmeans(model.layer, encoding.latents, target.argmax(1), seed)
    return model


def two_tone(
    height: int = 96, width: int = 128, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A brown image with green discs, and its labels (1 soil, 2 plant)."""
    rng = np.random.default_rng(seed)
    labels = np.ones((height, width), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(4):
        y, x, radius = rng.integers(height), rng.integers(width), rng.integers(10, 24)
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 2
    tones = np.array([[0, 0, 0], [130, 95, 60], [60, 150, 50]])
    image = tones[labels] + rng.normal(0, 12, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), labels
