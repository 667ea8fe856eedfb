"""What a training configuration file says, and the images it names."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, ValidationError

from napari_gaussproto.core.base.config import ModelConfig, Settings, TrainingConfig, wrong_setting
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.model.card import ModelCard
from napari_gaussproto.io.images import read_image, read_mask


class DataSettings(Settings):
    """Where images and masks are.

    Attributes
    ----------
    images, masks : str
        Folders, relative to the data folder given on the command line.
    index : str
        Table with the columns ``image``, ``mask`` and ``split``, relative to it as well.
    mask_offset : int
        Added to every mask value, so that classes count from 1.
    ignore : list of int
        Mask values (before the offset) that are not labelled.
    """

    images: str = "images"
    masks: str = "masks"
    index: str = "index.csv"
    mask_offset: int = 0
    ignore: list[int] = Field(default_factory=list)


class CardSettings(ModelCard):
    """A card as a person writes it, where an unknown key is a slip."""

    model_config = ConfigDict(extra="forbid")


class TrainFile(Settings):
    """A training configuration: data, model, training and card."""

    data: DataSettings = DataSettings()
    model: ModelConfig
    training: TrainingConfig = TrainingConfig()
    card: CardSettings = Field(default_factory=CardSettings)


Split = tuple[list[Any], list[npt.NDArray[Any]]]


def read_train_file(path: str | Path) -> TrainFile:
    """Read a training configuration (TOML).

    Raises
    ------
    ConfigError
        When it cannot be read or says something that has no meaning.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return TrainFile.model_validate(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"“{path}” could not be read: check the name and the folder.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"“{path.name}” is not valid TOML: {error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"“{path.name}” is no text in UTF-8: save it as such.") from error
    except ValidationError as error:
        raise ConfigError(wrong_setting(f"“{path.name}”", error)) from error


def load_split(settings: DataSettings, folder: str | Path, split: str) -> Split:
    """Images and label images (H, W) uint8 of one split.

    Raises
    ------
    ConfigError
        When the index is missing, lacks columns, or names no such split.
    ImageError, LabelError
        For files that cannot be used.
    """
    folder = Path(folder)
    index = folder / settings.index
    rows = [row for row in _index(index) if row["split"] == split]
    if not rows:
        raise ConfigError(
            f"“{index.name}” lists no image of the split “{split}”: check its column “split”."
        )
    images = [read_image(folder / settings.images / row["image"]) for row in rows]
    masks = [_labels(folder / settings.masks / row["mask"], settings) for row in rows]
    return images, masks


def _index(path: Path) -> list[dict[str, str]]:
    try:
        # A spreadsheet program may put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restval="")
            missing = {"image", "mask", "split"} - set(table.fieldnames or ())
            rows = list(table)
    except OSError as error:
        raise ConfigError(_no_index(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"“{path.name}” is no table: save it as CSV in UTF-8.") from error
    if missing:
        raise ConfigError(
            f"“{path.name}” has no column {' and no column '.join(sorted(missing))}: "
            "image, mask and split are needed, separated by commas."
        )
    return rows


def _no_index(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder “{path.parent}”: check the name that --data gives."
    if not path.exists():
        return (
            f"“{path.parent}” holds no “{path.name}”: give the folder that does with --data, or "
            "write that table, with the columns image, mask and split."
        )
    return f"“{path}” could not be read: check whether it is a file that you may read."


def _labels(path: Path, settings: DataSettings) -> npt.NDArray[Any]:
    mask = read_mask(path).astype(np.int64)
    labels = mask + settings.mask_offset
    labels[np.isin(mask, settings.ignore)] = 0
    if labels.min() < 0 or labels.max() > 254:
        raise LabelError(
            f"“{path.name}” has values from {mask.min()} to {mask.max()}: "
            "set mask_offset so that classes count from 1."
        )
    return labels.astype(np.uint8)
