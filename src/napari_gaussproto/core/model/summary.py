"""Which models there are and what their files say, read without torch and without weights."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from importlib import resources
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from napari_gaussproto.core.base.config import FIELD, FIRST_LOOK, ModelConfig
from napari_gaussproto.core.base.errors import GaussProtoError, ModelFileError
from napari_gaussproto.core.model.card import (
    LogEntry,
    ModelCard,
    ModelSummary,
    PrototypeEntry,
    SplitMeasures,
)

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

FORMAT = "napari-gaussproto"
# 2: local features, levels of the backbone that are left out, the size of photographs. All fields
# of 1 are the same.
FORMAT_VERSION = 2
SUFFIX = ".safetensors"
# Lists and dictionaries within each other in a description; what is written has half a dozen.
_DEEPEST = 64
# What is raised by a description that has no meaning; that of pydantic is a ValueError.
UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, RecursionError)
# Packages with compiled or large data are always installed unzipped.
_FOLDER = Path(str(resources.files("napari_gaussproto"))) / "models"


def list_models() -> list[str]:
    """Names of the shipped models: the one for a first look, then by the alphabet."""
    names = (path.stem for path in _FOLDER.glob(f"*{SUFFIX}"))
    return sorted(names, key=lambda name: (name != FIRST_LOOK, name))


def model_path(name_or_path: str | Path) -> Path:
    """File of a shipped model or start by its name, or of a model by its path.

    Raises
    ------
    ModelFileError
        When it is neither.
    """
    if not isinstance(name_or_path, str | PathLike):
        raise ModelFileError(
            f"A model cannot be of type {type(name_or_path).__name__}: give the name of a shipped "
            "model, the path of a model file, or a model that was loaded."
        )
    if str(name_or_path) in list_models():
        return _FOLDER / f"{name_or_path}{SUFFIX}"
    if str(name_or_path) == FIELD:
        return start_path(FIELD)
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    names = ", ".join(list_models()) or "none"
    raise ModelFileError(
        f"There is no model “{name_or_path}”: "
        f"give the path of a model file or the name of a shipped model ({names})."
    )


def knowing(names: Collection[str], partition: str) -> str | None:
    """Name of the shipped model, with these cells, that knows most of some classes: two or more."""
    known = {
        name: len({entry.name for entry in summary.config.classes} & set(names))
        for name, summary in _shipped().items()
        if summary.config.partition == partition
    }
    best = max(known, key=lambda name: known[name], default=None)
    return best if best is not None and known[best] > 1 else None


@cache
def _shipped() -> dict[str, ModelSummary]:
    return {name: read_summary(model_path(name)) for name in list_models()}


def start_path(name: str) -> Path:
    """File of a shipped start: a model whose classes mean nothing, for its features."""
    return _FOLDER / "starts" / f"{name}{SUFFIX}"


def with_suffix(path: str | Path, suffix: str = SUFFIX) -> Path:
    """Where something is saved to under a name; another dot in the name is no suffix."""
    path = Path(path)
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def read_summary(path: str | Path) -> ModelSummary:
    """Read configuration, card and list of prototypes, without weights or network.

    Raises
    ------
    ModelFileError
        When the file is missing, broken, foreign or newer.
    """
    path = Path(path)
    return parse_summary(path, read_description(path))


def summary_of(model: PrototypeSegmenter) -> ModelSummary:
    """What a file would say about a model in memory."""
    entries = [
        PrototypeEntry(
            name=p.name,
            class_index=p.class_index,
            usage=_finite(p.usage),
            purity=_finite(p.purity),
        )
        for p in model.prototypes
    ]
    return ModelSummary(model.config, model.card, entries)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def classes_of(path: Path) -> list[str]:
    """Names of the classes of a model file; none of one that cannot be read."""
    try:
        return [entry.name for entry in read_summary(path).config.classes]
    except GaussProtoError:
        return []


def read_description(path: Path) -> dict[str, Any]:
    """The JSON inside a model file, of a version that this package knows.

    Raises
    ------
    ModelFileError
        When the file is missing, broken, foreign or newer.
    """
    if not path.is_file():
        raise ModelFileError(f"There is no model file “{path}”: check the name and the folder.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"“{path.name}” is not a model file or is cut short: get a fresh copy of it."
        ) from error
    if FORMAT not in metadata:
        raise ModelFileError(
            f"“{path.name}” holds weights of another program: "
            "choose a model saved by napari-gaussproto."
        )
    try:
        description = json.loads(metadata[FORMAT])
        version = int(description["format_version"])
        _refuse_nonsense(metadata[FORMAT], description)
    except UNREADABLE as error:
        raise ModelFileError(
            f"The description inside “{path.name}” is damaged: get a fresh copy of it."
        ) from error
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"“{path.name}” was saved by a newer version of napari-gaussproto: "
            "update the plugin to open it."
        )
    return dict(description)


def _refuse_nonsense(text: str, description: Any) -> None:
    """Refuse what JSON can spell, and what later is too much for a screen, a file or a copy.

    Raises
    ------
    ValueError
        For halves of surrogate pairs, and for lists in lists in lists without end.
    """
    if "\\u" in text:
        json.dumps(description, ensure_ascii=False).encode()
    level = [description] if isinstance(description, dict | list) else []
    for _ in range(_DEEPEST):
        inside = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inside for v in values if isinstance(v, dict | list)]
    if level:
        raise ValueError("a description that is nested too deeply")


def parse_summary(path: Path, description: dict[str, Any]) -> ModelSummary:
    """Configuration, card and prototypes from a model file's JSON.

    Raises
    ------
    ModelFileError
        When something is missing or has no meaning.
    """
    try:
        return _summary_of(description)
    except UNREADABLE as error:
        raise ModelFileError(
            f"The description inside “{path.name}” is damaged: get a fresh copy of it."
        ) from error


def check_description(description: dict[str, Any]) -> None:
    """Make sure that a description can be read again when it is written.

    Raises
    ------
    ValueError, TypeError, KeyError, OverflowError, RecursionError
        As pydantic, JSON and this module say it.
    """
    text = json.dumps(description)
    _refuse_nonsense(text, description)
    _summary_of(json.loads(text))


def _summary_of(description: dict[str, Any]) -> ModelSummary:
    config = ModelConfig.model_validate(description["config"])
    card = ModelCard.model_validate(description["card"])
    entries = [PrototypeEntry.model_validate(entry) for entry in description["prototypes"]]
    if any(entry.class_index >= len(config.classes) for entry in entries):
        raise ValueError("a prototype of an unknown class")
    for measures in card.measures.values():
        SplitMeasures.model_validate(measures)
    for event in card.history:
        LogEntry.model_validate(event)
    if (card.strokes or 0) < 0:
        raise ValueError("less than no strokes")
    return ModelSummary(config, card, entries)
