"""What the prototypes of some models are like, beside how good the models are.

    python -m benchmarks.quality.shown --data PEANUT MODEL ...

Purity is the share of a prototype's nearest patches that are of its class, use the share of the
cells of its class that are its own. Models are names or files, such as trainings with several
seeds. Writes a table (JSON and Markdown).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.measuring import save
from benchmarks.quality.explanation import CONFIG
from napari_gaussproto import PrototypeSegmenter, load_model
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.io.dataset import load_split, read_train_file


def like(model: PrototypeSegmenter) -> dict[str, Any]:
    """Least purity and use of a model's prototypes, and the uses of those of each class."""
    purities = [float((p.patch_labels == p.class_index).mean()) for p in model.prototypes]
    uses: dict[str, list[float]] = {entry.name: [] for entry in model.classes}
    for prototype in model.prototypes:
        uses[model.classes[prototype.class_index].name].append(round(prototype.usage, 3))
    return {
        "least purity": min(purities),
        "least use": min(p.usage for p in model.prototypes),
        "uses": {name: sorted(own, reverse=True) for name, own in uses.items()},
    }


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [name, f"{found['miou']:.3f}", *(f"{value:.3f}" for value in found["iou"].values())]
    cells += [f"{found['least purity']:.1f}", f"{found['least use']:.1%}"]
    cells += [
        f"{len(own)}: " + ", ".join(f"{u:.0%}" for u in own) for own in found["uses"].values()
    ]
    return "| " + " | ".join(cells) + " |"


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The table, a row for each model; all have the same classes."""
    classes = list(next(iter(rows.values()))["uses"])
    names = ["model", "mean IoU (val)", *classes, "least purity", "least use"]
    names += [f"prototypes of {name}, their uses" for name in classes]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return "\n".join([*lines, *(row(name, found) for name, found in rows.items())])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("models", nargs="+")
    options = parser.parse_args(arguments)
    images, labels = load_split(read_train_file(CONFIG).data, options.data, "val")
    rows = {}
    for name in options.models:
        model = load_model(name, "cpu")
        measures = measure(model, zip(images, labels, strict=True))
        rows[Path(name).stem] = {"miou": measures["miou"], "iou": measures["iou"], **like(model)}
        print(rows, flush=True)
    command = f"python -m benchmarks.quality.shown --data PEANUT {' '.join(rows)}"
    save("shown", command, rows, markdown(rows))


if __name__ == "__main__":
    main()
