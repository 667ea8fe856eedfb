"""Peak memory of segmenting images larger than memory, from zarr to zarr, as they grow.

    python -m benchmarks.speed.large                         # sides 2000, 4000, 8000
    python -m benchmarks.speed.large --sides 8000 20000

Every side runs in a process of its own. The image is a procedural field, written chunk by
chunk beforehand by another process; its exact labels are compared with on a part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import zarr

from benchmarks.measuring import MB, PeakMemory, save
from napari_gaussproto.core.model.encode import Tile
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment_to_zarr
from napari_gaussproto.io.field import synthetic_field

MODEL = "peanut-grid"
SIDES = (2000, 4000, 8000)
CHUNK = 1024
WANTED_BELOW = 3e9


def write_field(path: Path, side: int) -> None:
    """Write an RGB field as zarr, one chunk in memory at a time."""
    shape, chunks = (side, side, 3), (min(CHUNK, side), min(CHUNK, side), 3)
    image = zarr.create_array(store=str(path), shape=shape, chunks=chunks, dtype="uint8")
    for y in range(0, side, CHUNK):
        for x in range(0, side, CHUNK):
            height, width = min(CHUNK, side - y), min(CHUNK, side - x)
            image[y : y + height, x : x + width] = synthetic_field(height, width, 0, y, x)[0]


def segment_field(folder: Path) -> dict[str, Any]:
    """Segment the field and report what it took."""
    model = load_model(MODEL, "cpu")
    image = zarr.open_array(str(folder / "image.zarr"), mode="r")
    tiles = 0

    def count(done: Tile) -> None:
        nonlocal tiles
        tiles = done.total
        if done.index % 50 == 0:
            print(f"tile {done.index}/{done.total}", file=sys.stderr, flush=True)

    start = time.perf_counter()
    with PeakMemory() as memory:
        path = segment_to_zarr(image, model, folder / "labels.zarr", progress=count)
    labels = zarr.open_array(str(path), mode="r")
    seconds = time.perf_counter() - start
    for row in range(0, labels.shape[0], CHUNK):
        if not labels[row : row + CHUNK].all():
            raise SystemExit(f"pixels without a class between rows {row} and {row + CHUNK}")
    return {
        "side": image.shape[0],
        "tiles": tiles,
        "seconds": seconds,
        "peak": memory.peak,
        "extra": memory.extra,
    }


def run(side: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for step in ("--write", "--segment"):
            command = [
                sys.executable,
                "-m",
                "benchmarks.speed.large",
                step,
                folder,
                "--sides",
                str(side),
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(result), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--segment", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_field(options.write / "image.zarr", options.sides[0])
        return
    if options.segment:
        print(json.dumps(segment_field(options.segment)))
        return
    rows = [run(side) for side in options.sides]
    table = "\n".join(
        f"| {row['side']} x {row['side']} | {3 * row['side'] ** 2 / MB:.0f} MB | {row['tiles']} "
        f"| {row['peak'] / MB:.0f} MB | {row['seconds']:.0f} s |"
        for row in rows
    )
    verdict = "all" if all(row["peak"] < WANTED_BELOW for row in rows) else "not all"
    text = (
        f"A procedural field, RGB zarr to label zarr, model {MODEL}, tiles chosen by the program "
        f"with {psutil.virtual_memory().total / 1e9:.0f} GB of memory in the machine:\n\n"
        "| image | its size | tiles | peak resident memory | time |\n"
        f"| --- | --- | --- | --- | --- |\n{table}\n\n"
        f"The peak counts the whole process, libraries included; {verdict} below 3 GB."
    )
    command = "python -m benchmarks.speed.large --sides " + " ".join(map(str, options.sides))
    save("large", command, {"rows": rows}, text)


if __name__ == "__main__":
    main()
