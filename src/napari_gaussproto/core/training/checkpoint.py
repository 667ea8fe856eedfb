"""The state of an unfinished training on disk: safetensors and JSON, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from napari_gaussproto.core.base.errors import ConfigError, ModelFileError
from napari_gaussproto.core.base.tensor_file import write_tensors


def save_checkpoint(
    path: Path,
    states: dict[str, dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Store named state dicts, an optimizer and plain values.

    Parameters
    ----------
    path : Path
    states : dict
        Name -> state dict, of tensors of any shape.
    optimizer : torch.optim.Optimizer
        Its per-parameter tensors are stored; its settings come from the configuration.
    progress : dict
        JSON-able values.
    """
    tensors = {f"{name}/{key}": value for name, s in states.items() for key, value in s.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in entries.items()}
    write_tensors(path, tensors, {"progress": json.dumps(progress)})


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
        raise _no_checkpoint(path) from error


def _no_checkpoint(path: Path) -> ModelFileError:
    return ModelFileError(
        f"“{path}” is not a training checkpoint that can be resumed: delete it to start anew."
    )


def load_checkpoint(
    path: Path, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read what `save_checkpoint` stored, in the same shapes, and restore the optimizer.

    Raises
    ------
    ModelFileError
        When the file is no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # as in `read_progress`
        raise _no_checkpoint(path) from error
    states: dict[str, dict[str, Tensor]] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        name, rest = key.split("/", 1)
        if name == "optimizer":
            index, leaf = rest.split("/", 1)
            moments.setdefault(int(index), {})[leaf] = value
        else:
            states.setdefault(name, {})[rest] = value
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": settings})
    return states, progress


def check_identity(path: Path, own: dict[str, Any]) -> None:
    """Make sure that a checkpoint belongs to the training that would go on from it.

    Parameters
    ----------
    path : Path
    own : dict
        What must be as it was, by name; stored as ``training`` among the plain values.

    Raises
    ------
    ConfigError
        When anything differs.
    ModelFileError
        When the file is no checkpoint.
    """
    stored = read_progress(path).get("training", {})
    differ = [what for what, value in own.items() if stored.get(what) != value]
    if differ:
        raise ConfigError(
            f"The checkpoint “{path}” belongs to a training with another "
            f"{', another '.join(differ)}: delete it to start anew."
        )
