"""Soil against plants without a stroke: the shipped model beside Otsu's threshold on greenness.

    python -m benchmarks.quality.plants --data FOLDER --fields FIELDS

Photographs of the val split and held-out synthetic fields of an even number, as they are and
through the eyes of `benchmarks.loop.photos`. The figure is the IoU of plants over all pixels of
the photographs of a kind. Models of more than two classes count as plants what is not soil.
Writes a table (JSON and Markdown).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.filters import threshold_otsu

from benchmarks.loop.photos import OPEN_EYES, Photo, as_bytes, bands
from benchmarks.loop.tasks import all_fields, all_peanut
from benchmarks.measuring import save
from napari_gaussproto import load_model, segment

Mask = npt.NDArray[np.bool_]
Method = Callable[[npt.NDArray[np.uint8]], Mask]


def excess_green(image: npt.NDArray[np.uint8], *, chromatic: bool = False) -> Mask:
    """Where 2 G - R - B is above Otsu's threshold, of values or of shares of their sum (H, W)."""
    values = image.astype(np.float32)
    if chromatic:
        values = values / values.sum(2, keepdims=True).clip(1)
    excess = 2 * values[..., 1] - values[..., 0] - values[..., 2]
    if excess.max() == excess.min():
        return np.zeros(excess.shape, bool)
    found: Mask = excess > threshold_otsu(excess)
    return found


def by_model(name: str) -> Method:
    """What a model takes for anything but soil."""
    model = load_model(name, "cpu")
    soil = 1 + [entry.name for entry in model.classes].index("soil")
    return lambda image: segment(image, model).labels != soil


def grey_soil(photo: Photo) -> Photo:
    """By a camera with two bands whose white is that of the soil."""
    seen = bands(photo, (0, 1, 0))
    values = seen.image / 255
    mean = values[photo.truth == 1].mean(0)
    return replace(photo, image=as_bytes(np.clip(values * (mean.mean() / mean), 0, 1)))


def enlarged(photo: Photo) -> Photo:
    """The same from a camera with sixteen times as many pixels, which show nothing more."""
    size = (4 * photo.truth.shape[1], 4 * photo.truth.shape[0])
    image = np.asarray(Image.fromarray(photo.image).resize(size, Image.Resampling.BICUBIC))
    return replace(photo, image=image, truth=np.kron(photo.truth, np.ones((4, 4), np.uint8)))


EYES = {name: eye for (_, name), eye in OPEN_EYES.items()}
EYES |= {"two bands, grey soil": grey_soil, "16 times the pixels": enlarged}


def seen(photos: list[Callable[[], Photo]], eye: str) -> Iterator[Photo]:
    """Photographs through one of `EYES`."""
    for photo in photos:
        yield EYES[eye](photo())


def measure(
    kinds: dict[str, list[Callable[[], Photo]]], methods: dict[str, Method], fewer: int
) -> dict[str, dict[str, float]]:
    """IoU of plants by kind of photograph and method.

    Parameters
    ----------
    kinds : dict of list of callable
        Each makes a photograph with labels 1 for soil and more for plants.
    methods : dict of callable
    fewer : int
        Of photographs that are changed only every so many are looked at.
    """
    found: dict[str, dict[str, float]] = {}
    for kind, photos in kinds.items():
        for eye in EYES:
            common: dict[str, int] = defaultdict(int)
            either: dict[str, int] = defaultdict(int)
            for photo in seen(photos[:: 1 if eye == "as it is" else fewer], eye):
                plants = photo.truth > 1
                for name, method in methods.items():
                    mask = method(photo.image)
                    common[name] += int((mask & plants).sum())
                    either[name] += int((mask | plants).sum())
            row = {name: round(common[name] / max(1, either[name]), 4) for name in methods}
            found[f"{kind}, {eye}"] = row
            print(f"{kind}, {eye}", row, flush=True)
    return found


def markdown(found: dict[str, dict[str, float]]) -> str:
    """The table; the best of a row is bold."""
    names = list(next(iter(found.values())))
    lines = ["| IoU of plants | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for kind, row in found.items():
        best = max(row.values())
        cells = [f"**{v:.3f}**" if v == best else f"{v:.3f}" for v in row.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="peanut_weed; of it val")
    parser.add_argument("--fields", type=Path, required=True, help="held-out synthetic fields")
    parser.add_argument("--models", nargs="+", default=["plants", "peanut-grid"])
    parser.add_argument("--every", type=int, default=1, help="every so many photographs")
    parser.add_argument("--fewer", type=int, default=2, help="of these, where they are changed")
    options = parser.parse_args(arguments)
    methods = {Path(name).stem: by_model(name) for name in options.models}
    methods["2G - R - B, Otsu"] = excess_green
    methods["the same, chromatic"] = partial(excess_green, chromatic=True)
    kinds = {"peanut": all_peanut(options.data), "fields": all_fields(options.fields)}
    kinds = {name: photos[:: options.every] for name, photos in kinds.items()}
    found = measure(kinds, methods, options.fewer)
    command = "python -m benchmarks.quality.plants --data FOLDER --fields FIELDS"
    command += f" --every {options.every} --fewer {options.fewer}"
    save("plants", command, {"iou": found}, markdown(found))


if __name__ == "__main__":
    main()
