"""Files of every kind by `predict` and `measure`: the right result or a sentence."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.commands.measure import run_measure
from napari_gaussproto.commands.predict import run_predict
from napari_gaussproto.commands.results import console
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.io.ome import read_labels
from tests.reliability.inputs.arrays import (
    COUNTS,
    check_labels,
    check_sentence,
    expected,
    fingerprint,
    model_for,
)
from tests.reliability.inputs.files import FILES


@dataclass(frozen=True)
class Run:
    """What the commands made of all files.

    Attributes
    ----------
    labels : dict of str to Path
        What `predict` wrote, by the name of the file.
    areas : dict of str to list of int
        What `measure` counted, by the name of the file.
    told : dict of str to list of str
        The sentences of both about each file.
    changed : set of Path
        Files that are not what they were.
    """

    labels: dict[str, Path]
    areas: dict[str, list[int]]
    told: dict[str, list[str]]
    changed: set[Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """Both commands, once over all files of a model's channels."""
    folder = tmp_path_factory.mktemp("files")
    for name, case in FILES.items():
        (folder / str(case.channels)).mkdir(exist_ok=True)
        case.make(folder / str(case.channels) / name)
    return {count: commands(folder / str(count), count) for count in COUNTS}


def commands(files: Path, channels: int) -> Run:
    out = files.parent / f"out {channels}"
    model = save_model(model_for(channels), out.with_suffix(".safetensors"), half=False)
    before = dict(fingerprint(files))
    about = ([str(files)], str(model))
    with pytest.MonkeyPatch.context() as patch, console.capture() as printed:
        patch.setattr(console, "width", 10_000)
        options = {"maps": False, "overview": False, "again": False}
        run_predict(*about, out / "predict", "cpu", "auto", "tiff", **options)
        run_measure(
            *about, out / "measure", "cpu", "auto", pixel_size=None, least_area=16, regions=None,
            instances=None, labels=None, format="csv",
        )  # fmt: skip
    told: dict[str, list[str]] = {}
    for name, sentence in re.findall(r"^left out (.*?): (.*)$", printed.get(), re.MULTILINE):
        told.setdefault(name, []).append(sentence)
    areas: dict[str, list[int]] = {}
    for row in rows(out / "measure" / "areas.csv"):
        areas.setdefault(row["image"], []).append(int(row["pixels"]))
    after = dict(fingerprint(files))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    results = out / "predict"
    labels = {row["image"]: results / row["labels"] for row in rows(results / "cover.csv")}
    return Run(labels, areas, told, changed)


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.parametrize("name", FILES)
def test_predict_and_measure(name: str, runs: dict[int, Run]) -> None:
    case = FILES[name]
    run = runs[case.channels]
    if case.says:
        assert len(run.told[name]) == 2  # one of each command
        for sentence in run.told[name]:
            check_sentence(case, sentence)
        return
    assert name not in run.told
    check_labels(case, read_labels(run.labels[name])[0])
    wanted = np.bincount(expected(case).ravel(), minlength=3)[1:]
    assert np.abs(np.array(run.areas[name]) - wanted).max() <= (1 - case.share) * wanted.sum()


def test_no_file_is_changed(runs: dict[int, Run]) -> None:
    assert not [path for run in runs.values() for path in run.changed]
