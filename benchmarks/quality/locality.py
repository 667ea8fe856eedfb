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

from benchmarks.measuring import save
from benchmarks.quality.explanation import CONFIG
from napari_gaussproto import PrototypeSegmenter, Segmentation, load_model
from napari_gaussproto.core.explain.dependence import Dependence
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.io.dataset import load_split, read_train_file
from recipes.shipped.reach import answers, medians

# Pixels that are far, in a photograph of 960 x 720.
FAR = 50
NAMES = {
    "miou": "mean IoU (val)",
    "half": "half of it within, px",
    "most": "90% within, px",
    "outside": "share outside the cell",
    "far": f"share beyond {FAR} px",
}


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
    return far_and_near(list(answers(model, zip(images, labels, strict=True), count)))


def far_and_near(found: list[tuple[Dependence, Segmentation]]) -> dict[str, float]:
    """Medians over places."""
    rows = [(share_outside(one, result), share_beyond(one, FAR)) for one, result in found]
    outside, far = np.nanmedian(rows, axis=0).tolist()
    return {**medians(one for one, _ in found).model_dump(), "outside": outside, "far": far}


def markdown(rows: dict[str, dict[str, float]], names: dict[str, str] = NAMES) -> str:
    """The table, a row for each model."""
    lines = ["| model | " + " | ".join(names.values()) + " |", "|" + " --- |" * (len(names) + 1)]
    for name, row in rows.items():
        cells = (
            f"{row[key]:.0f}" if key in ("half", "most") else f"{row[key]:.3f}" for key in names
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("models", nargs="*", default=["peanut-grid", "peanut-superpixel"])
    parser.add_argument("--every", type=int, default=16, help="of val, for the places")
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
