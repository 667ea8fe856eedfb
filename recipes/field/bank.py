"""Pictures of plants, leaves and grounds by family, and which families a training never sees."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

Split = Literal["train", "held-out"]
Families = dict[str, list[Image.Image]]
SEEDLINGS = Path(__file__).parent / "seedlings"
TILE = 224
ONE_IN = 5


def on_side(family: str, split: Split) -> bool:
    """Whether a family belongs to a split; one in five is held out, by a hash of its name.

    What follows a hyphen, a number and a plural do not count: "oak-trees" stay with "oak".
    """
    stem = family.split("-")[0].rstrip("0123456789").rstrip("s")
    return (zlib.crc32(stem.encode()) % ONE_IN == 0) == (split == "held-out")


@dataclass(frozen=True)
class Bank:
    """Pictures of one split: RGBA of plants and leaves, RGB of seamless grounds, by family."""

    split: Split
    seedlings: Families = field(default_factory=dict)
    plants: Families = field(default_factory=dict)
    leaves: Families = field(default_factory=dict)
    grounds: Families = field(default_factory=dict)


def cropped(picture: Image.Image) -> Image.Image:
    """An RGBA picture without its transparent margin."""
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 20)).getbbox()
    return picture.crop(box)


def tiles(sheet: Path) -> Iterator[Image.Image]:
    """The plants on a sheet of square tiles."""
    with Image.open(sheet) as opened:
        whole = opened.convert("RGBA")
    for top in range(0, whole.height, TILE):
        for left in range(0, whole.width, TILE):
            tile = whole.crop((left, top, left + TILE, top + TILE))
            if tile.getchannel("A").getbbox():
                yield cropped(tile)


def upright(leaf: Image.Image) -> Image.Image:
    """A single leaf with its base, which is the narrower end, at the top."""
    if leaf.width > leaf.height:
        leaf = leaf.transpose(Image.Transpose.ROTATE_90)
    rows = np.asarray(leaf.getchannel("A"), np.float32).sum(1)
    end = max(1, leaf.height // 12)
    narrow_below = rows[-end:].sum() < rows[:end].sum()
    return leaf.transpose(Image.Transpose.ROTATE_180) if narrow_below else leaf


@cache
def bank(assets: Path | None, split: Split) -> Bank:
    """The bundled seedlings of a split and, with a folder, what its ``index.csv`` lists.

    Parameters
    ----------
    assets
        A folder whose ``index.csv`` has the columns file, kind (plant, leaf, ground; other kinds
        are passed over) and family. None: seedlings only.
    split
        "train" or "held-out".

    Returns
    -------
    Bank
        The families on that side of the split.
    """
    found = Bank(split)
    for sheet in sorted(SEEDLINGS.glob("*.webp")):
        if on_side(sheet.stem, split):
            found.seedlings[sheet.stem] = list(tiles(sheet))
    if assets is None:
        return found
    kinds = {"plant": found.plants, "leaf": found.leaves, "ground": found.grounds}
    with (assets / "index.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["kind"] in kinds]
    for row in rows:
        if on_side(row["family"], split):
            with Image.open(assets / row["file"]) as opened:
                ground = row["kind"] == "ground"
                picture = opened.convert("RGB") if ground else cropped(opened.convert("RGBA"))
            picture = upright(picture) if row["kind"] == "leaf" else picture
            kinds[row["kind"]].setdefault(row["family"], []).append(picture)
    return found
