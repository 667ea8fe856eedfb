"""Whether the dock would propose the right start: strokes that correct one, judged by all pixels.

    python -m benchmarks.loop.starts --data FOLDER --fields FIELDS

A simulated annotator corrects one of two starts, a new model or peanut-grid, for some rounds.
After each it is asked whether the other start is proposed, and how good either really is, on
the photographs that are painted on and on others. Only tasks of soil, crop and weed have two.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loop.annotator import paint_round
from benchmarks.loop.photos import Labels
from benchmarks.loop.score import score
from benchmarks.loop.tasks import Task, tasks
from benchmarks.measuring import save
from napari_gaussproto.core.base.config import NewModel, SegmentationClass
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.training.comparison import Contender, compare_steps
from napari_gaussproto.core.training.pyramid import encode_pyramid, latents_of_image
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.start import begin

CLASSES = ("soil", "crop", "weed")
STARTS = {"a new model": NewModel(), "peanut-grid": "peanut-grid"}
# Mean IoU by which one has to be better for a proposal to be right or wrong.
_ALIKE = 0.02


def run_starts(chosen: Sequence[Task], draws: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Rows: who is corrected, what the comparison says, and the mean IoU of both."""
    table = [SegmentationClass(name=name, color="#999999") for name in CLASSES]
    for task in chosen:
        for draw in range(draws):
            annotated, judges = task.sets(draw)
            photos, truths = [*annotated, *judges], [photo.truth for photo in annotated]
            pixels = max(truth.size for truth in truths)
            contenders = {}
            for name, start in STARTS.items():
                model, scratch = begin(start, table, "cpu", pixels=pixels)
                images = [encode_pyramid(photo.image, model) for photo in photos]
                contenders[name] = Contender(model, scratch, images)
            for first, second in (tuple(STARTS), tuple(STARTS)[::-1]):
                labels: list[Labels] = [np.zeros_like(truth) for truth in truths]
                seen = None
                for number in range(1, rounds + 1):
                    labels = paint_round(truths, labels, seen, task.rng(draw, number))
                    found = {name: _predicted(contenders[name], labels) for name in STARTS}
                    seen = found[first][: len(truths)]
                    painted = [
                        Contender(c.model, c.scratch, c.images[: len(truths)])
                        for c in (contenders[first], contenders[second])
                    ]
                    compared = run(compare_steps(*painted, labels))
                    yield {
                        **{"task": task.name, "draw": draw, "round": number, "corrected": first},
                        "miou": [score(found[n], photos, 3)["miou"] for n in (first, second)],
                        "held_out": None if compared is None else compared.accuracy,
                        "doubt": None if compared is None else compared.doubt,
                        "proposed": compared is not None and compared.is_second_better,
                    }


def _predicted(start: Contender, labels: Sequence[Labels]) -> list[Labels]:
    """All photographs, the first of which are painted on, by a quick fit."""
    painted = start.images[: len(labels)]
    fit = run(quick_fit_steps(painted, labels, start.model, scratch=start.scratch))
    encodings = (latents_of_image(fit.model, image) for image in start.images)
    return [fit.model.decode(encoding).labels for encoding in encodings]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """How often a proposal was right, and how often a better start was not proposed."""
    lines = ["| corrected | asked | proposed | right | alike | wrong | better, not proposed |"]
    lines.append("|" + " --- |" * 7)
    for name in STARTS:
        own = [row for row in rows if row["corrected"] == name and row["held_out"] is not None]
        gains = np.array([row["miou"][1] - row["miou"][0] for row in own])
        said = np.array([row["proposed"] for row in own], bool)
        counts = [
            len(own),
            said.sum(),
            (said & (gains > _ALIKE)).sum(),
            (said & (abs(gains) <= _ALIKE)).sum(),
            (said & (gains < -_ALIKE)).sum(),
            (~said & (gains > _ALIKE)).sum(),
        ]
        lines.append(f"| {name} | " + " | ".join(str(int(count)) for count in counts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of peanut_weed")
    parser.add_argument("--fields", type=Path)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", nargs="*", default=[], help="of tasks or families, if not all")
    asked = parser.parse_args()
    chosen = [
        task
        for task in tasks(asked.data, asked.fields, names=asked.names)
        if task.classes == CLASSES
    ]
    rows = []
    for row in run_starts(chosen, asked.draws, asked.rounds):
        rows.append(row)
        print(row, flush=True)
    command = "python -m benchmarks.loop.starts --data PEANUT --fields FIELDS"
    save("starts", f"{command} --draws {asked.draws} --rounds {asked.rounds}", rows, summary(rows))


if __name__ == "__main__":
    main()
