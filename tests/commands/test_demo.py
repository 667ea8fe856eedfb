"""``demo``: the shipped model on a bundled photograph."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.commands import demo, viewer
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.io.samples import sample_mask
from tests.commands.conftest import Cli

NAME = "peanut_0286"


def test_the_demo_finds_the_plants_of_a_bundled_photograph(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "sample_photo_names", lambda: [NAME])
    shown = []
    monkeypatch.setattr(viewer, "show_demo", lambda *arguments: shown.append(arguments))
    out = tmp_path / "demo"
    result = cli("demo", "--out", out, "--device", "cpu", "--gui")
    assert result.code == 0 and result.err == ""
    kinds = ("labels.ome.tif", "likelihood.ome.tif", "overview.png")
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        "cover.csv", "manifest.json", "report.html", *(f"{NAME}.{kind}" for kind in kinds)
    }  # fmt: skip

    labels, classes = read_labels(out / f"{NAME}.labels.ome.tif")
    assert [entry.name for entry in classes] == ["soil", "crop", "weed"]
    miou = mean_iou(confusion_matrix(labels, sample_mask(NAME), 3))
    assert miou > 0.6  # far above one class everywhere, which is below 1/3
    maps = tifffile.imread(out / f"{NAME}.likelihood.ome.tif")
    assert len(maps) >= 3 and maps.min() >= 0 and maps.max() <= 1 and maps.std() > 0.05
    with Image.open(out / f"{NAME}.overview.png") as picture:
        assert picture.size == (1430, 924)

    with (out / "cover.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header[:6] == ["image", "soil", "crop", "weed", "data", "novelty"] and row[0] == NAME
    *shares, over = [float(value) for value in row[1:5]]
    assert over == 1 and row[header.index("remarks")] == ""
    assert shares == pytest.approx([(labels == v).mean() for v in (1, 2, 3)], abs=1e-6)

    [line] = [line for line in result.out.splitlines() if line.startswith(f"│ {NAME}")]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells[:4] == [NAME, *(f"{share:.1%}" for share in shares)]
    assert cells[-1] == f"{miou:.2f}"
    assert f"report.html, are in {out}/" in result.out
    assert np.ptp(labels) == 2
    assert shown == [(NAME, "peanut-grid", "cpu")]
