"""A model that sees as another one does, and knows none of its classes."""

from __future__ import annotations

import math
from typing import Any

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# Of a model whose prototypes few strokes make.
FEW: dict[str, Any] = {"prototypes_per_class": 1, "covariance": "full", "scale_floor": 0.01}


def network_alone(start: PrototypeSegmenter, config: ModelConfig) -> PrototypeSegmenter:
    """A new model on the network of another one, with prototypes that were never fitted.

    Parameters
    ----------
    start : PrototypeSegmenter
        It is not changed; the new one shares backbone and neck.
    config : ModelConfig
        Of the same backbone and neck.
    """
    model = PrototypeSegmenter(config, backbone=start.extractor.backbone)
    model.extractor.neck = start.extractor.neck
    shrunk = config.downsample / start.config.downsample
    model.receptive_radius = math.ceil(start.receptive_radius * shrunk)
    return model.to(start.device).eval()
