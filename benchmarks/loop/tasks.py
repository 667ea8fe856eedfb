"""The tasks of the annotation loop: photographs, start, and strokes drawn once for everybody."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.loop.annotator import Labels, paint_round
from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid
from napari_gaussproto.core.training.quick_fit import QuickFit, QuickSettings, quick_fit_steps
from napari_gaussproto.io.dataset import DataSettings, load_split

ROUNDS = 8
ANNOTATED, HELD_OUT = 5, 10
_WITH_CROP = 3
MOVED_MODEL = "peanut-grid"
# Written out, so that the table says what was measured: those of the dock.
QUICK = QuickSettings(neck_steps=30, layer_steps=15, cells_per_class=150)

Photo = tuple[np.ndarray, Labels]


def empty_model() -> PrototypeSegmenter:
    """An ImageNet backbone that knows no class."""
    config = ModelConfig(classes=["soil", "crop", "weed"], partition="grid", downsample=2)
    with seeded(0):
        return PrototypeSegmenter(config, pretrained=True).eval()


def moved_model() -> PrototypeSegmenter:
    """The shipped model, first made to tell soil from plant; then weed is added as new."""
    model = load_model(MOVED_MODEL, "cpu").eval()
    table = ModelConfig(classes=["soil", "plant", "weed"]).classes
    two = adapt(model, table[:2], {0: 0, 1: 1, 2: 1})
    return adapt(two, table)


STARTS: dict[str, tuple[Callable[[], PrototypeSegmenter], bool]] = {
    "empty": (empty_model, True),
    "moved": (moved_model, False),
}


@dataclass
class Task:
    """One task with one seed.

    Attributes
    ----------
    annotated, held_out : list of (image, labels)
    strokes : list of list of ndarray
        Of rounds 1 to `ROUNDS`, each the labels of all annotated photographs so far.
    """

    name: str
    seed: int
    annotated: list[Photo]
    held_out: list[Photo]
    start: PrototypeSegmenter
    scratch: bool
    encoded: list[EncodedImage]
    strokes: list[list[Labels]] = field(default_factory=list)
    fits: dict[int, QuickFit] = field(default_factory=dict)

    @property
    def truths(self) -> list[Labels]:
        return [labels for _, labels in self.annotated]

    def quick(self, number: int) -> QuickFit:
        """The quick fit to the strokes of rounds 1 to ``number``."""
        if number not in self.fits:
            labels = self.strokes[number - 1]
            steps = quick_fit_steps(
                self.encoded,
                labels,
                self.start,
                scratch=self.scratch,
                settings=QUICK,
                seed=self.seed,
            )
            self.fits[number] = run(steps)
        return self.fits[number]


def make_task(name: str, seed: int, data: Path, out: Path) -> Task:
    """Photographs of the val split, and the strokes: read, or drawn and kept."""
    photos, groups = load_val(data)
    annotated, held_out = divide(photos, groups, seed)
    build, scratch = STARTS[name]
    start = build()
    encoded = [encode_pyramid(photos[i][0], start) for i in annotated]
    task = Task(
        name,
        seed,
        [photos[i] for i in annotated],
        [photos[i] for i in held_out],
        start,
        scratch,
        encoded,
    )
    path = out / f"strokes-{name}-{seed}.npz"
    if path.exists():
        with np.load(path) as stored:
            task.strokes = [list(stored[f"round{r}"]) for r in range(1, ROUNDS + 1)]
    else:
        draw(task)
        named = {f"round{r}": np.stack(s) for r, s in enumerate(task.strokes, start=1)}
        np.savez_compressed(path, **named)  # type: ignore[arg-type]
    return task


def draw(task: Task) -> None:
    """Eight rounds of strokes, each after a look at the quick fit's predictions."""
    labels = [np.zeros_like(truth) for truth in task.truths]
    predictions = None
    for number in range(1, ROUNDS + 1):
        labels = paint_round(task.truths, labels, predictions)
        task.strokes.append(labels)
        fit = task.quick(number)
        predictions = [fit.model.decode(encoding).labels for encoding in fit.encodings]


def load_val(folder: Path) -> tuple[list[Photo], list[str]]:
    """All photographs of the val split with their labels, and the scene of each."""
    settings = DataSettings(mask_offset=1)
    images, labels = load_split(settings, folder, "val")
    with (folder / settings.index).open(newline="", encoding="utf-8-sig") as file:
        groups = [row["group"] for row in csv.DictReader(file) if row["split"] == "val"]
    return list(zip(images, labels, strict=True)), groups


def divide(photos: list[Photo], groups: list[str], seed: int) -> tuple[list[int], list[int]]:
    """Photographs to annotate, each of another scene, and others of yet other scenes.

    Some photographs hold no crop at all; of those to annotate, three of five do.
    """
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    annotated: list[int] = []
    for with_crop, count in ((True, _WITH_CROP), (False, ANNOTATED)):
        for i in order:
            used = {groups[j] for j in annotated}
            suits = bool((photos[i][1] == 2).any()) == with_crop and groups[i] not in used
            if suits and len(annotated) < count:
                annotated.append(i)
    used = {groups[j] for j in annotated}
    held_out = [i for i in order if groups[i] not in used][:HELD_OUT]
    return annotated, held_out
