"""The state of an unfinished training on disk: safetensors and JSON, replaced atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from napari_gaussproto.core.base.config import ModelConfig, TrainingConfig
from napari_gaussproto.core.base.errors import ConfigError, ModelFileError
from napari_gaussproto.core.base.tensor_file import write_tensors
from napari_gaussproto.core.training.samples import TrainingImage


def save_checkpoint(
    path: Path,
    states: dict[str, dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Store named state dicts, of tensors of any shape, and JSON-able values.

    Of the optimizer its per-parameter tensors are stored; its settings come from the
    configuration.
    """
    tensors = {f"{name}/{key}": value for name, s in states.items() for key, value in s.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in entries.items()}
    write_tensors(path, tensors, {"progress": json.dumps(progress)})


# Every so many rows and columns of an image tell it from others.
_SAMPLED = 16
# Settings of a model that former versions did not know, as it was without them.
_UNKNOWN_BEFORE = {
    "follow_edges": True,
    "neck": "fused",
    "strides": None,
    "local_features": False,
    "photo_pixels": None,
}


def read_progress(path: Path) -> dict[str, Any]:
    """The plain values that `save_checkpoint` stored.

    Raises
    ------
    ModelFileError
        When the file is no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()["progress"]))
    except Exception as error:  # safetensors raises its own types, json and keys theirs
        raise ModelFileError(
            f"“{path}” is not a training checkpoint that can be resumed: delete it to start anew."
        ) from error


def classes_of_prototypes(path: Path) -> list[int] | None:
    """Class of each prototype of the model in a checkpoint; None where there is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            index: list[int] = file.get_tensor("model/layer.class_index").tolist()
            return index
    except (SafetensorError, OSError):
        return None


def load_checkpoint(
    path: Path, optimizer: torch.optim.Optimizer, training: dict[str, Any]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read what `save_checkpoint` stored, in the same shapes, and restore the optimizer.

    Parameters
    ----------
    path : Path
    optimizer : torch.optim.Optimizer
    training : dict
        What must be as it was, by name; stored under this name among the plain values.

    Raises
    ------
    ConfigError
        When the checkpoint belongs to another training.
    ModelFileError
        When the file is no checkpoint.
    """
    progress = read_progress(path)
    stored = progress.get("training", {})
    if "model" in stored:
        stored["model"] = _UNKNOWN_BEFORE | stored["model"]
        # Checkpoints of before lack them, and so does the training of a start, which draws its own.
        stored.setdefault("pixels", training.get("pixels"))
    differ = [what for what, value in training.items() if stored.get(what) != value]
    if differ:
        raise ConfigError(
            f"The checkpoint “{path}” belongs to a training with another "
            f"{', another '.join(differ)}: delete it to start anew."
        )
    states: dict[str, dict[str, Tensor]] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(path).items():
        name, rest = key.split("/", 1)
        if name == "optimizer":
            index, leaf = rest.split("/", 1)
            moments.setdefault(int(index), {})[leaf] = value
        else:
            states.setdefault(name, {})[rest] = value
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": settings})
    return states, progress


def identity(
    model: ModelConfig, training: TrainingConfig, seed: int, data: Sequence[TrainingImage]
) -> dict[str, Any]:
    """What tells one training from another, JSON-able: all but how many steps it takes."""
    labels, pixels = hashlib.sha256(), hashlib.sha256()
    for image in data:
        labels.update(image.full_labels.numpy().tobytes())
        # It is asked for at every validation; others of the same size differ in these, too.
        pixels.update(image.pixels[:, ::_SAMPLED, ::_SAMPLED].numpy().tobytes())
    return {
        "model": model.model_dump(mode="json"),
        "settings": training.model_dump(mode="json", exclude={"steps"}),
        "seed": seed,
        "images": [[image.source.height, image.source.width] for image in data],
        "labels": labels.hexdigest(),
        "pixels": pixels.hexdigest(),
    }
