"""How far the answers of a model look, for its card.

    python -m recipes.shipped.reach FILE --photos FOLDER

At random places of val photographs, some of each class, what the answer depends on is found out
by covering the surroundings (`napari_gaussproto.dependence`). The card in the file says it then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto import PrototypeSegmenter, Segmentation, dependence, load_model, segment
from napari_gaussproto.core.explain.dependence import Dependence
from napari_gaussproto.core.model.card import Reach
from napari_gaussproto.core.model.model_file import save_model
from recipes.shipped.train import pairs_of

# Of the photographs of val, one in so many, and places of a class in each of them.
EVERY, COUNT = 16, 2


def answers(
    model: PrototypeSegmenter, pairs: Iterable[tuple[Any, Any]], count: int
) -> Iterator[tuple[Dependence, Segmentation]]:
    """What the answers at some places depend on; the same places for every model.

    Parameters
    ----------
    model : PrototypeSegmenter
    pairs : iterable of tuple of array
        Images (H, W, C) and labels (H, W) of uint8, 0 not labelled.
    count : int
        Places of each class in each of them.
    """
    rng = np.random.default_rng(0)
    for image, labels in pairs:
        result = segment(image, model)
        for y, x in places_in(labels, count, rng):
            yield dependence(image, model, result, y, x), result


def places_in(
    labels: npt.NDArray[np.uint8], count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Random pixels (y, x), so many of each class of an image (H, W)."""
    found = []
    for c in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == c)
        found += [(int(y), int(x)) for y, x in rng.choice(pixels, count)]
    return found


def medians(found: Iterable[Dependence]) -> Reach:
    """Over places."""
    rows = [(one.radius(0.5), one.radius(0.9)) for one in found]
    half, most = np.nanmedian(rows, axis=0).round(1).tolist()
    return Reach(half=half, most=most, places=len(rows))


def main(arguments: list[str] | None = None) -> None:
    """Read the options, measure, and save the card in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="its file")
    parser.add_argument("--photos", type=Path, required=True, help="images, masks, index.csv")
    options = parser.parse_args(arguments)
    model = load_model(options.model, "cpu")
    some = list(pairs_of(model, options.photos, "val"))[::EVERY]
    model.card.reach = medians(one for one, _ in answers(model, some, COUNT))
    save_model(model, options.model)


if __name__ == "__main__":
    main()
