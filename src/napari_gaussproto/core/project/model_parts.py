"""Models on disk in parts: a version costs what changed in it, and backbones are shared.

After a quick fit the neck and the prototypes are new, not the backbone. No fit and no edit
changes a model in place; each makes a new one. So models can share a backbone, in memory as
well as on disk, and with it whatever was computed by it. A backbone that was changed in place
all the same is noticed by its tensors, and is neither shared nor taken for what it was.
"""

from __future__ import annotations

import json
import re
import weakref

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from napari_gaussproto.core.model.model_file import (
    BACKBONE,
    WEIGHTS,
    build_model,
    description_of,
    sound_tensors_of,
)
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import parse_summary
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.folding import Key, weight_versions
from napari_gaussproto.core.project.content_store import ContentStore

Parts = dict[str, str]
_TENSORS = ".safetensors"
_PROTOTYPE = re.compile(r"prototype/(\d+)/(patches|patch_labels)")


class ModelParts:
    """Models as files of a store: backbone, neck, layer, what is known of each prototype."""

    def __init__(self, files: ContentStore) -> None:
        self._files = files
        # Backbones that are alive somewhere, with the file each is in and its tensors then.
        self._known: weakref.WeakKeyDictionary[Backbone, tuple[str, Key]] = (
            weakref.WeakKeyDictionary()
        )

    def put(self, model: PrototypeSegmenter) -> Parts:
        """Write what is new in a model; its backbone is shared from now on.

        Raises
        ------
        ModelFileError
            When it cannot be computed with.
        """
        tensors: dict[str, dict[str, Tensor]] = {}
        for key, value in sound_tensors_of(model).items():
            part, name = _place(key)
            tensors.setdefault(part, {})[name] = value
        parts = {"backbone": self._put_backbone(model.extractor.backbone, tensors.pop("backbone"))}
        for part, values in tensors.items():
            parts[part] = self._files.put(_packed(values), _TENSORS)
        parts["description"] = self._files.put_json(description_of(model))
        return parts

    def get(self, parts: Parts, device: torch.device | str) -> PrototypeSegmenter:
        """Put a model together, on a backbone that is alive if there is an equal one.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, GaussProtoError
            When something is missing, damaged, or does not fit together.
        """
        description = json.loads(self._files.get(parts["description"]))
        summary = parse_summary(self._files.folder / parts["description"], description)
        device = torch.empty(0, device=device).device  # "cuda" is "cuda:0"
        shared = self._alive(parts["backbone"], device)
        tensors: dict[str, Tensor] = {}
        for part, file in parts.items():
            if file.endswith(_TENSORS) and not (part == "backbone" and shared is not None):
                values = tensors_from_bytes(self._files.get(file))
                tensors |= {_key(part, name): value for name, value in values.items()}
        model = build_model(summary, tensors, description, shared)
        if shared is None:
            model.extractor.backbone.to(device)
            self._remember(model.extractor.backbone, parts["backbone"])
        model.extractor.neck.to(device)
        model.layer.to(device)
        return model.eval()

    def _put_backbone(self, backbone: Backbone, tensors: dict[str, Tensor]) -> str:
        file, versions = self._known.get(backbone, ("", ()))
        if versions == weight_versions(backbone) and self._files.has(file):
            return file
        # Equal weights are not enough: networks of some names differ in their padding only.
        file = self._files.put(_packed(tensors, backbone.identity), _TENSORS)
        self._remember(backbone, file)
        return file

    def _remember(self, backbone: Backbone, file: str) -> None:
        self._known.pop(backbone, None)  # so that it becomes the latest
        self._known[backbone] = (file, weight_versions(backbone))

    def _alive(self, file: str, device: torch.device) -> Backbone | None:
        for backbone, (known, versions) in reversed(list(self._known.items())):
            here = next(backbone.parameters()).device == device
            if known == file and here and versions == weight_versions(backbone):
                return backbone
        return None


def _place(key: str) -> tuple[str, str]:
    """Part that a tensor of a model belongs to, and its name there.

    The pictures of a prototype are a part of their own without its number, because they stay
    the same while others are added, merged and deleted.
    """
    if found := _PROTOTYPE.fullmatch(key):
        return f"patches/{found[1]}", found[2]
    if not key.startswith(WEIGHTS):
        return "quantiles", key
    if key.startswith(WEIGHTS + BACKBONE):
        return "backbone", key
    return ("neck" if key.startswith(f"{WEIGHTS}extractor.") else "layer"), key


def _key(part: str, name: str) -> str:
    """The way back from `_place`."""
    kind, _, number = part.partition("/")
    return f"prototype/{number}/{name}" if kind == "patches" else name


def _packed(tensors: dict[str, Tensor], note: str = "") -> bytes:
    """As safetensors; equal tensors always give equal bytes."""
    contiguous = {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}
    return tensors_to_bytes(contiguous, metadata={"note": note} if note else None)
