"""Write fields as pictures: python -m recipes.field.make FIRST LAST OUT.

Field N becomes OUT/NNNNN_a.png and OUT/NNNNN_b.png, and beside each its species as
OUT/NNNNN_a_species.png: 0 soil, 1 crop, 2 and more the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from PIL import Image

from . import field
from .bank import Split


def options(description: str | None) -> argparse.ArgumentParser:
    """What making and previewing fields have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--assets", type=Path, help="folder with more plants, leaves and grounds")
    parser.add_argument("--split", choices=get_args(Split), default="train")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 384), metavar=("W", "H"))
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Write the photographs and masks of a range of fields."""
    parser = options(__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the first field that is not written")
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for number in range(chosen.first, chosen.last):
        views = field(number, assets=chosen.assets, split=chosen.split, size=tuple(chosen.size))
        for view, (photo, species) in zip("ab", views, strict=True):
            Image.fromarray(photo).save(chosen.out / f"{number:05d}_{view}.png")
            Image.fromarray(species).save(chosen.out / f"{number:05d}_{view}_species.png")


if __name__ == "__main__":
    main()
