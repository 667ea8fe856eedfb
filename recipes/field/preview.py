"""Fields with the outlines of their masks: python -m recipes.field.preview --out FILE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import mark_boundaries

from . import field
from .make import options

COLUMNS = 4


def main(arguments: list[str] | None = None) -> None:
    """Write one picture of several photographs."""
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=12, help="how many photographs")
    parser.add_argument("--first", type=int, default=0, help="number of the first field")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plain", action="store_true", help="without outlines")
    chosen = parser.parse_args(arguments)
    width, height = chosen.size
    rows = -(-chosen.count // COLUMNS)
    sheet = np.zeros((rows * height, COLUMNS * width, 3), np.uint8)
    for place in range(chosen.count):
        number, view = chosen.first + place // 2, place % 2
        views = field(number, assets=chosen.assets, split=chosen.split, size=(width, height))
        photo, species = views[view]
        marked = mark_boundaries(photo, species, color=(1, 0, 0.8), mode="inner") * 255
        top, left = place // COLUMNS * height, place % COLUMNS * width
        shown = photo if chosen.plain else marked
        sheet[top : top + height, left : left + width] = shown
    Image.fromarray(sheet).save(chosen.out)


if __name__ == "__main__":
    main()
