"""What a quick fit starts from: a head that may change, or a new one on the same backbone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer, name_prototypes
from napari_gaussproto.core.network.extractor import Neck
from napari_gaussproto.core.training.pyramid import EncodedImage
from napari_gaussproto.core.training.quick_cells import StrokeCells


def with_own_head(model: PrototypeSegmenter) -> PrototypeSegmenter:
    """A copy whose neck and prototypes may change; the backbone is shared."""
    other = model.with_layer(
        copy.deepcopy(model.layer),
        [copy.copy(prototype) for prototype in model.prototypes],
        model.card.model_copy(deep=True),
    )
    extractor = copy.copy(model.extractor)
    extractor._modules = dict(extractor._modules)
    extractor.neck = copy.deepcopy(model.extractor.neck)
    other.extractor = extractor
    # Its statistics are fixed: those of a few strokes are not those of an image.
    return other.eval()


def restart(model: PrototypeSegmenter, images: Sequence[EncodedImage], cells: StrokeCells) -> None:
    """A new neck, normalised over whole images, and new prototypes."""
    config, backbone = model.config, model.extractor.backbone
    neck = Neck(
        backbone.widths,
        backbone.strides,
        config.output_stride,
        config.neck_channels,
        config.latent_dim,
    )
    model.extractor.neck = neck.to(model.device).eval()
    _set_statistics(model.extractor.neck, images)
    class_index = [c for c in range(len(model.classes)) for _ in range(config.prototypes_per_class)]
    layer = make_layer(config, class_index).to(model.device).eval()
    layer.active.copy_((cells.target.sum(0) > 0)[layer.class_index])
    model.layer = layer
    model.prototypes = name_prototypes(model.classes, class_index)


@torch.no_grad()
def _set_statistics(neck: Neck, images: Sequence[EncodedImage]) -> None:
    """Mean and variance of every channel of the pyramid, over all images."""
    for position, norm in enumerate(neck.norms):
        levels = [image.pyramid[position] for image in images]
        count = sum(level.shape[-1] * level.shape[-2] for level in levels)
        mean = torch.stack([level.sum((0, 2, 3)) for level in levels]).sum(0) / count
        square = torch.stack([level.square().sum((0, 2, 3)) for level in levels]).sum(0) / count
        statistics: Any = norm
        statistics.running_mean.copy_(mean)
        statistics.running_var.copy_((square - mean.square()).clamp_min(1e-6))
