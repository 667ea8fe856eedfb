"""Explainable segmentation of field photographs with Gaussian prototypes.

Public names are imported when first used, so that importing the package, as napari does for
every plugin at its start, loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import ModelConfig, SegmentationClass, TrainingConfig
    from napari_gaussproto.core.base.errors import GaussProtoError
    from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
    from napari_gaussproto.core.model.model_file import save_model
    from napari_gaussproto.core.model.predict import segment, segment_to_zarr
    from napari_gaussproto.core.model.registry import list_models, load_model
    from napari_gaussproto.core.model.segmentation import Encoding, Segmentation
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.training.full_fit import fit

try:
    __version__ = version("napari-gaussproto")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Encoding": "model.segmentation",
    "GaussProtoError": "base.errors",
    "GaussianPrototypeLayer": "mixture.layer",
    "ModelConfig": "base.config",
    "PrototypeSegmenter": "model.segmenter",
    "Segmentation": "model.segmentation",
    "SegmentationClass": "base.config",
    "TrainingConfig": "base.config",
    "fit": "training.full_fit",
    "list_models": "model.registry",
    "load_model": "model.registry",
    "save_model": "model.model_file",
    "segment": "model.predict",
    "segment_to_zarr": "model.predict",
}

__all__ = [
    "Encoding",
    "GaussProtoError",
    "GaussianPrototypeLayer",
    "ModelConfig",
    "PrototypeSegmenter",
    "Segmentation",
    "SegmentationClass",
    "TrainingConfig",
    "__version__",
    "fit",
    "list_models",
    "load_model",
    "save_model",
    "segment",
    "segment_to_zarr",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
