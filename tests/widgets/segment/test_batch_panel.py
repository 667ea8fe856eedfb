"""The Batch section of the Segment dock in a real viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_gaussproto.io.batch.manifest import locked
from napari_gaussproto.widgets.segment import batch_panel
from tests.core.builders import two_tone
from tests.widgets.docks import without_end

NAMES = ["a/x.png", "b/x.png", "b/y.png"]


@pytest.fixture
def season(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        path = tmp_path / "season" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(two_tone(48, 64, seed)[0]).save(path)
    return tmp_path / "season"


@pytest.fixture
def panel(dock: Any, season: Path, qtbot: Any) -> Any:
    """The section, open, set to the folder."""
    panel = dock.batch
    panel.header.click()
    panel.what.setCurrentText("a folder")
    panel.folder.setText(str(season))
    panel.out.setText(str(season.parent / "out"))
    yield panel
    panel.runner.cancel()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)


@pytest.fixture
def press(panel: Any, qtbot: Any) -> Callable[[], None]:
    def work() -> None:
        with qtbot.waitSignal(panel.runner.finished, timeout=120_000):
            panel.run_button.click()

    return work


def test_the_button_says_what_is_missing(panel: Any) -> None:
    assert panel.run_button.isEnabled() and panel.table.isHidden()
    panel.out.setText(" ")
    assert not panel.run_button.isEnabled()
    assert panel.run_button.toolTip() == "Choose a folder for the results first"
    panel.folder.setText("")
    assert panel.run_button.toolTip() == "Choose a folder with photographs first"
    panel.what.setCurrentText("all open images")
    assert not panel.folder.isEnabled()
    panel.out.setText("out")
    panel.run_button.click()
    assert panel.status.text().startswith("Open an image first")


def test_measurements_are_written_when_they_are_ticked(
    dock: Any, panel: Any, press: Callable[[], None], season: Path
) -> None:
    press()
    assert not list(season.parent.rglob("*objects.csv"))
    panel.tables.setChecked(True)
    dock.measure.least_area.setValue(200)
    press()
    objects = pd.read_csv(season.parent / "out" / "objects.csv")
    assert sorted(set(objects["image"])) == NAMES and objects["area_px"].min() >= 200


def test_a_folder_gives_a_table_that_sorts_by_numbers(
    panel: Any, press: Callable[[], None], season: Path
) -> None:
    (season / "b" / "z.png").write_text("torn")
    press()
    table = panel.table
    assert table.isVisibleTo(panel) and [row[0] for row in table.texts()] == NAMES
    assert "3 of 4 segmented, in" in panel.status.text()
    assert "Left out b/z.png: “z.png” is no image" in panel.status.text()
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    shares = [float(row[2].rstrip("%")) for row in table.texts()]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) > 1
    panel.copy_button.click()
    header, *rows = QApplication.clipboard().text().splitlines()
    judged = ["novelty", "uncertainty", "corrected", "remarks"]
    assert header.split("\t") == ["image", "soil", "plant", *judged]
    assert len(rows) == 3
    assert (season.parent / "out" / "report.html").exists()
    press()
    assert "3 of them before" in panel.status.text()


def test_open_images_are_segmented_into_a_folder(
    panel: Any, press: Callable[[], None], viewer: Any, season: Path
) -> None:
    viewer.add_image(two_tone(48, 64, 0)[0], name="first")
    viewer.add_image(two_tone(48, 64, 1)[0], name="second")
    panel.what.setCurrentText("all open images")
    panel.format.setCurrentText("PNG")
    press()
    assert [row[0] for row in panel.table.texts()] == ["first", "second"]
    assert (season.parent / "out" / "second.labels.png").exists()
    assert len(viewer.layers) == 2


def test_a_cancel_keeps_what_is_done(
    panel: Any,
    press: Callable[[], None],
    season: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in range(20):
        Image.fromarray(two_tone(48, 64, seed)[0]).save(season / f"{seed:02}.png")
    with monkeypatch.context() as patch:
        without_end(patch, batch_panel, lambda step: getattr(step, "done", 0) == 1)
        panel.run_button.click()
        labels = season.parent / "out" / "00.labels.ome.tif"
        qtbot.waitUntil(labels.exists, timeout=120_000)
        panel.cancel_button.click()
        assert not panel.runner.running and "what is done stays" in panel.status.text()
        qtbot.waitUntil(lambda: not panel.runner.busy, timeout=60_000)
    press()
    done = panel.status.text().split(" of them before")[0].split(", ")[-1]
    assert 1 <= int(done) < 23 and len(panel.table.texts()) == 23


def test_a_folder_in_use_is_a_sentence(panel: Any, press: Callable[[], None], season: Path) -> None:
    out = season.parent / "out"
    out.mkdir()
    with locked(out):
        press()
    assert panel.status.text().startswith("Another run is writing into")
    assert panel.run_button.isEnabled()
