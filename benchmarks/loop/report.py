"""Table and figure of the annotation loop."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from benchmarks.loop.annotator import BRUSH, LONGEST, STROKES
from benchmarks.loop.methods import DOCK, FURTHER_ROUNDS, METHODS, TERMS, WEIGHTS
from benchmarks.loop.tasks import ANNOTATED, HELD_OUT, QUICK, STARTS
from benchmarks.measuring import RESULTS, save
from napari_gaussproto.core.training.fine_tune import fine_tuning

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Row = dict[str, Any]

# Colour (Okabe & Ito 2008) and line of the methods that are drawn; the table has them all.
_DRAWN = {
    "soft_labels": ("#009e73", "-"),
    DOCK: ("#d55e00", "--"),
    "quick fit": ("#000000", "-"),
    "supervised": ("#0072b2", "-"),
    "random forest": ("#999999", "-"),
}
_SETS = {"annotated": "annotated photos", "held_out": "held-out photos"}


def report(rows: Sequence[Row], steps: int) -> None:
    """Write benchmarks/results/loop.json, .md and .png from the finished cells."""
    parts = [_explained(rows, steps)]
    for task in STARTS:
        for which, title in _SETS.items():
            parts.append(f"**{task}, mIoU on {title}**\n\n" + _table(rows, task, which))
    parts.append("**Against the supervised fine-tune, held-out photos**\n\n" + _gains(rows))
    parts.append("**On average over the rounds**\n\n" + _averages(rows))
    for which, title in _SETS.items():
        parts.append(f"**What was aimed at, {title}**\n\n" + _aims(rows, which))
    parts.append("![mIoU over rounds](loop.png)")
    _figure(rows)
    command = "python -m benchmarks.loop --data FOLDER --out runs/loop"
    settings = fine_tuning(steps=steps).model_dump()
    result = {"weights": WEIGHTS, "fine-tuning": settings, "cells": list(rows)}
    save("loop", command, result, "\n\n".join(parts))


def _explained(rows: Sequence[Row], steps: int) -> str:
    seeds = sorted({row["seed"] for row in rows})
    settings = fine_tuning()
    weights = ", ".join(f"{name} {value:g}" for name, value in WEIGHTS.items())
    return (
        f"What is simulated: the annotator. {STROKES} strokes a round ({BRUSH} px wide, at most "
        f"{LONGEST} px long, clipped to their class) in the largest regions that the quick fit "
        f"gets wrong, over {ANNOTATED} photographs; {HELD_OUT} of other scenes judge. The "
        "photographs and their labels are real (peanut_weed, val split only; test was never "
        'read). "empty": ImageNet backbone, soil / crop / weed. "moved": peanut-grid made to '
        "tell soil from plant, then weed split off as a new class; its backbone has seen the "
        "train split with weed labels. Every fine-tune starts from the quick fit to the same "
        f"strokes ({QUICK.neck_steps} + {QUICK.layer_steps} steps, {QUICK.cells_per_class} cells "
        f"of a class and photograph): {steps} steps of {settings.batch_size} crop of "
        f"{settings.crop_size} px of the halved photograph, the averaged weights after the last "
        f'step. "{DOCK}": a trial of {steps} steps without a quarter of the strokes, which judge '
        "it, then as many steps on all strokes as were best, or none where none was better than "
        "the quick fit. "
        f"Weights of the terms: {weights}. "
        "Learning rates, crops and their augmentation, the number of steps, and weight and view "
        "of the soft labels were chosen on four other draws of the same split (seeds 9 to 12, "
        "some of whose photographs are the same), but for one step back: ten times the "
        "learning rates was better there, and given up when a first run of this table failed "
        "with it. The other weights were set before any result. All terms "
        "together, and those that are off by default, were run for rounds "
        f"{', '.join(map(str, FURTHER_ROUNDS))} only. Two "
        "processes of one thread each, one a task. "
        f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}; the number in "
        "brackets is how many of them are there, where not all are; – was not run."
    )


def _values(
    rows: Sequence[Row], task: str, method: str, number: int, which: str
) -> dict[int, float]:
    """Mean IoU by seed."""
    return {
        row["seed"]: row[which]["miou"]
        for row in rows
        if (row["task"], row["method"], row["round"]) == (task, method, number)
    }


def _rounds(rows: Sequence[Row]) -> list[int]:
    return sorted({row["round"] for row in rows})


def _table(rows: Sequence[Row], task: str, which: str) -> str:
    rounds, seeds = _rounds(rows), {row["seed"] for row in rows}
    lines = ["| method | " + " | ".join(f"round {r}" for r in rounds) + " |"]
    lines.append("| --- |" + " --- |" * len(rounds))
    for method in METHODS:
        found = [list(_values(rows, task, method, r, which).values()) for r in rounds]
        cells = [_cell(values, len(seeds)) for values in found]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], wanted: int) -> str:
    if not values:
        return "–"
    missing = f" ({len(values)})" if len(values) < wanted else ""
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}{missing}"


def gains(rows: Sequence[Row], method: str, number: int, task: str) -> list[float]:
    """Difference to the supervised fine-tune, seed by seed."""
    ours = _values(rows, task, method, number, "held_out")
    theirs = _values(rows, task, "supervised", number, "held_out")
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def _gains(rows: Sequence[Row]) -> str:
    columns = [(task, number) for task in STARTS for number in _rounds(rows)]
    lines = ["| term | " + " | ".join(f"{task}, round {r}" for task, r in columns) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for method in [*(m for m in TERMS if m != "supervised"), DOCK, "quick fit"]:
        cells = []
        for task, number in columns:
            found = gains(rows, method, number, task)
            better = sum(value > 0 for value in found)
            cells.append(f"{np.mean(found):+.3f} ({better} of {len(found)})" if found else "–")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines.append("\nMean difference, and in how many seeds it was positive.")
    return "\n".join(lines)


def _averages(rows: Sequence[Row]) -> str:
    """What a method gains over another in each round, and over all that both have."""
    rounds = _rounds(rows)
    lines = ["| | mean | " + " | ".join(f"round {r}" for r in rounds) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(rounds))
    for ours, theirs in ((DOCK, "quick fit"), ("soft_labels", "supervised")):
        for task, (which, title) in itertools.product(STARTS, _SETS.items()):
            by_round = {}
            for number in rounds:
                left, right = (_values(rows, task, m, number, which) for m in (ours, theirs))
                if seeds := left.keys() & right.keys():
                    by_round[number] = np.mean([left[seed] - right[seed] for seed in seeds])
            cells = [f"{by_round[r]:+.3f}" if r in by_round else "–" for r in rounds]
            mean = f"{np.mean(list(by_round.values())):+.3f}" if by_round else "–"
            name = f"{ours} – {theirs}: {task}, {title}"
            lines.append(f"| {name} | {mean} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _aims(rows: Sequence[Row], which: str) -> str:
    """The two aims of the annotation loop, as means over the seeds that both sides have."""
    lines = []
    for task in STARTS:
        for ours, theirs in (
            (("soft_labels", 4), ("supervised", 8)),
            ((DOCK, 4), ("supervised", 8)),
            (("quick fit", 4), ("supervised", 8)),
            (("soft_labels", 1), ("random forest", 1)),
            ((DOCK, 1), ("random forest", 1)),
            (("quick fit", 1), ("random forest", 1)),
        ):
            left, right = (_values(rows, task, *side, which) for side in (ours, theirs))
            seeds = sorted(left.keys() & right.keys())
            if seeds:
                a, b = (np.mean([side[seed] for seed in seeds]) for side in (left, right))
                lines.append(
                    f"- {task}: {ours[0]} after round {ours[1]} {a:.3f}, {theirs[0]} after round "
                    f"{theirs[1]} {b:.3f} ({len(seeds)} seeds)"
                )
    return "\n".join(lines)


def _figure(rows: Sequence[Row]) -> None:
    figure, axes = plt.subplots(
        len(STARTS), 2, figsize=(10, 7), sharex=True, sharey=True, layout="constrained"
    )
    for line, task in zip(axes, STARTS, strict=True):
        for axis, (which, title) in zip(line, _SETS.items(), strict=True):
            for position, method in enumerate(_DRAWN):
                _curve(axis, rows, task, method, which, position)
            axis.set_title(f"{task}: {title}")
            axis.set_xticks(_rounds(rows))
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel(f"rounds of {STROKES} strokes")
    for axis in axes[:, 0]:
        axis.set_ylabel("mIoU, mean ± sd over seeds")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "loop.png", dpi=130)
    plt.close(figure)


def _curve(
    axis: Any, rows: Sequence[Row], task: str, method: str, which: str, position: int
) -> None:
    """A line with bars of one standard deviation, shifted a little so that none hides another."""
    found = {r: list(_values(rows, task, method, r, which).values()) for r in _rounds(rows)}
    found = {r: values for r, values in found.items() if values}
    color, line = _DRAWN[method]
    axis.errorbar(
        np.array(list(found)) + 0.07 * (position - len(_DRAWN) // 2),
        [np.mean(values) for values in found.values()],
        [np.std(values) for values in found.values()],
        label=method,
        color=color,
        ls=line,
        marker="o",
        ms=4,
        elinewidth=1,
        capsize=2,
    )
