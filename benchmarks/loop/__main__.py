"""Are the first strokes right? Few strokes on many kinds of pictures, against simple rivals.

    python -m benchmarks.loop --data PEANUT --fields FIELDS
    python -m benchmarks.loop --mode rounds --data PEANUT --fields FIELDS
    python -m benchmarks.loop --mode fine-tune --data PEANUT --fields FIELDS

Tasks come in families: photographs of peanut and weeds (val split) seen through many eyes,
textures and pictures of scikit-image, and synthetic fields. Open ones may be looked at while
something is designed; `--sealed` runs the others, which are looked at once.

"first" is the first impression: one photograph with one stroke of each class, three at least,
judged on the rest of it and on another one. "rounds" are 8 rounds of 6 strokes on 4 photographs,
each method corrected where it is wrong itself, judged by others. "fine-tune" compares a
fine-tune with the quick fit that it begins with, from 1, 2 and 5 densely labelled photographs
and from the strokes of 8 rounds; with `--terms` every semi-supervised term alone. `--labels` takes
some of these by name, "5 dense" for example, and "three strokes", which are those of "first".

Strokes are lines of 30 to 120 px, 4 to 12 px wide, inside their class: at first in a large part
of it, then in the largest part that is wrong. Cells have 8 px, but for the filters of full
resolution. With `--out` each finished row is appended to a file at once, and a run that was
stopped goes on; what stands there is not run again, whatever the code is by then.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.loop.figure import draw_rounds
from benchmarks.loop.first import run_first
from benchmarks.loop.methods import OURS, STARTS, method
from benchmarks.loop.report import LEGEND, report_first, report_rounds, report_tuning
from benchmarks.loop.rivals import RIVALS
from benchmarks.loop.rounds import ROUNDS, run_rounds
from benchmarks.loop.score import Row
from benchmarks.loop.tasks import Task, tasks
from benchmarks.loop.tuning import AMOUNTS, AMOUNTS_OF_TERMS, TERMS, run_tuning
from benchmarks.measuring import RESULTS, save

METHODS = [*RIVALS, *(OURS + start for start in STARTS)]
REPORTS = {"first": report_first, "rounds": report_rounds, "fine-tune": report_tuning}
# The names of the tables, and the draws of a full and of a quick run.
TABLES = {"first": "first", "rounds": "loop", "fine-tune": "fine-tune"}
DRAWS = {"first": (5, 2), "rounds": (5, 1), "fine-tune": (3, 1)}
QUICK_ROUNDS = (1, 2, 4)
Tell = Callable[[Row], None]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=list(TABLES), default="first")
    parser.add_argument("--data", type=Path, help="the folder of peanut_weed")
    parser.add_argument("--fields", type=Path, help="a folder of synthetic fields")
    parser.add_argument("--sealed", action="store_true", help="the tasks that are looked at once")
    parser.add_argument("--tasks", nargs="+", default=[], help="names or families")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--start", default="auto", help="what a fine-tune begins with")
    parser.add_argument("--steps", type=int, help="of a fine-tune")
    parser.add_argument("--labels", nargs="+", help="amounts of labels of a fine-tune, by name")
    parser.add_argument("--terms", action="store_true", help="every semi-supervised term alone")
    parser.add_argument("--out", type=Path, help="a folder that keeps rows of a run")
    parser.add_argument(
        "--quick", action="store_true", help="one task a family, few draws; no table is written"
    )
    return parser


def main(given: Sequence[str] | None = None) -> None:
    options = arguments().parse_args(given)
    torch.set_num_threads(1)
    draws = range(options.draws or DRAWS[options.mode][options.quick])
    chosen = tasks(options.data, options.fields, sealed=options.sealed, names=options.tasks)
    if options.quick or (options.mode == "fine-tune" and not options.tasks):
        chosen = first_of_families(chosen)
    name = ("sealed-" if options.sealed else "") + TABLES[options.mode]
    name += "-terms" if options.terms else ""
    rows = run(options, chosen, draws, name)
    text = f"{LEGEND}\n\n{REPORTS[options.mode](rows)}"
    if options.quick:
        print(text)
        return
    command = shlex.join(["python", "-m", "benchmarks.loop", *(given or sys.argv[1:])])
    save(name, command, {"rows": rows}, text)
    if options.mode == "rounds":
        draw_rounds(rows, RESULTS / f"{name}.png")


def first_of_families(chosen: Sequence[Task]) -> list[Task]:
    """One task of every family."""
    return list({task.family: task for task in reversed(chosen)}.values())[::-1]


def run(
    options: argparse.Namespace, chosen: Sequence[Task], draws: Sequence[int], name: str
) -> list[Row]:
    """Rows of all tasks, those that stand in the file of a former run included."""
    file = options.out / f"{name}.jsonl" if options.out else None
    rows = read(file) if file else []

    def tell(row: Row) -> None:
        rows.append(row)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    for task, draw in itertools.product(chosen, draws):
        former = [r for r in rows if (r["task"], r["draw"]) == (task.name, draw)]
        if options.mode == "fine-tune":
            tune(options, task, draw, former, tell)
            continue
        rounds = QUICK_ROUNDS if options.quick else ROUNDS
        done = {r["method"] for r in former if r.get("round", max(rounds)) == max(rounds)}
        methods = {m: method(m) for m in options.methods if m not in done}
        if options.mode == "first":
            run_first([task], methods, [draw], tell=tell)
        else:
            run_rounds([task], methods, [draw], rounds=rounds, tell=tell)
    return list({key(row): row for row in rows}.values())


def tune(
    options: argparse.Namespace, task: Task, draw: int, former: Sequence[Row], tell: Tell
) -> None:
    """Fine-tune from every amount of labels that is not done yet."""
    start, steps, terms = options.start, options.steps, [*TERMS] if options.terms else ()
    last = terms[-1] if terms else "fine-tune"
    done = {row["labels"] for row in former if row["method"] == last}
    amounts = options.labels or (AMOUNTS_OF_TERMS if terms else AMOUNTS)
    left = [amount for amount in amounts if amount not in done]
    run_tuning([task], [draw], start=start, steps=steps, terms=terms, amounts=left, tell=tell)


def key(row: Row) -> tuple[object, ...]:
    """What a row is about: a part of a run that was stopped within it is run again."""
    return tuple(row.get(name) for name in ("task", "draw", "method", "round", "labels"))


def read(path: Path) -> list[Row]:
    """Finished rows; a line cut short by a kill is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


if __name__ == "__main__":
    main()
