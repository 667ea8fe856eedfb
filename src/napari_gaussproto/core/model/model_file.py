"""A model as one file: weights and pictures as safetensors, everything else as JSON in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from napari_gaussproto.core.base.atomic import refuse_folder
from napari_gaussproto.core.base.device import resolve_device
from napari_gaussproto.core.base.errors import GaussProtoError, ModelFileError, memory_in_words
from napari_gaussproto.core.base.tensor_file import write_tensors
from napari_gaussproto.core.model.card import ModelSummary
from napari_gaussproto.core.model.familiarity import Familiarity
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.soundness import (
    UnsoundError,
    check_answers,
    check_patches,
    check_shapes,
    check_tensors,
)
from napari_gaussproto.core.model.summary import (
    FORMAT,
    FORMAT_VERSION,
    UNREADABLE,
    check_description,
    model_path,
    parse_summary,
    read_description,
    summary_of,
    with_suffix,
)
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.receptive import largest_radius

# Where a function takes a model: itself, the name of a shipped one, or the path of a file.
AnyModel = PrototypeSegmenter | str | Path

# How the names of a model's weights begin, in the file and in its state.
WEIGHTS = "model/"
BACKBONE = "extractor.backbone."


def as_model(model: AnyModel) -> PrototypeSegmenter:
    """The model itself, or that of a name or file, loaded on the best device.

    Raises
    ------
    ModelFileError, ConfigError
        As `load_model`, and when it is no model.
    """
    return model if isinstance(model, PrototypeSegmenter) else load_model(model)


def save_model(model: AnyModel, path: str | Path, half: bool = True) -> Path:
    """Write a model to one file.

    Parameters
    ----------
    model : PrototypeSegmenter, str or path
        A model, the name of a shipped one, or the file of one.
    path : path
        ``.safetensors`` is appended where it is missing.
    half : bool
        Store the extractor's weights as float16. The layer's stay float32: they are few. So
        do the statistics of normalisation: a variance can be larger than float16 holds.

    Returns
    -------
    Path
        The file written; a crash leaves a former file of that name as it was.

    Raises
    ------
    ModelFileError
        When the file cannot be written there, ``path`` is a folder, or the model could not be
        loaded again.
    """
    model = as_model(model)
    refuse_folder(Path(path), ModelFileError)
    path = with_suffix(path)
    tensors = {k: _stored(k, v, half) for k, v in sound_tensors_of(model).items()}
    description = {"format_version": FORMAT_VERSION} | description_of(model)
    write_tensors(path, tensors, {FORMAT: json.dumps(description)})
    return path


def tensors_of(model: PrototypeSegmenter) -> dict[str, Tensor]:
    """Everything in a model that is numbers, by name and of any shape; not copied."""
    tensors = {f"{WEIGHTS}{key}": value for key, value in model.state_dict().items()}
    for m, prototype in enumerate(model.prototypes):
        tensors[f"prototype/{m}/patches"] = torch.from_numpy(prototype.patches)
        tensors[f"prototype/{m}/patch_labels"] = torch.from_numpy(prototype.patch_labels)
        tensors[f"prototype/{m}/quantiles"] = torch.from_numpy(prototype.distance_quantiles)
    tensors["density_quantiles"] = torch.from_numpy(model.density_quantiles)
    if model.class_quantiles is not None:
        tensors["class_quantiles"] = torch.from_numpy(model.class_quantiles)
    if model.familiarity is not None:
        tensors |= model.familiarity.tensors
    return tensors


def sound_tensors_of(model: PrototypeSegmenter) -> dict[str, Tensor]:
    """The tensors, of any shapes, of a model that may be kept; see `tensors_of`.

    Raises
    ------
    ModelFileError
        When it cannot be computed with, as after a training that went astray, or its pictures
        could not be shown.
    """
    tensors = tensors_of(model)
    class_index = [prototype.class_index for prototype in model.prototypes]
    try:
        check_tensors(tensors, class_index, len(model.classes))
    except UnsoundError as error:
        raise ModelFileError(
            f"“{model.card.name}” is not saved, because it has {error}: go back to an earlier "
            "version of it."
        ) from error
    for m, prototype in enumerate(model.prototypes):
        try:
            _check_patches(tensors, m, len(model.classes))
        except UnsoundError as error:
            raise ModelFileError(
                f"“{model.card.name}” is not saved, because “{prototype.name}” has {error}: give "
                "it square RGB patches, and the index of a class for each."
            ) from error
    return tensors


def description_of(model: PrototypeSegmenter) -> dict[str, Any]:
    """Everything else in a model, as JSON.

    Raises
    ------
    ModelFileError
        When it could not be read again.
    """
    try:
        description = _described(model)
        check_description(description)
        _radius(model.receptive_radius, model.alignment, model.config.downsample)
    except UNREADABLE as error:
        reason = ": ".join(line.strip() for line in str(error).splitlines()[1:3]) or error
        raise ModelFileError(
            f"The model is not saved, because its description could not be read again ({reason}): "
            "undo what was last changed in it."
        ) from error
    return description


def _described(model: PrototypeSegmenter) -> dict[str, Any]:
    return {
        "config": model.config.model_dump(mode="json"),
        "card": model.card.model_dump(mode="json", warnings=False),
        "receptive_radius": model.receptive_radius,
        "prototypes": [entry.model_dump() for entry in summary_of(model).prototypes],
    }


def load_model(name_or_path: str | Path, device: str = "auto") -> PrototypeSegmenter:
    """Load a model for use.

    Parameters
    ----------
    name_or_path : str or Path
        A name from `list_models`, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    ModelFileError
        See `load_model_file`.
    ConfigError
        When the device is not there.
    """
    return load_model_file(model_path(name_or_path), resolve_device(device))


def load_model_file(path: str | Path, device: torch.device | str = "cpu") -> PrototypeSegmenter:
    """Read a model; nothing in the file is executed.

    Raises
    ------
    ModelFileError
        When the file is missing, broken, foreign or of a newer version.
    ShortOfMemoryError
        When memory is too short for the model.
    """
    path = Path(path)
    description = read_description(path)
    summary = parse_summary(path, description)
    try:
        with memory_in_words(), safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            model = build_model(summary, tensors, description).eval()
            check_answers(model)
    except GaussProtoError:
        raise
    except UnsoundError as error:
        raise ModelFileError(
            f"“{path.name}” cannot be computed with, because it has {error}: get a fresh copy of "
            "it, or save the model anew."
        ) from error
    except _MISFIT as error:
        raise ModelFileError(
            f"“{path.name}” does not fit its own description: "
            "it is damaged, get a fresh copy of it."
        ) from error
    return model.to(device)


# What tensors of a damaged file raise, when they are read and when a model is made of them.
_MISFIT = (
    *(KeyError, ValueError, RuntimeError, TypeError, IndexError, AttributeError, OverflowError),
    *(OSError, SafetensorError),
)


def _stored(key: str, value: Tensor, half: bool) -> Tensor:
    statistic = key.endswith((".running_mean", ".running_var"))
    own = key.startswith(f"{WEIGHTS}extractor.") and not statistic
    reducible = half and own and value.dtype == torch.float32
    if reducible and value.numel() and float(value.abs().max()) > torch.finfo(torch.half).max:
        return value
    return value.half() if reducible else value


def _radius(value: Any, alignment: int, downsample: int) -> int:
    """A radius in pixels that `effective_radius` could have found.

    Files of before, and of models made from them, may hold less than there is; tiles then need
    surroundings for the farthest looking network. A fit measures it.
    """
    radius = int(value)
    if not 0 <= radius <= max(4 * alignment, 1024 * downsample):
        raise ValueError(f"a receptive radius of {radius} pixels")
    return radius if radius >= alignment else largest_radius(alignment)


def _check_patches(tensors: dict[str, Tensor], m: int, classes: int) -> None:
    check_patches(
        tensors[f"prototype/{m}/patches"], tensors[f"prototype/{m}/patch_labels"], classes
    )


def _pictures(tensors: dict[str, Tensor], m: int, classes: int) -> dict[str, npt.NDArray[Any]]:
    """Patches of a prototype and the labels in their middle, checked."""
    _check_patches(tensors, m, classes)
    names = ("patches", "patch_labels")
    return {name: tensors[f"prototype/{m}/{name}"].numpy() for name in names}


def build_model(
    summary: ModelSummary,
    tensors: dict[str, Tensor],
    description: dict[str, Any],
    backbone: Backbone | None = None,
) -> PrototypeSegmenter:
    """A model on the CPU from tensors of the shapes of `tensors_of`, and `description_of`.

    With a backbone to share, that one is left as it is, wherever it is, and needs no tensors.

    Raises
    ------
    KeyError, ValueError, RuntimeError, TypeError, IndexError
        When the two do not fit together.
    """
    entries = summary.prototypes
    class_index = [entry.class_index for entry in entries]
    check_tensors(tensors, class_index, len(summary.config.classes))
    weights = {k.removeprefix(WEIGHTS): v for k, v in tensors.items() if k.startswith(WEIGHTS)}
    check_shapes(weights, summary.config, class_index, backbone)
    model = PrototypeSegmenter(summary.config, class_index=class_index, backbone=backbone)
    modules: dict[str, nn.Module] = {"extractor.neck.": model.extractor.neck, "layer.": model.layer}
    if backbone is None:
        modules[BACKBONE] = model.extractor.backbone
    # One by one: loading into a module writes to all of it, also to what the state leaves out.
    for prefix, module in modules.items():
        own = module.state_dict().items()
        module.load_state_dict(
            {key: weights[f"{prefix}{key}"].to(value.dtype) for key, value in own}
        )
    model.card = summary.card
    model.receptive_radius = _radius(
        description["receptive_radius"], model.alignment, model.config.downsample
    )
    model.density_quantiles = tensors["density_quantiles"].float().numpy()
    if "class_quantiles" in tensors:  # not in files of before
        model.class_quantiles = tensors["class_quantiles"].float().numpy()
    model.familiarity = Familiarity.of_tensors(tensors)
    width = model.extractor.backbone.widths[model.extractor.context_level]
    known = (len(model.classes), width)
    if model.familiarity is not None and model.familiarity.mean.shape != known:
        raise ValueError(f"familiarity of another shape than {known}")
    model.prototypes = [
        Prototype(
            name=entry.name,
            class_index=entry.class_index,
            **_pictures(tensors, m, len(model.classes)),
            usage=float("nan") if entry.usage is None else entry.usage,
            purity=float("nan") if entry.purity is None else entry.purity,
            distance_quantiles=tensors[f"prototype/{m}/quantiles"].float().numpy(),
        )
        for m, entry in enumerate(entries)
    ]
    return model
