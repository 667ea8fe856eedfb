"""Draw docs/images/architecture.png from the imports that the package really has.

    python scripts/draw_architecture.py

A box is a folder, with its number of modules; its floor may import the floors below. An arrow
goes from a folder to one that its modules import, with the number of such imports. Where other
arrows lead to the same folder too, the direct one is left out and its imports are counted in the
box, so that what can be seen is what holds the floors up. Imports for type checkers count too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grimp
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PATH = Path(__file__).resolve().parent.parent / "docs" / "images" / "architecture.png"
PACKAGE = "napari_gaussproto"
# From the highest floor to the lowest; folders of one floor know nothing of each other.
FLOORS = (
    ("commands",),
    ("widgets.train", "widgets.segment", "widgets.prototypes"),
    ("widgets.layers",),
    ("widgets.shared",),
    ("jobs",),
    ("io",),
    ("core.training",),
    ("core.editing", "core.explain", "core.measure", "core.project"),
    ("core.model",),
    ("core.labels",),
    ("core.cells",),
    ("core.imaging", "core.network", "core.mixture"),
    ("core.base",),
)
# Okabe & Ito (2008), as everywhere in this project.
COLORS = {"commands": "#bbbbbb", "widgets": "#8fcdf0", "jobs": "#f2c14e", "io": "#e3a8c8"}
CORE = "#7fd1b5"
WIDTH, HEIGHT = 10.5, 13.0
BOX = (2.15, 0.5)
GAP = 2.5
# Out of the middle, so that arrows that pass a floor pass beside its boxes.
SHIFTS = {
    "widgets.layers": 1.4, "widgets.shared": 0.4, "jobs": 0.0, "io": -2.6, "core.training": 1.2,
    "core.labels": -2.6, "core.cells": 1.2, "core.model": 2.4,
}  # fmt: skip
Place = tuple[float, float]


def folder_of(module: str) -> str | None:
    """The box that a module is in: its folder, or with its dock's sub-folders the dock."""
    parts = module.split(".")[1:]
    if parts == ["cli"]:
        return "commands"
    known = {folder for floor in FLOORS for folder in floor}
    return next((name for n in (2, 1) if (name := ".".join(parts[:n])) in known), None)


def imports() -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """How many modules each folder has, and how many imports there are between folders."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False)
    modules: Counter[str] = Counter()
    between: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        home = folder_of(module)
        if home is None:
            continue
        if not graph.find_children(module):
            modules[home] += 1
        for other in graph.find_modules_directly_imported_by(module):
            target = folder_of(other)
            if target is not None and target != home:
                between[home, target] += 1
    return modules, between


def reachable(start: str, needs: dict[str, set[str]]) -> set[str]:
    """All folders that arrows lead to."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in needs[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def visible(between: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that no other arrows imply, and those that point upwards, if there are any."""
    floor = {folder: row for row, folders in enumerate(FLOORS) for folder in folders}
    needs: dict[str, set[str]] = {folder: set() for folder in floor}
    upwards = [pair for pair in between if floor[pair[0]] >= floor[pair[1]]]
    for start, end in between.keys() - upwards:
        needs[start].add(end)
    kept = [
        (start, end)
        for start, ends in needs.items()
        for end in ends
        if not any(end in reachable(other, needs) for other in ends - {end})
    ]
    return sorted(kept) + upwards


def places() -> dict[str, Place]:
    """The middle of each box."""
    found = {}
    step = (HEIGHT - 1.0) / (len(FLOORS) - 1)
    for row, floor in enumerate(FLOORS):
        for column, folder in enumerate(floor):
            x = WIDTH / 2 + GAP * (column - (len(floor) - 1) / 2) + SHIFTS.get(folder, 0)
            found[folder] = (x, HEIGHT - 0.5 - row * step)
    return found


def draw_box(axes: Axes, folder: str, place: Place, text: str) -> None:
    """A folder, with its number of modules."""
    color = COLORS.get(folder.split(".")[0], CORE)
    left, bottom = place[0] - BOX[0] / 2, place[1] - BOX[1] / 2
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), *BOX, boxstyle="round,pad=0.03", facecolor=color,
            edgecolor="none", zorder=3,
        )
    )  # fmt: skip
    axes.text(
        place[0], place[1] + 0.1, folder.replace(".", "/"), ha="center", va="center",
        fontsize=12, weight="bold", zorder=4,
    )  # fmt: skip
    axes.text(place[0], place[1] - 0.13, text, ha="center", va="center", fontsize=9, zorder=4)


def draw_arrow(axes: Axes, start: Place, end: Place, count: int) -> None:
    """Imports from one folder to another, from the lower edge of a box to the upper of one."""
    upwards = end[1] >= start[1]
    sign = 1 if upwards else -1
    lean = max(-0.6, min(0.6, (end[0] - start[0]) / 4))
    tail = (start[0] + lean, start[1] + sign * (BOX[1] / 2 + 0.03))
    head = (end[0] - lean, end[1] - sign * (BOX[1] / 2 + 0.03))
    color = "#d00000" if upwards else "#333333"
    axes.add_patch(
        FancyArrowPatch(
            tail, head, arrowstyle="-|>", mutation_scale=14, shrinkA=0, shrinkB=0,
            linewidth=0.6 + count**0.5 / 3, color=color, zorder=1,
        )
    )  # fmt: skip
    axes.text(
        tail[0] * 0.6 + head[0] * 0.4, tail[1] * 0.6 + head[1] * 0.4, str(count), ha="center",
        va="center", fontsize=10, color=color, zorder=5,
        bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
    )  # fmt: skip


def figure() -> Figure:
    """The whole picture."""
    modules, between = imports()
    drawing = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    FigureCanvasAgg(drawing)
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    axes.axis("off")
    where, shown = places(), visible(between)
    for start, end in shown:
        draw_arrow(axes, where[start], where[end], between[start, end])
    hidden = Counter[str]()
    for (start, end), count in between.items():
        hidden[start] += 0 if (start, end) in shown else count
    for folder, place in where.items():
        further = f", +{hidden[folder]} imports" if hidden[folder] else ""
        draw_box(axes, folder, place, f"{modules[folder]} modules{further}")
    return drawing


def main() -> None:
    """Write the picture."""
    figure().savefig(PATH, dpi=90)
    print(PATH.name, flush=True)


if __name__ == "__main__":
    main()
