"""Runs, corrections and faults in any order: nothing of a person is lost, and labels are right."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import LARGE, open_labels
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    identify,
    overruled,
    values_between,
)
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.outputs import Outputs, read_label_file
from napari_gaussproto.jobs.batch import one_image
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from tests.core.builders import tiny_model, two_tone

HEIGHT, WIDTH = 24, 32
MODELS = [tiny_model(), tiny_model(seed=1), tiny_model(classes=["plant", "soil"], seed=2)]
FORMATS = ("tiff", "tiff", "tiff", "png", "zarr")
Labels = npt.NDArray[Any]


class Season:
    """Two photographs and a series, their results, and what a person did with both."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance, self.folder, self.out = random.Random(seed), folder / "in", folder / "out"
        self.folder.mkdir()
        self.out.mkdir()
        self.pixels: dict[str, Labels] = {}
        self.drawn: dict[str, tuple[Labels, Labels]] = {}
        # What a person saved: all of it, and what was last under each name.
        self.ever: list[Labels] = []
        self.saved: dict[str, Labels] = {}
        for name in ("x.png", "y.png", "s.ome.tif"):
            self.shoot(name)

    def shoot(self, name: str) -> None:
        """Another photograph of that name."""
        seeds = [self.chance.randrange(1000) for _ in range(2)]
        planes = np.stack([two_tone(HEIGHT, WIDTH, seed)[0] for seed in seeds])
        self.pixels[name] = planes if name.startswith("s") else planes[0]
        self.put_back(name)

    def put_back(self, name: str) -> None:
        """The file as it should be."""
        if name.startswith("s"):
            about = {"photometric": "rgb", "metadata": {"axes": "TYXS"}}
            tifffile.imwrite(self.folder / name, self.pixels[name], ome=True, **about)
        else:
            Image.fromarray(self.pixels[name]).save(self.folder / name)

    def tear(self, name: str) -> None:
        """A file that cannot be read for once."""
        (self.folder / name).write_bytes(b"torn")

    def draw(self, name: str) -> None:
        """Strokes of one class in a project, or none any more."""
        if self.drawn.pop(name, None) is None:
            labels = np.zeros(self.pixels[name].shape[:-1], np.uint8)
            labels[..., : self.chance.randrange(1, 9), :9] = self.chance.choice([1, 2])
            self.drawn[name] = self.pixels[name].copy(), labels

    def correct(self, name: str) -> None:
        """Save other labels in one of the label files of an image."""
        files = sorted(self.out.glob(f"{name[0]}.labels.[!f]*"))
        if not files:
            return
        path = self.chance.choice(files)
        labels = np.array(read_label_file(path, 2 + name.startswith("s")))
        labels[..., -1, :] = [self.chance.choice([1, 2]) for _ in range(WIDTH)]
        time.sleep(0.02)  # no person is as quick as the clock of a file system
        if path.suffix == ".zarr":
            place = path / "0" if path.name.endswith(".ome.zarr") else path
            open_labels(place)[:] = labels
        elif path.suffix == ".png":
            Image.fromarray(labels).save(path)
        else:
            tifffile.imwrite(path, labels)
        self.saved[path.name] = labels
        self.ever.append(labels)
        time.sleep(0.02)

    def segment(self, name: str) -> None:
        """A run, and what must be true after it."""
        model = self.chance.choice([*MODELS, *MODELS[:1] * 3])
        outputs = Outputs(
            self.chance.choice(FORMATS),  # type: ignore[arg-type]
            maps=self.chance.random() < 0.3,
            tables=self.chance.random() < 0.5,
        )
        images = (Annotation(identify(pixels, "n"), own) for pixels, own in self.drawn.values())
        drawn = Annotations(tuple(MODELS[0].classes), tuple(images))
        corrections = drawn if self.chance.random() < 0.5 else None
        found = find([self.folder if self.chance.random() < 0.7 else self.folder / name], self.out)
        request = BatchRequest(model, found, self.out, outputs, corrections=corrections)
        if self.chance.random() < 0.2:
            steps = batch_steps(request)
            for _ in range(self.chance.randrange(1, 6)):
                next(steps, None)
            steps.close()
        else:
            self.check(run(batch_steps(request)), request, drawn if corrections else None)
        files = [path for path in self.out.iterdir() if ".labels." in path.name]
        there = [read_label_file(path, 2 + path.name.startswith("s")) for path in files]
        for labels in self.saved.values():
            assert any(np.array_equal(labels, one) for one in there)

    def check(self, result: BatchResult, request: BatchRequest, drawn: Annotations | None) -> None:
        """Labels are a person's, or those of this model with what is drawn; tables are of them."""
        model = request.model
        for name, entry in result.images.items():
            labels = np.array(read_label_file(self.out / entry.labels, 2 + name.startswith("s")))
            if not entry.edited:
                np.testing.assert_array_equal(labels, self.expected(name, model, drawn))
            else:
                assert any(np.array_equal(labels, own) for own in self.ever)
            if request.outputs.tables:
                areas = pd.read_csv(self.out / "areas.csv")
                areas = areas[areas["image"] == name]
                counts = areas.groupby("class")["pixels"].sum()
                for value, known in enumerate(model.classes, start=1):
                    assert counts.get(known.name, 0) == (labels == value).sum()
                said = "with corrections" if entry.corrected else "predicted"
                assert set(areas["labels"]) == {said}

    def expected(self, name: str, model: Any, drawn: Annotations | None) -> Labels:
        """Labels by a model, and what is drawn on these pixels."""
        pixels = self.pixels[name]
        planes = pixels.reshape(-1, *pixels.shape[-3:])
        labels = np.stack([segment(plane, model).labels for plane in planes])
        labels = labels.reshape(pixels.shape[:-1])
        found = None if drawn is None else drawn.find(identify(pixels, name))
        if drawn is None or found is None:
            return labels
        return overruled(labels, values_between(drawn.classes, model.classes, [])[found.labels])


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_labels_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(one_image, "LARGE", (LARGE, 100, LARGE)[seed])
    season = Season(tmp_path, seed)
    ways = [season.segment] * 6 + [season.correct] * 3
    ways += [season.shoot, season.tear, season.put_back, season.draw, season.draw]
    for _ in range(30):
        season.chance.choice(ways)(season.chance.choice(list(season.pixels)))
