"""How far the answers of a model look, beside how good they are.

    python -m benchmarks.quality.locality --data PEANUT [MODEL ...]

At random places of val photographs, some of each class and the same for all models, what the
answer depends on is found out by covering the surroundings (`napari_gaussproto.dependence`).
Models are names or files. Writes a table (JSON and Markdown).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import save
from benchmarks.quality.explanation import CONFIG
from napari_gaussproto import PrototypeSegmenter, Segmentation, dependence, load_model, segment
from napari_gaussproto.core.explain.dependence import Dependence
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.io.dataset import load_split, read_train_file

# Pixels that are far, in a photograph of 960 x 720.
FAR = 50
NAMES = {
    "miou": "mean IoU (val)",
    "half": "half of it within, px",
    "most": "90 % within, px",
    "outside": "share outside the cell",
    "far": f"share beyond {FAR} px",
}


def places_in(
    labels: npt.NDArray[np.uint8], count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Random pixels (y, x), so many of each class of an image (H, W)."""
    found = []
    for c in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == c)
        found += [(int(y), int(x)) for y, x in rng.choice(pixels, count)]
    return found


def share_outside(found: Dependence, segmentation: Segmentation) -> float:
    """Share of what an answer depends on that lies outside its cell."""
    partition = segmentation.encoding.partition
    top, left, mask = partition.cell_mask(partition.cell_at(found.y, found.x))
    own = np.zeros(segmentation.shape, bool)
    own[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    k = found.pixel_size
    pixels = (found.share / k**2).repeat(k, 0).repeat(k, 1)
    window = own[found.top :, found.left :][: pixels.shape[0], : pixels.shape[1]]
    return 1 - float(pixels[: window.shape[0], : window.shape[1]][window].sum())


def share_beyond(found: Dependence, radius: float) -> float:
    """Share of what an answer depends on that is farther than a radius in pixels."""
    parts = np.linspace(0, 1, 101)
    return float(np.mean([found.radius(part) > radius for part in parts]))


def look(
    model: PrototypeSegmenter, images: list[Any], labels: list[Any], count: int
) -> dict[str, float]:
    """Medians over places; the same places for every model."""
    rng = np.random.default_rng(0)
    rows = []
    for image, mask in zip(images, labels, strict=True):
        result = segment(image, model)
        for y, x in places_in(mask, count, rng):
            found = dependence(image, model, result, y, x)
            far = share_beyond(found, FAR)
            rows.append((found.radius(0.5), found.radius(0.9), share_outside(found, result), far))
    half, most, outside, far = np.nanmedian(rows, axis=0).tolist()
    return {"half": half, "most": most, "outside": outside, "far": far, "places": len(rows)}


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """The table, a row for each model."""
    lines = ["| model | " + " | ".join(NAMES.values()) + " |", "|" + " --- |" * (len(NAMES) + 1)]
    for name, row in rows.items():
        cells = (
            f"{row[key]:.0f}" if key in ("half", "most") else f"{row[key]:.3f}" for key in NAMES
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("models", nargs="*", default=["peanut-grid", "peanut-superpixel"])
    parser.add_argument("--every", type=int, default=8, help="of val, for the places")
    parser.add_argument("--count", type=int, default=2, help="places of a class in each of them")
    options = parser.parse_args(arguments)
    images, labels = load_split(read_train_file(CONFIG).data, options.data, "val")
    rows = {}
    for name in options.models:
        model = load_model(name, "cpu")
        row = look(model, images[:: options.every], labels[:: options.every], options.count)
        row["miou"] = measure(model, zip(images, labels, strict=True))["miou"]
        rows[Path(name).stem] = {key: round(value, 4) for key, value in row.items()}
        print(rows, flush=True)
    shown = " ".join(rows)
    save(
        "locality",
        f"python -m benchmarks.quality.locality --data PEANUT {shown}",
        rows,
        markdown(rows),
    )


if __name__ == "__main__":
    main()
