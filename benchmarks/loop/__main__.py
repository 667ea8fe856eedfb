"""Is the first stroke right? Few strokes on many kinds of pictures, against simple rivals.

    python -m benchmarks.loop --data PEANUT --fields FIELDS
    python -m benchmarks.loop --mode rounds --data PEANUT --fields FIELDS

Tasks come in families: photographs of peanut and weeds (val split) seen through many eyes,
textures and pictures of scikit-image, and synthetic fields. Open ones may be looked at while
something is designed; `--sealed` runs the others, which are looked at once.

Mode "first" is the first impression: one photograph with one stroke of each class, three at
least, judged on the rest of it and on another one.

Every method learns from the same strokes. Cells have 8 px, but for the filters of full
resolution. Each finished row is appended to OUT at once; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.loop.first import run_first
from benchmarks.loop.methods import OURS, STARTS, method
from benchmarks.loop.report import tables
from benchmarks.loop.rivals import RIVALS
from benchmarks.loop.score import Row
from benchmarks.loop.tasks import Task, tasks
from benchmarks.measuring import save

METHODS = [*RIVALS, *(OURS + start for start in STARTS)]


def read(path: Path) -> list[Row]:
    """Finished rows; a line cut short by a kill is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def first(options: argparse.Namespace, chosen: list[Task], tell: Callable[[Row], None]) -> None:
    """What is not in the file of rows yet."""
    rows = read(options.rows)
    done = {(row["task"], row["draw"], row["method"]) for row in rows}
    for task in chosen:
        for draw in range(options.draws):
            left = [m for m in options.methods if (task.name, draw, m) not in done]
            run_first([task], {name: method(name) for name in left}, [draw], tell=tell)


def report_first(rows: list[Row]) -> str:
    same = tables(rows, "same", "mIoU on the rest of the photograph")
    return f"{same}\n\n{tables(rows, 'other', 'mIoU on another photograph')}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=["first"], default="first")
    parser.add_argument("--data", type=Path, help="the folder of peanut_weed")
    parser.add_argument("--fields", type=Path, help="a folder of synthetic fields")
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--tasks", nargs="+", default=[], help="names or families")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/loop"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    sealed = "sealed-" if options.sealed else ""
    options.out.mkdir(parents=True, exist_ok=True)
    options.rows = options.out / f"{sealed}{options.mode}.jsonl"
    chosen = tasks(options.data, options.fields, sealed=options.sealed, names=options.tasks)

    def tell(row: Row) -> None:
        with options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    first(options, chosen, tell)
    rows = read(options.rows)
    command = shlex.join(["python", "-m", "benchmarks.loop", *sys.argv[1:]])
    save(f"{sealed}{options.mode}", command, {"rows": rows}, report_first(rows))


if __name__ == "__main__":
    main()
