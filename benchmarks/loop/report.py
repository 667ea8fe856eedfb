"""Tables of the loop: families and tasks by methods, and how far ours is from the best rival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.loop.methods import OURS
from benchmarks.loop.score import Row

MEAN = "mean of the families"
# What a reader of any of the tables needs to know.
LEGEND = """All figures are mean IoU over the classes of a task, of 1, and means over the draws of
strokes; tasks count alike in their family, families alike in the mean. A difference is taken draw
by draw, and ± is its standard error over draws: tasks are given, so it says nothing of other
tasks. The best rival is looked for in each column anew.

“quick fit, auto” begins with the shipped start `field`, “new” with features of ImageNet, “auto
superpixel” with `field` on superpixels, any other name with that model. All others are rivals:
features or colours, and how they are told apart."""


@dataclass(frozen=True)
class Values:
    """Mean IoU by task, method and draw, for one kind of judgement."""

    by_task: dict[tuple[str, str], dict[int, float]]
    family: dict[str, str]
    methods: list[str]

    @classmethod
    def of(cls, rows: Sequence[Row], which: str) -> Values:
        """Of the rows that have this judgement."""
        by_task: dict[tuple[str, str], dict[int, float]] = {}
        for row in rows:
            if which in row:
                place = by_task.setdefault((row["task"], row["method"]), {})
                place[row["draw"]] = row[which]["miou"]
        family = {row["task"]: row["family"] for row in rows if which in row}
        return cls(by_task, family, list(dict.fromkeys(row["method"] for row in rows)))

    @property
    def families(self) -> list[str]:
        return list(dict.fromkeys(self.family.values()))

    def task(self, task: str, method: str) -> float:
        """Mean over draws; nan when it was not run."""
        found = list(self.by_task.get((task, method), {}).values())
        return float(np.mean(found)) if found else float("nan")

    def mean(self, family: str, method: str) -> float:
        """Mean over the tasks of a family, or over all families."""
        if family == MEAN:
            return float(np.mean([self.mean(name, method) for name in self.families]))
        tasks = [task for task, name in self.family.items() if name == family]
        return float(np.mean([self.task(task, method) for task in tasks]))

    def difference(self, family: str, ours: str, theirs: str) -> tuple[float, float]:
        """Mean difference and its standard error over draws, pair by pair; see `_spread`."""
        if family == MEAN:
            parts = [self.difference(name, ours, theirs) for name in self.families]
        else:
            parts = []
            for task in [task for task, name in self.family.items() if name == family]:
                left, right = (self.by_task.get((task, m), {}) for m in (ours, theirs))
                parts.append(_spread([left[d] - right[d] for d in left.keys() & right.keys()]))
        errors = np.array([error for _, error in parts])
        # Tasks and families are given, only draws are by chance: errors add as squares.
        total = float(np.sqrt((errors**2).sum()) / len(errors))
        return float(np.mean([mean for mean, _ in parts])), total


def _spread(differences: Sequence[float]) -> tuple[float, float]:
    """Mean, and the standard error of it; nan with less than two."""
    count = len(differences)
    error = np.std(differences, ddof=1) / np.sqrt(count) if count > 1 else float("nan")
    return float(np.mean(differences)) if count else float("nan"), float(error)


def tables(rows: Sequence[Row], which: str, title: str) -> str:
    """Families by methods, differences to the best rival, and all tasks, as Markdown."""
    values = Values.of(rows, which)
    ours = [name for name in values.methods if name.startswith(OURS)]
    rivals = [name for name in values.methods if name not in ours]
    parts = [f"**{title}, by family**", by_family(values)]
    if ours and rivals:
        parts += [
            f"**{title}, against the best rival of each family**",
            against(values, ours, rivals),
        ]
    parts += [f"**{title}, by task**", by_task(values)]
    return "\n\n".join(parts)


def report_first(rows: Sequence[Row]) -> str:
    """Of `run_first`."""
    same = tables(rows, "same", "mIoU on the rest of the photograph")
    return f"{same}\n\n{tables(rows, 'other', 'mIoU on another photograph')}"


def report_rounds(rows: Sequence[Row]) -> str:
    """Of `run_rounds`: tables of each round, and how far a method ever falls back."""
    rounds = sorted({row["round"] for row in rows})
    after = {number: [row for row in rows if row["round"] == number] for number in rounds}
    parts = [
        tables(after[number], "held_out", f"mIoU on held-out photographs after round {number}")
        for number in rounds
    ]
    curves = [Values.of(after[number], "held_out") for number in rounds]
    parts.append("**From one round to the next, held-out photographs: the largest fall**")
    names = [*curves[0].families, MEAN]
    lines = []
    for method in curves[0].methods:
        changes = [np.diff([values.mean(name, method) for values in curves]) for name in names]
        lines.append([method, *(f"{min(0, *change, 0):+.3f}" for change in changes)])
    return "\n\n".join([*parts, table(["method", *names], lines)])


def report_tuning(rows: Sequence[Row]) -> str:
    """Of `run_tuning`: each amount of labels, with the difference to the quick fit."""
    parts = []
    for amount in dict.fromkeys(row["labels"] for row in rows):
        values = Values.of([row for row in rows if row["labels"] == amount], "held_out")
        tuned = [name for name in values.methods if name != "quick fit"]
        parts += [
            f"**From {amount}: mIoU on held-out photographs, by family**",
            by_family(values),
            "**against the quick fit**",
            against(values, tuned, ["quick fit"]),
            by_task(values),
        ]
    return "\n\n".join(parts)


def by_family(values: Values) -> str:
    names = [*values.families, MEAN]
    lines = [
        [method, *(_number(values.mean(name, method)) for name in names)]
        for method in values.methods
    ]
    return table(["method", *names], lines)


def by_task(values: Values) -> str:
    lines = [
        [f"{family}: {task}", *(_number(values.task(task, method)) for method in values.methods)]
        for task, family in values.family.items()
    ]
    return table(["task", *values.methods], lines)


def against(values: Values, ours: Sequence[str], rivals: Sequence[str]) -> str:
    """Paired differences with their standard errors; the rival is the best of that column."""
    lines = []
    names = [*values.families, MEAN]
    best = {name: max(rivals, key=lambda rival: values.mean(name, rival)) for name in names}
    for method in ours:
        cells = [values.difference(name, method, best[name]) for name in names]
        lines.append([method, *(f"{mean:+.3f}{_error(error)}" for mean, error in cells)])
    lines.append(["the rival", *best.values()])
    return table(["method", *names], lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Rows and columns as Markdown."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _error(value: float) -> str:
    return f" ± {value:.3f}" if np.isfinite(value) else ""
