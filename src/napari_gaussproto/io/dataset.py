"""What a training configuration file says, and the images it names."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy.typing as npt
from pydantic import ConfigDict, Field, ValidationError

from napari_gaussproto.core.base.config import (
    ModelConfig,
    SegmentationClass,
    Settings,
    TrainingConfig,
    wrong_setting,
)
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.mask_rules import MaskRules
from napari_gaussproto.core.model.card import ModelCard
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.masks import find_mask, labels_of_file

Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class DataSettings(Settings):
    """Where images and masks are.

    Attributes
    ----------
    images, masks : str
        Folders, relative to the data folder given on the command line. The masks may be one COCO
        file, too.
    index : str
        Table with the columns ``image``, ``mask`` and ``split``, relative to it as well. Where
        ``mask`` is empty or not there, `find_mask` looks for it.
    mask_offset, ignore, colors, ignore_colors, background, ignore_names
        See `MaskRules`.
    """

    images: str = "images"
    masks: str = "masks"
    index: str = "index.csv"
    mask_offset: int = 0
    ignore: list[int] = Field(default_factory=list)
    colors: dict[str, Color] = Field(default_factory=dict)
    ignore_colors: list[Color] = Field(default_factory=list)
    background: str = ""
    ignore_names: list[str] = Field(default_factory=list)

    def rules(self, classes: Sequence[SegmentationClass] = ()) -> MaskRules:
        """How masks become labels of these classes."""
        named = (self.colors, self.ignore_colors, self.background, self.ignore_names)
        return MaskRules(classes, self.mask_offset, self.ignore, *named)


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


def load_split(
    settings: DataSettings,
    folder: str | Path,
    split: str,
    classes: Sequence[SegmentationClass] = (),
) -> Split:
    """Images and label images (H, W) uint8 of one split.

    Parameters
    ----------
    classes : sequence of SegmentationClass
        Whose names and colours masks have; without them, masks of numbers alone can be read.

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
    images, masks, rules = [], [], settings.rules(classes)
    for row in rows:
        path = folder / settings.images / row["image"]
        images.append(read_image(path))
        mask, shape = _mask_path(folder / settings.masks, row, path), tuple(images[-1].shape[:2])
        masks.append(labels_of_file(mask, rules, path, shape))
    return images, masks


def _mask_path(masks: Path, row: dict[str, str], image: Path) -> Path:
    """Where the mask of a row is: one file for all, or one in a folder."""
    if masks.suffix.lower() == ".json" and masks.is_file():
        return masks
    return masks / row["mask"] if row.get("mask") else find_mask(masks, row["image"], image)


def _index(path: Path) -> list[dict[str, str]]:
    try:
        # A spreadsheet program may put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restval="")
            missing = {"image", "split"} - set(table.fieldnames or ())
            rows = list(table)
    except OSError as error:
        raise ConfigError(_no_index(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"“{path.name}” is no table: save it as CSV in UTF-8.") from error
    if missing:
        raise ConfigError(
            f"“{path.name}” has no column {' and no column '.join(sorted(missing))}: "
            "image and split are needed, and mask where it has another name than its image, "
            "separated by commas."
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
