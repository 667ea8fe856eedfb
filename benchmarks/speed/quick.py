"""What a quick fit costs, stage by stage, from the end of a stroke to updated labels.

    python -m benchmarks.speed.quick [--size 3264 2448]

The photograph has 1296 x 966 pixels (a procedural field), or as many as are asked for. Encoding is
done once per image and does not count; features of the labelled cells, the fit and the labels of
every pixel do. At most 0.3 s is wanted, 1 s for 3264 x 2448 pixels. Strokes are 10 px wide and
150 px long, 6 of each class.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import save
from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.start import begin
from napari_gaussproto.io.field import synthetic_field

WIDTH, HEIGHT = 1296, 966
MODEL = "peanut-grid"
_STROKES = 6
_STROKE = (10, 150)


def strokes(truth: Any, seed: int = 0) -> Any:
    """Horizontal strokes, each kept where it lies in the class that it began in."""
    rng = np.random.default_rng(seed)
    labels = np.zeros_like(truth)
    for label in np.unique(truth[truth > 0]):
        inside = np.argwhere(truth == label)
        for y, x in inside[rng.integers(len(inside), size=_STROKES)]:
            box = slice(y, y + _STROKE[0]), slice(x, x + _STROKE[1])
            labels[box][truth[box] == label] = label
    return labels


def run_once(
    model: PrototypeSegmenter, image: EncodedImage, labels: Any, scratch: bool
) -> dict[str, float]:
    """Seconds of each stage."""
    seconds: dict[str, float] = {}
    steps = quick_fit_steps([image], [labels], model, scratch=scratch)
    last = time.perf_counter()

    def charge(stage: str) -> None:
        nonlocal last
        here = time.perf_counter()
        seconds[stage] = seconds.get(stage, 0.0) + here - last
        last = here

    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            fit = end.value
            break
        charge(step.stage)
    charge("finish")
    # What follows the features of all pixels is the same for every partition.
    assert fit.model.decode(fit.encodings[0]).labels.shape == image.shape
    charge("labels")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--size", type=int, nargs=2, default=(WIDTH, HEIGHT))
    asked = parser.parse_args()
    repetitions, (width, height) = asked.repetitions, asked.size
    photo, truth = synthetic_field(height, width)
    labels = strokes(np.asarray(truth).astype(np.uint8))
    classes = load_model(MODEL, "cpu").classes
    starts = {
        f"from {MODEL}": begin(MODEL, device="cpu", pixels=height * width),
        "a new model": begin(NewModel(), classes, "cpu", pixels=height * width),
    }
    result: dict[str, Any] = {}
    for name, (model, scratch) in starts.items():
        start = time.perf_counter()
        image = encode_pyramid(photo, model)
        encoding = time.perf_counter() - start
        runs = [run_once(model, image, labels, scratch) for _ in range(repetitions + 1)]
        # The first one computes latents, which are kept.
        found = {stage: statistics.median(s[stage] for s in runs[1:]) for stage in runs[0]}
        result[name] = {
            "features, once": encoding,
            "first fit": sum(runs[0].values()),
            **found,
            "end of stroke to labels": statistics.median(sum(s.values()) for s in runs[1:]),
            "runs": runs,
        }
    rows = [row for row in next(iter(result.values())) if row != "runs"]
    table = [f"| {row} | " + " | ".join(f"{r[row]:.3f} s" for r in result.values()) for row in rows]
    head = f"| stage | {' | '.join(result)} |\n|{' --- |' * (1 + len(result))}"
    text = (
        f"A photograph of {width} x {height} pixels, {int((labels > 0).sum())} labelled pixels. "
        f"Medians of {repetitions} repetitions.\n\n" + "\n".join([head, *(f"{r} |" for r in table)])
    )
    usual, size = (width, height) == (WIDTH, HEIGHT), f" --size {width} {height}"
    command = "python -m benchmarks.speed.quick" + ("" if usual else size)
    save("quick" if usual else f"quick-{width}", command, result, text)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
