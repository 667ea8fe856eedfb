"""Parts of models and drawings on disk, each under the hash of its content.

A part that is there already is not written again. So what a version of a model costs is what
changed in it: after a quick fit the neck and the prototypes, not the backbone.

No fit and no edit changes a model in place, they all make a new one (see ``core/quick.py``,
``core/fine_tune.py`` and ``core/edit.py``). So models can share a backbone, in memory as well
as on disk, and with it whatever was computed by it. Should one be changed all the same, that
is noticed by its tensors, and it is neither shared nor taken for what it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from pydantic import TypeAdapter
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.base.config import Classes
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
    pack,
    unpack,
)
from napari_gaussproto.core.model.model_file import (
    BACKBONE,
    WEIGHTS,
    build_model,
    description_of,
    tensors_of,
)
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import parse_summary
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.folding import Key, weight_versions

FILE_PATTERN = r"^[0-9a-f]{64}\.(safetensors|json|npz)$"
Parts = dict[str, str]
_TENSORS = ".safetensors"
_Reference = weakref.ref[npt.NDArray[Any]]
_PROTOTYPE = re.compile(r"prototype/(\d+)/(patches|patch_labels)")
_CLASSES: TypeAdapter[list[Any]] = TypeAdapter(Classes)


class PartFolder:
    """Files named by the SHA-256 of their content.

    Parameters
    ----------
    folder : Path
        Made when the first part is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes, suffix: str) -> str:
        """Write a part unless it is there, whole; returns its file name."""
        name = hashlib.sha256(data).hexdigest() + suffix
        if not self._holds(name, data):
            write_bytes_atomically(self.folder / name, data)
        return name

    def get(self, name: str) -> bytes:
        """Content of a part.

        Raises
        ------
        OSError, ValueError
            When it is not there, or damaged.
        """
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            raise ValueError(f"the content of {name} is not what its name says")
        return data

    def has(self, name: str) -> bool:
        """Whether a part is there; its content is not looked at."""
        return (self.folder / name).is_file()

    def sweep(self, wanted: Iterable[str]) -> None:
        """Delete all other parts, and what a kill left half-written."""
        wanted = set(wanted)
        for path in self.folder.glob("*"):
            part = re.match(FILE_PATTERN, path.name) and path.name not in wanted
            if part or re.fullmatch(r"\..*\.part", path.name):
                # What another program holds open stays for the next time.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _holds(self, name: str, data: bytes) -> bool:
        path = self.folder / name
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except OSError:
            return False


class ModelParts:
    """Models as parts in a folder: backbone, neck, layer, what is known of each prototype.

    Parameters
    ----------
    folder : PartFolder
    """

    def __init__(self, folder: PartFolder) -> None:
        self._folder = folder
        # Backbones that are alive somewhere, with the file each is in and its tensors then.
        self._known: weakref.WeakKeyDictionary[Backbone, tuple[str, Key]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def put(self, model: PrototypeSegmenter) -> Parts:
        """Write what is new in a model; its backbone is shared from now on."""
        tensors: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors_of(model).items():
            part, name = _place(key)
            tensors.setdefault(part, {})[name] = value
        parts = {"backbone": self._put_backbone(model.extractor.backbone, tensors.pop("backbone"))}
        for part, values in tensors.items():
            parts[part] = self._folder.put(_packed(values), _TENSORS)
        parts["description"] = self._folder.put(_as_json(description_of(model)), ".json")
        return parts

    def get(self, parts: Parts, device: torch.device | str) -> PrototypeSegmenter:
        """Put a model together, on a backbone that is alive if there is an equal one.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, GaussProtoError
            When something is missing, damaged, or does not fit together.
        """
        description = json.loads(self._folder.get(parts["description"]))
        summary = parse_summary(self._folder.folder / parts["description"], description)
        device = torch.empty(0, device=device).device  # "cuda" is "cuda:0"
        shared = self._alive(parts["backbone"], device)
        tensors: dict[str, Tensor] = {}
        for part, file in parts.items():
            if file.endswith(_TENSORS) and not (part == "backbone" and shared is not None):
                values = tensors_from_bytes(self._folder.get(file))
                tensors |= {_key(part, name): value for name, value in values.items()}
        model = build_model(summary, tensors, description, shared)
        if shared is None:
            model.extractor.backbone.to(device)
            self._remember(model.extractor.backbone, parts["backbone"])
        model.extractor.neck.to(device)
        model.layer.to(device)
        return model.eval()

    def _put_backbone(self, backbone: Backbone, tensors: dict[str, Tensor]) -> str:
        with self._lock:
            file, versions = self._known.get(backbone, ("", ()))
        if versions == weight_versions(backbone) and self._folder.has(file):
            return file
        # Equal weights are not enough: networks of some names differ in their padding only.
        file = self._folder.put(_packed(tensors, backbone.name), _TENSORS)
        self._remember(backbone, file)
        return file

    def _remember(self, backbone: Backbone, file: str) -> None:
        with self._lock:
            self._known.pop(backbone, None)  # so that it becomes the latest
            self._known[backbone] = (file, weight_versions(backbone))

    def _alive(self, file: str, device: torch.device) -> Backbone | None:
        with self._lock:
            for backbone, (known, versions) in reversed(list(self._known.items())):
                here = next(backbone.parameters()).device == device
                if known == file and here and versions == weight_versions(backbone):
                    return backbone
        return None


class DrawingParts:
    """Annotations as parts in a folder: classes and names, and one file for each image.

    Parameters
    ----------
    folder : PartFolder
    """

    def __init__(self, folder: PartFolder) -> None:
        self._folder = folder
        # By the ids of labels and mask, which say nothing any more when either array is gone.
        self._known: dict[tuple[int, int], tuple[str, _Reference, _Reference]] = {}

    def put(self, annotations: Annotations) -> Parts:
        """Write what is new; arrays count as unchanged while they are the same objects."""
        content = {
            "classes": [c.model_dump(mode="json") for c in annotations.classes],
            "images": [a.image.model_dump(mode="json") for a in annotations.images],
        }
        parts = {"annotations": self._folder.put(_as_json(content), ".json")}
        for i, annotation in enumerate(annotations.images):
            parts[f"drawn/{i}"] = self._put_one(annotation)
        return parts

    def get(self, parts: Parts) -> Annotations:
        """The annotations among the parts of a version; empty when there are none.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError
            When something is missing or damaged.
        """
        if "annotations" not in parts:
            return Annotations()
        content = json.loads(self._folder.get(parts["annotations"]))
        images = []
        for i, entry in enumerate(content["images"]):
            file = parts[f"drawn/{i}"]
            annotation = unpack(self._folder.get(file), ImageIdentity.model_validate(entry))
            self._remember(annotation, file)
            images.append(annotation)
        return Annotations(tuple(_CLASSES.validate_python(content["classes"])), tuple(images))

    def _put_one(self, annotation: Annotation) -> str:
        known = self._known.get(_ids(annotation))
        if known is not None and known[1]() is annotation.labels:
            file, _, touched = known
            if touched() is annotation.touched and self._folder.has(file):
                return file
        file = self._folder.put(pack(annotation), ".npz")
        self._remember(annotation, file)
        return file

    def _remember(self, annotation: Annotation, file: str) -> None:
        kept = list(self._known.items())
        living = {ids: known for ids, known in kept if known[1]() is not None}
        labels, touched = weakref.ref(annotation.labels), weakref.ref(annotation.touched)
        living[_ids(annotation)] = (file, labels, touched)
        self._known = living


def _ids(annotation: Annotation) -> tuple[int, int]:
    return id(annotation.labels), id(annotation.touched)


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


def _as_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
