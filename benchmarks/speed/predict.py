"""The whole of `segment` against the bare backbone, and the memory behind tile sizes.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.predict    # time
    python -m benchmarks.speed.predict --memory    # float32 values that a pixel keeps alive

The photograph (a procedural field) is shrunk and padded as the model asks for, before the
backbone's clock starts. `segment` does that itself, and also the neck, the prototypes and the
labels of every pixel. It gains from two things that the bare backbone has not: for prediction,
batch normalisation is folded into the convolutions, and blocks go a few rows at a time. Time is
that of the processor.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import MB, PeakMemory, interleaved, median_ratio, save
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import round_up
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.folding import fold
from napari_gaussproto.core.network.stride import shrink
from napari_gaussproto.io.field import synthetic_field

# Model, height, width, and what share of the repetitions it gets.
CASES = (("peanut-grid", 966, 1296, 1), ("peanut-grid", 2448, 3264, 3), ("plants", 966, 1296, 3))
MODEL = "peanut-grid"
# Sides of the images of the memory measurement, in pixels that the backbone sees.
SIDES = (512, 1024, 1536)


def backbone_input(photo: Any, model: PrototypeSegmenter) -> Tensor:
    """The photograph as the backbone sees it inside `segment`."""
    source = ImageSource.from_array(photo, channels=model.config.channels)
    height, width = (round_up(n, model.alignment) for n in (source.height, source.width))
    padded = source.read_padded(0, 0, height, width)[None]
    return shrink(padded.to(memory_format=torch.channels_last), model.config.downsample)


def labels(photo: Any, model: PrototypeSegmenter) -> Any:
    return segment(photo, model).labels


def folded_whole(backbone: torch.nn.Module) -> torch.nn.Module:
    """A copy with its batch normalisation folded into the convolutions, on whole maps."""
    folded = copy.deepcopy(backbone).eval().requires_grad_(False)
    fold(folded)
    return folded


@torch.no_grad()
def features(pixels: Tensor, backbone: torch.nn.Module) -> Any:
    return backbone(pixels)


def time_it(repetitions: int) -> None:
    rows = [measure(*case[:3], max(3, repetitions // case[3])) for case in CASES]
    lines = "\n".join(
        f"| {row['model']} | {row['width']} x {row['height']} | {row['ratio']:.2f} | "
        f"{row['ratio_to_folded']:.2f} | {row['ratio_to_bands']:.2f} | {row['repetitions']} |"
        for row in rows
    )
    text = (
        "The whole of `segment`, array in and `.labels` out, over the bare backbone (at most 1.25 "
        "wanted), over the backbone with its batch normalisation folded into the convolutions "
        "(at most 1.2 wanted), and over the same with blocks a few rows at a time, which is what "
        "`segment` runs. Processor time, median ratio of interleaved repetitions.\n\n"
        "| model | photograph | over the backbone | over the folded backbone | the same in bands | "
        "repetitions |\n"
        f"| --- | --- | --- | --- | --- | --- |\n{lines}"
    )
    save("predict", "OMP_NUM_THREADS=1 python -m benchmarks.speed.predict", {"rows": rows}, text)


def measure(name: str, height: int, width: int, repetitions: int) -> dict[str, Any]:
    """Seconds and ratios of one model on one photograph."""
    model = load_model(name, "cpu").eval()
    # In full detail: a large photograph that is seen smaller leaves the backbone next to nothing.
    model = model.with_cells(model.cell_size)
    photo, _ = synthetic_field(height, width)
    pixels = backbone_input(photo, model)
    seconds = interleaved(
        {
            "segment": partial(labels, photo, model),
            "backbone": partial(features, pixels, model.extractor.backbone),
            "folded backbone": partial(features, pixels, folded_whole(model.extractor.backbone)),
            "in bands": partial(features, pixels, model.extractor.folded.get()),
        },
        repetitions,
        clock=time.process_time,
    )
    return {
        "model": name,
        "height": height,
        "width": width,
        "backbone_input": list(pixels.shape),
        "repetitions": repetitions,
        "seconds": seconds,
        "ratio": median_ratio(seconds["segment"], seconds["backbone"]),
        "ratio_to_folded": median_ratio(seconds["segment"], seconds["folded backbone"]),
        "ratio_to_bands": median_ratio(seconds["segment"], seconds["in bands"]),
    }


def measure_memory() -> None:
    rows = []
    for side in SIDES:
        command = [sys.executable, "-m", "benchmarks.speed.predict", "--memory-of", str(side)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = "\n".join(
        f"| {row['side']} | {row['extra'] / MB:.0f} MB | {row['values_per_pixel']:.0f} |"
        for row in rows
    )
    text = (
        f"Peak resident memory of one forward pass of {MODEL}, above what the process held "
        "before:\n\n| side that the backbone sees | extra | float32 values per pixel |\n"
        f"| --- | --- | --- |\n{table}"
    )
    save("predict-memory", "python -m benchmarks.speed.predict --memory", {"rows": rows}, text)


def print_memory(side: int) -> None:
    model = load_model(MODEL, "cpu").eval()
    pixels = side * model.config.downsample
    with torch.no_grad():
        model.extract(torch.zeros(1, model.config.channels, 4 * model.alignment, model.alignment))
        image = torch.from_numpy(
            np.random.default_rng(0).random((1, 3, pixels, pixels), np.float32)
        )
        with PeakMemory() as memory:
            model.extract(image)
    values = memory.extra / 4 / side**2
    print(json.dumps({"side": side, "extra": memory.extra, "values_per_pixel": values}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    if options.memory_of:
        print_memory(options.memory_of)
    elif options.memory:
        measure_memory()
    else:
        time_it(options.repetitions)


if __name__ == "__main__":
    main()
