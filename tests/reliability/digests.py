"""Fingerprints: whether two models, or two folders of results, are the same to the last bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_gaussproto.core.model.model_file import tensors_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


def of_model(model: PrototypeSegmenter) -> str:
    """Of all numbers of a model: weights, patches, quantiles; the card tells the time."""
    digest = hashlib.sha256()
    for key, value in sorted(tensors_of(model).items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def of_labels(out: Path) -> dict[str, str]:
    """Of the labels and tables of a batch; the list of results tells the time."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tif", ".csv", ".png", ".jpg")
    }
