"""Accuracy of the shipped model's recipe beside a linear head, over seeds.

    python -m benchmarks.quality.accuracy --config configs/peanut-grid.toml --data FOLDER

Trains each head once a seed on the training split, chooses weights by val, measures test
once, and writes a table (JSON and Markdown) and the models.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.linear import LinearSegmenter, LinearTrainer
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.descent import RunSettings
from napari_gaussproto.core.training.samples import prepare
from napari_gaussproto.core.training.trainer import Trainer
from napari_gaussproto.io.dataset import TrainFile, load_split, read_train_file

KINDS: dict[str, tuple[type[PrototypeSegmenter], type[Trainer]]] = {
    "prototypes": (PrototypeSegmenter, Trainer),
    "linear": (LinearSegmenter, LinearTrainer),
}
RESULTS = Path(__file__).parent / "results"


def train(kind: str, seed: int, file: TrainFile, splits: dict[str, Any]) -> PrototypeSegmenter:
    segmenter, trainer_type = KINDS[kind]
    data = prepare(*splits["train"], file.model)
    held_out = prepare(*splits["val"], file.model, every_class=False)
    with seeded(seed):
        model = segmenter(file.model, file.model.pretrained)
    model.card = file.card.model_copy(deep=True)
    trainer = trainer_type(model, data, held_out, RunSettings(file.training, seed=seed))
    for step in trainer.run():
        if step.validation_miou is not None:
            print(
                f"{kind} {seed}: step {step.step} val mIoU {step.validation_miou:.4f}", flush=True
            )
    return trainer.model


def run(kind: str, seed: int, file: TrainFile, splits: dict[str, Any], out: Path) -> dict[str, Any]:
    start = time.monotonic()
    model = train(kind, seed, file, splits)
    row: dict[str, Any] = {"head": kind, "seed": seed, "minutes": (time.monotonic() - start) / 60}
    for split in ("val", "test"):
        row[split] = measure(model, zip(*splits[split], strict=True))
    row["oracle_miou"] = oracle_miou(model, zip(*splits["test"], strict=True))
    row["prototypes"] = len(model.prototypes)
    if kind == "prototypes":
        row["least_usage"] = min(p.usage for p in model.prototypes)
        row["closest_siblings"] = closest_siblings(model)
        model.card.measures = {split: row[split] for split in ("val", "test")}
        model.card.command = (
            f"python -m benchmarks.quality.accuracy --config configs/{file.card.name}.toml "
            f"--heads prototypes --seeds {seed} --data FOLDER"
        )
        save_model(model, out / f"{file.card.name}-{seed}")
    print(json.dumps(row), flush=True)
    return row


def oracle_miou(model: PrototypeSegmenter, pairs: Iterable[tuple[Any, Any]]) -> float:
    """Mean IoU if every cell had its true majority class: what the partition allows."""
    n = len(model.classes)
    confusion = np.zeros((n, n), np.int64)
    for image, labels in pairs:
        partition = model.partition(as_source(image, model))
        target, _ = partition.targets(torch.from_numpy(labels), n)
        majority = torch.nn.functional.one_hot(target.argmax(1), n).float()
        best = partition.to_pixels(majority).argmax(0).numpy() + 1
        confusion += confusion_matrix(best, labels, n)
    return round(mean_iou(confusion), 4)


def closest_siblings(model: PrototypeSegmenter) -> float | None:
    """Smallest squared Hellinger distance between two prototypes of a class."""
    pairs = model.layer.siblings()
    if not len(pairs):
        return None
    distance = 1 - model.layer.log_bhattacharyya().detach().exp()
    return float(distance[pairs[:, 0], pairs[:, 1]].min())


def markdown(rows: list[dict[str, Any]]) -> str:
    classes = list(rows[0]["test"]["iou"])
    head = ["head", "seed", "val mIoU", "test mIoU", *(f"test {c}" for c in classes), "test ECE"]
    head += ["oracle mIoU", "prototypes", "least usage"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row["head"], str(row["seed"]), f"{row['val']['miou']:.3f}"]
        cells += [f"{row['test']['miou']:.3f}"]
        cells += [f"{row['test']['iou'][c]:.3f}" for c in classes]
        cells += [f"{row['test']['ece']:.3f}"]
        cells += [f"{row['oracle_miou']:.3f}" if "oracle_miou" in row else ""]
        cells += [str(row["prototypes"] or "")]
        cells += [f"{row['least_usage']:.1%}" if "least_usage" in row else ""]
        lines.append("| " + " | ".join(cells) + " |")
    for kind in dict.fromkeys(row["head"] for row in rows):
        values = [row["test"]["miou"] for row in rows if row["head"] == kind]
        mean, spread = np.mean(values), np.std(values)
        lines.append(f"\n{kind}: test mIoU {mean:.3f} ± {spread:.3f} over {len(values)} seeds.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    file = read_train_file(options.config)
    splits = {s: load_split(file.data, options.data, s) for s in ("train", "val", "test")}
    options.out.mkdir(parents=True, exist_ok=True)
    table = RESULTS / f"{file.card.name}.json"
    rows = json.loads(table.read_text()) if table.exists() else []
    for seed, kind in itertools.product(options.seeds, options.heads):
        # A row that is there is replaced, so the table can be filled in several runs.
        rows = [row for row in rows if (row["head"], row["seed"]) != (kind, seed)]
        rows.append(run(kind, seed, file, splits, options.out))
        RESULTS.mkdir(exist_ok=True)
        table.write_text(json.dumps(rows, indent=1) + "\n")
        table.with_suffix(".md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
