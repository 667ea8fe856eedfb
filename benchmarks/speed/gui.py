"""How long the GUI does not answer while a person works, and how much of that is our code.

    bash scripts/display.sh .venv/bin/python -m benchmarks.speed.gui
    bash scripts/display.sh .venv/bin/python -m benchmarks.speed.gui --scene changes

A photograph of 4000 x 3000 pixels in a real napari with all three docks. Each line is one thing
that a person does, until nothing is computed any more: the longest hold of the event loop, on the
clock and on the processor, and what of it was our own code, napari's that our code called, and
napari's and Qt's by itself (see `benchmarks.speed.holding`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict

import napari

from benchmarks.measuring import save
from benchmarks.speed.gui_scenes import SCENES
from benchmarks.speed.holding import Hold, Holding
from benchmarks.speed.work import Work

WANTED_MS = 100


def measure(work: Work) -> dict[str, Hold]:
    """The longest hold of each step."""
    found: dict[str, Hold] = {}
    for name, step in work.steps():
        with Holding() as holding:
            step()
            work.rest()
        found[name if name not in found else f"{name}, too"] = holding.hold
        print(name, holding.hold, file=sys.stderr)
    work.close()
    return found


def table(found: dict[str, Hold]) -> str:
    """The holds as Markdown."""
    titles = ("what a person does", "ours", "asked", "drawn", "together", "clock")
    rows = [titles, ("---",) * len(titles)]
    for name, hold in found.items():
        times = (hold.ours, hold.asked, hold.drawn, hold.processor, hold.clock)
        rows.append((name, *(f"{milliseconds:.0f}" for milliseconds in times)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(3000, 4000), metavar=("H", "W"))
    about = "what is done; all but the first are printed and not saved"
    parser.add_argument("--scene", choices=SCENES, default=next(iter(SCENES)), help=about)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        os.environ.setdefault("NAPARI_CONFIG", "")
        found = measure(SCENES[options.scene](*options.size))
        napari.Viewer.close_all()
    height, width = options.size
    text = f"{width} x {height} pixels.\n\n{table(found)}"
    if options.scene != next(iter(SCENES)):
        print(text)
        return
    save("gui", "python -m benchmarks.speed.gui", {k: asdict(h) for k, h in found.items()}, text)


if __name__ == "__main__":
    main()
