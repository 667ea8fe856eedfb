"""A folder of photographs, files in and files out, against the bare loop of `segment`.

    python -m benchmarks.speed.batch

The bare loop has the photographs in memory and takes `.labels` of each; the batch reads JPEGs,
writes labels, tables and the report, and does so while the network computes. It has nothing but
threads for that: on a machine whose other cores are busy the two share one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring import interleaved, median_ratio, save
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.samples import sample_photo, sample_photo_names
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps

WANTED = 1.15


def bare(photos: list[Any], model: PrototypeSegmenter) -> None:
    for photo in photos:
        _ = segment(photo, model).labels


def batch(request: BatchRequest, count: int) -> None:
    assert run(batch_steps(request)).segmented == count


def both_clocks() -> Any:
    """Seconds on the clock and on the processor, in all threads."""
    return np.array([time.perf_counter(), time.process_time()])


def measure(name: str, copies: int, repetitions: int) -> None:
    model = load_model(name, "cpu")
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "photos", Path(place) / "out"
        folder.mkdir()
        for number in range(copies):
            for sample in sample_photo_names():
                path = folder / f"{sample}-{number}.jpg"
                Image.fromarray(sample_photo(sample)).save(path, quality=95)
        found = find([folder], out)
        photos = [read_image(path) for path in found.paths]
        request = BatchRequest(model, found, out, again=True)
        times = interleaved(
            {"bare": partial(bare, photos, model), "batch": partial(batch, request, len(photos))},
            repetitions,
            warm_up=1,
            clock=both_clocks,
        )
    seconds = {
        clock: {contender: [float(t[i]) for t in taken] for contender, taken in times.items()}
        for i, clock in enumerate(("clock", "processor"))
    }
    ratios = {name: median_ratio(found["batch"], found["bare"]) for name, found in seconds.items()}
    height, width = photos[0].shape[:2]
    text = (
        f"{len(photos)} photographs of {width} x {height} pixels, model {name}: a run from JPEGs "
        f"to label files, cover.csv and report takes {ratios['clock']:.2f} times as long as the "
        f"bare loop of `segment` over arrays, {ratios['processor']:.2f} times on the processor in "
        f"all threads (median ratios of {repetitions} interleaved repetitions; at most {WANTED} "
        "wanted)."
    )
    result = {"seconds": seconds, "ratios": ratios, "photographs": len(photos)}
    options = f"--model {name} --copies {copies} --repetitions {repetitions}"
    save("batch", f"python -m benchmarks.speed.batch {options}", result, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="plants")
    parser.add_argument("--copies", type=int, default=2, help="Of each of six photographs.")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    measure(options.model, options.copies, options.repetitions)


if __name__ == "__main__":
    main()
