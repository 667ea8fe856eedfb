"""Does it help? Simulated strokes, round by round, and what each method makes of them.

    python -m benchmarks.loop --data FOLDER --out runs/loop
    python -m benchmarks.loop --out runs/loop --report

FOLDER is the peanut_weed subset; only its val split is used. Of it 5 photographs, each of
another scene, are annotated and 10 of yet other scenes judge; the seed draws both. In every
round the annotator paints 6 strokes (10 px wide, at most 150 px long, inside their class)
along the middle of the largest regions that the quick fit gets wrong. The strokes of all
rounds are drawn once per task and seed, so that every method learns from the same ones.

Tasks: "empty" starts from an ImageNet backbone and tells soil, crop and weed apart. "moved"
starts from the shipped grid model made to tell soil from plant, and splits weed off as a new
class; its backbone has seen the train split with weed labels, so this is a change of the
class table and of the scenes, not of the domain.

Every fine-tune starts from the quick fit to the same strokes and has the same budget. The
running average of the weights after the last step is judged: the quick fit has seen all
strokes, so held-out ones would always choose the start. "As the dock does" is `trial_fit_steps`: a
trial judged by a quarter of the strokes that are set aside, then a training on all of them.

Each finished cell is appended to cells.jsonl at once; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.loop.methods import FURTHER_ROUNDS, MAIN, METHODS, run_method
from benchmarks.loop.report import report
from benchmarks.loop.tasks import STARTS, make_task

Cell = tuple[str, int, str, int]


def order(options: argparse.Namespace) -> Iterator[Cell]:
    """What matters most first, so that the results are useful at any stop."""
    main = [m for m in options.methods if m in MAIN]
    further = [m for m in options.methods if m not in MAIN]
    rounds = sorted(options.rounds, key=lambda r: (r not in (4, 8), r))
    for chosen, methods in (
        ([r for r in rounds if r in FURTHER_ROUNDS], main),
        ([r for r in rounds if r in FURTHER_ROUNDS], further),
        ([r for r in rounds if r not in FURTHER_ROUNDS], main),
    ):
        for seed, task, number, method in itertools.product(
            options.seeds, options.tasks, chosen, methods
        ):
            yield task, seed, method, number


def key(row: dict[str, Any]) -> Cell:
    return row["task"], row["seed"], row["method"], row["round"]


def read(path: Path) -> list[dict[str, Any]]:
    """Finished cells; a line cut short by a kill is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def run(options: argparse.Namespace) -> None:
    path = options.out / "cells.jsonl"
    done = {key(row) for row in read(path)}
    task = None
    for cell in order(options):
        name, seed, method, number = cell
        if cell in done:
            continue
        if task is None or (task.name, task.seed) != (name, seed):
            task = make_task(name, seed, options.data, options.out)
        result = run_method(method, task, number, options.steps)
        row = {"task": name, "seed": seed, "method": method, "round": number, **result}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/loop"))
    parser.add_argument("--tasks", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", nargs="+", type=int, default=list(range(1, 9)))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.report:
        report(read(options.out / "cells.jsonl"), options.steps)
    elif options.data is None:
        parser.error("--data is needed, except for --report")
    else:
        run(options)


if __name__ == "__main__":
    main()
