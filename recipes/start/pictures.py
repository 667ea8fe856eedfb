"""What a training learns from: folders of synthetic fields, photographs with masks, grounds."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from recipes.field.bank import bank

Pixels = npt.NDArray[np.uint8]
Pair = tuple[Path, Path]


@dataclass
class Pictures:
    """Files of pictures and of their masks, where 0 is soil and every species has a number.

    Attributes
    ----------
    fields : list of tuple of tuple of Path
        Two views of each field, as ``recipes.field.make`` writes them: (picture, mask) twice.
    photos : list of tuple of Path
        Photographs of real fields and their masks.
    grounds : list of array
        (H, W, 3) seamless pictures of soils and gravels.
    """

    folder: Path
    fields: list[tuple[Pair, Pair]] = field(default_factory=list)
    photos: list[Pair] = field(default_factory=list)
    grounds: list[Pixels] = field(default_factory=list)

    def look_again(self) -> None:
        """Take in the fields that were written meanwhile; the last one may be unfinished."""
        names = sorted(self.folder.glob("*_b_species.png"))[:-1]
        self.fields = [(_view(name, "a"), _view(name, "b")) for name in names]


def _view(name: Path, view: str) -> Pair:
    number = name.name.split("_")[0]
    return name.with_name(f"{number}_{view}.png"), name.with_name(f"{number}_{view}_species.png")


def open_pictures(fields: Path, photos: Path | None, assets: Path | None) -> Pictures:
    """Find all pictures.

    Parameters
    ----------
    fields : Path
        A folder that ``recipes.field.make`` has written.
    photos : Path, optional
        A data set whose ``index.csv`` has the columns image, mask and split; of it "train".
    assets : Path, optional
        See `recipes.field.bank.bank`; its grounds are used.
    """
    found = Pictures(fields)
    found.look_again()
    if photos is not None:
        found.photos = photos_of(photos, "train")
    if assets is not None:
        families = bank(assets, "train").grounds.values()
        found.grounds = [np.asarray(one) for family in families for one in family]
    return found


def photos_of(folder: Path, split: str) -> list[Pair]:
    """Images and masks of one split of a data set."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == split]
    return [(folder / "images" / row["image"], folder / "masks" / row["mask"]) for row in rows]


@lru_cache(maxsize=700)
def read(pair: Pair) -> tuple[Pixels, Pixels]:
    """A picture (H, W, 3) and its species (H, W)."""
    with Image.open(pair[0]) as picture, Image.open(pair[1]) as mask:
        return np.asarray(picture.convert("RGB")), np.asarray(mask)
