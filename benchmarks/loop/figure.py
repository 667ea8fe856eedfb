"""A figure of the rounds: the mean over families, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.loop.methods import OURS
from benchmarks.loop.report import MEAN, Values
from benchmarks.loop.score import Row

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_rounds(rows: Sequence[Row], path: Path) -> None:
    """Each family and their mean: ours in colour, rivals in grey."""
    rounds = sorted({row["round"] for row in rows})
    curves = [Values.of([r for r in rows if r["round"] == n], "held_out") for n in rounds]
    names = [*curves[0].families, MEAN]
    figure, axes = plt.subplots(
        2, -(-len(names) // 2), figsize=(13, 6), sharex=True, sharey=True, layout="constrained"
    )
    ours = [name for name in curves[0].methods if name.startswith(OURS)]
    for axis, family in zip(axes.flat, names, strict=False):
        for number, method in enumerate(curves[0].methods):
            mine = method in ours
            axis.plot(
                rounds,
                [values.mean(family, method) for values in curves],
                color=f"C{ours.index(method)}" if mine else str(0.35 + 0.07 * number),
                lw=2 if mine else 1,
                marker="." if mine else None,
                ls=["-", "--", ":", "-."][number % 4],
                label=method,
            )
        axis.set_title(family)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("rounds of strokes")
    for axis in axes[:, 0]:
        axis.set_ylabel("mIoU, held-out photographs")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
