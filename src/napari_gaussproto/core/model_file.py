"""A model as one file: weights and pictures as safetensors, everything else as JSON in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from napari_gaussproto.core.checkpoint import write_atomically
from napari_gaussproto.core.errors import GaussProtoError, ModelFileError
from napari_gaussproto.core.segmenter import Prototype, PrototypeSegmenter
from napari_gaussproto.core.summary import (
    FORMAT,
    FORMAT_VERSION,
    SUFFIX,
    ModelSummary,
    parse_summary,
    read_description,
)


def save_model(model: PrototypeSegmenter, path: str | Path, half: bool = True) -> Path:
    """Write a model to one file.

    Parameters
    ----------
    model : PrototypeSegmenter
    path : path
        ``.safetensors`` is appended when it has no suffix.
    half : bool
        Store the extractor's weights as float16. The layer's stay float32: they are few.

    Returns
    -------
    Path
        The file written; a crash leaves a former file of that name as it was.
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(SUFFIX)
    tensors = {f"model/{k}": _stored(k, v, half) for k, v in model.state_dict().items()}
    for m, prototype in enumerate(model.prototypes):
        tensors[f"prototype/{m}/patches"] = torch.from_numpy(prototype.patches)
        tensors[f"prototype/{m}/patch_labels"] = torch.from_numpy(prototype.patch_labels)
        tensors[f"prototype/{m}/quantiles"] = torch.from_numpy(prototype.distance_quantiles)
    tensors["density_quantiles"] = torch.from_numpy(model.density_quantiles)
    description = {
        "format_version": FORMAT_VERSION,
        "config": model.config.model_dump(mode="json"),
        "card": model.card.model_dump(mode="json"),
        "receptive_radius": model.receptive_radius,
        "prototypes": [
            {
                "name": p.name,
                "class_index": p.class_index,
                "usage": _finite(p.usage),
                "purity": _finite(p.purity),
            }
            for p in model.prototypes
        ],
    }
    write_atomically(path, tensors, {FORMAT: json.dumps(description)})
    return path


def load_model_file(path: str | Path, device: torch.device | str = "cpu") -> PrototypeSegmenter:
    """Read a model; nothing in the file is executed.

    Raises
    ------
    ModelFileError
        When the file is missing, broken, foreign or of a newer version.
    """
    path = Path(path)
    tensors, description = _read(path)
    summary = parse_summary(path, description)
    try:
        model = _build(summary, tensors, description)
    except GaussProtoError:
        raise
    except (KeyError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise ModelFileError(
            f"“{path.name}” does not fit its own description: "
            "it is damaged, get a fresh copy of it."
        ) from error
    return model.to(device).eval()


def _stored(key: str, value: Tensor, half: bool) -> Tensor:
    reducible = half and key.startswith("extractor.") and value.dtype == torch.float32
    return value.half() if reducible else value


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    description = read_description(path)
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, description  # noqa: SIM118


def _build(
    summary: ModelSummary, tensors: dict[str, Tensor], description: dict[str, Any]
) -> PrototypeSegmenter:
    entries = summary.prototypes
    model = PrototypeSegmenter(
        summary.config, class_index=[int(entry["class_index"]) for entry in entries]
    )
    wanted = model.state_dict()
    model.load_state_dict({key: tensors[f"model/{key}"].to(v.dtype) for key, v in wanted.items()})
    model.card = summary.card
    model.receptive_radius = int(description["receptive_radius"])
    model.density_quantiles = tensors["density_quantiles"].numpy()
    model.prototypes = [
        Prototype(
            name=str(entry["name"]),
            class_index=int(entry["class_index"]),
            patches=tensors[f"prototype/{m}/patches"].numpy(),
            patch_labels=tensors[f"prototype/{m}/patch_labels"].numpy(),
            usage=float("nan") if entry["usage"] is None else float(entry["usage"]),
            purity=float("nan") if entry["purity"] is None else float(entry["purity"]),
            distance_quantiles=tensors[f"prototype/{m}/quantiles"].numpy(),
        )
        for m, entry in enumerate(entries)
    ]
    return model
