"""Give a model that is trained prototypes that are worth showing; its network stays.

    python -m recipes.shipped.place peanut-grid --photos FOLDER --out peanut-grid.safetensors

Training by gradients alone may leave a prototype with most of its class, another with patches of
several. Here they are placed anew on the photographs of train, see `balanced`, `finish` and
`sharpen`, and calibrated on some that were held out. Names, patches and figures are new.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer
from napari_gaussproto.core.training.describe import learn_look
from recipes.shipped.balanced import place
from recipes.shipped.card import changed
from recipes.shipped.finish import look
from recipes.shipped.learn import calibrate, chosen
from recipes.shipped.train import LOOKED_AT, best_of, is_held_out, measures_of
from recipes.shipped.views import whole
from recipes.start.pictures import Pair, photos_of

# How much prototypes are held on their cells at last: least, for classes that are hard to part.
_HELD = 0.1
# Cells of each photograph that teach or calibrate.
_EVEN = 2000
# Options that the card notes where they are others.
_USUAL = {"counts": [5, 4, 4], "steps": 300, "seed": 0}


def anew(
    model: PrototypeSegmenter, photos: list[Pair], counts: list[int], steps: int, seed: int
) -> PrototypeSegmenter:
    """The model with other prototypes.

    Parameters
    ----------
    model : PrototypeSegmenter
    photos : list of tuple of Path
        And masks, which count classes from 0.
    counts : list of int
        Prototypes of each class to begin with.
    steps : int
        By gradient, at last.
    seed : int
    """
    index = [c for c, count in enumerate(counts) for _ in range(count)]
    other = model.with_layer(make_layer(model.config, index), [], copy.deepcopy(model.card)).eval()
    views = (whole(pair, number) for number, pair in enumerate(photos))
    shown = look(other, views, LOOKED_AT, seed, is_held_out, _EVEN)
    place(other.layer, shown.cells.values, shown.cells.target, seed)
    teaching, held_out = (chosen(shown.even, m) for m in (~shown.held_out, shown.held_out))
    calibrate(other.layer, teaching)
    best_of(other, shown, teaching, steps, _HELD, seed)
    calibrate(other.layer, held_out)
    learn_look(other, [one.source for one in shown.images])
    return other


def main(arguments: list[str] | None = None) -> None:
    """Read the options, place, measure on val and test, and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name or file of a model")
    parser.add_argument("--photos", type=Path, required=True, help="images, masks, index.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int)
    parser.set_defaults(**_USUAL)
    options = parser.parse_args(arguments)
    photos = photos_of(options.photos, "train")
    former = load_model(options.model, "cpu")
    model = anew(former, photos, options.counts, options.steps, options.seed)
    model.card.measures = measures_of(model, options.photos)
    again = f"python -m recipes.shipped.place {former.card.name} --photos FOLDER"
    again += f" --out {options.out.name}{changed(options, _USUAL)}"
    model.card.command = f"{former.card.command} && {again}"
    details = {"photographs": len(photos), "steps": options.steps, "seed": options.seed}
    model.card.log("prototypes placed anew", **details)
    save_model(model, options.out)


if __name__ == "__main__":
    main()
