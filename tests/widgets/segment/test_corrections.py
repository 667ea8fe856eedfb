"""What is drawn in the Train dock overrules predictions in the Batch and the Measure section."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from tests.core.builders import two_tone
from tests.widgets.train_dock import WAIT, click, settled


def drawn_plants(train: Any, qtbot: Any) -> np.ndarray:
    """Everything in the upper half is a plant, a person says."""
    click(train.labels.new)
    (annotation,) = train.annotations.open
    labels = np.zeros(annotation.labels.shape, np.uint8)
    labels[: len(labels) // 2] = 2
    annotation.apply(annotation.record.replace(labels))
    settled(train, qtbot)
    return labels


def segmented(panel: Any, qtbot: Any) -> dict[str, dict[str, str]]:
    with qtbot.waitSignal(panel.runner.finished, timeout=WAIT):
        panel.run_button.click()
    with (Path(panel.out.text()) / "cover.csv").open(newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_classes_and_cover_have_what_is_drawn_where_that_is_wanted(
    train: Any, viewer: Any, dock: Any, qtbot: Any
) -> None:
    photo = two_tone(seed=0)[0]
    image = viewer.add_image(photo, name="field")
    with qtbot.waitSignal(dock.runner.finished, timeout=WAIT):
        dock.run_button.click()
    box, predicted = dock.corrected.box, list(dock.cover.shares)
    assert not box.isEnabled() and not box.isChecked()
    labels = drawn_plants(train, qtbot)
    assert box.isEnabled() and dock.cover.shares == predicted
    with qtbot.waitSignal(dock.corrected.runner.succeeded, timeout=WAIT):
        box.click()
    layer = viewer.layers["field – classes, with corrections"]
    expected = np.where(labels > 0, labels, segmented_labels(dock))
    assert np.array_equal(layer.data, expected)
    order = [known.name for known in viewer.layers]
    assert order.index("field – classes") + 1 == order.index(layer.name) == len(order) - 2
    # Below faint soil, a plant that was corrected to soil would still look like a plant.
    plain = viewer.layers["field – classes"]
    assert not layer.visible and not plain.visible  # labels of half of it show the same
    viewer.layers["field – annotations"].visible = False
    assert layer.visible and not plain.visible
    dock.state.show(likelihood=True)
    assert not layer.visible and not plain.visible
    dock.state.show(likelihood=False)
    assert layer.visible and not plain.visible
    assert "field, with corrections" in dock.cover.heading.text()
    assert dock.cover.shares == [(expected == 1).mean(), (expected == 2).mean()]
    assert "with corrections" in dock.cover.text(",")
    box.click()
    assert layer not in viewer.layers and dock.cover.shares == predicted
    qtbot.waitUntil(lambda: plain.visible, timeout=WAIT)
    box.click()
    qtbot.waitUntil(lambda: "field – classes, with corrections" in viewer.layers, timeout=WAIT)
    viewer.layers.remove(image)
    assert "field – classes, with corrections" not in viewer.layers


def test_cover_that_comes_late_is_not_shown_beside_another_image(
    train: Any, viewer: Any, dock: Any, qtbot: Any, run: Any
) -> None:
    viewer.add_image(two_tone(seed=0)[0], name="first")
    run(dock)
    drawn_plants(train, qtbot)
    dock.corrected.box.setChecked(True)
    assert dock.corrected.runner.running
    viewer.add_image(two_tone(seed=1)[0], name="second")
    with qtbot.waitSignal(dock.corrected.runner.finished, timeout=WAIT):
        assert dock.images.currentText() == "second"
    assert dock.cover.isHidden() and "second" in viewer.layers


def test_cover_follows_the_brush_and_its_undo(viewer: Any, dock: Any, qtbot: Any, run: Any) -> None:
    viewer.add_image(two_tone(seed=0)[0], name="field")
    run(dock)
    layer, predicted = dock.state.current.labels, list(dock.cover.shares)
    assert "painted" not in dock.cover.heading.text()
    expected = layer.data.copy()
    expected[:20] = 2
    expected[20:22] = 0
    for value in (2, 0):
        layer.data_setitem(np.nonzero((expected == value) & (layer.data != value)), value)
    qtbot.waitUntil(lambda: dock.cover.shares != predicted, timeout=WAIT)
    counted = (expected > 0).sum()
    shares = [(expected == value).sum() / counted for value in (1, 2)]
    qtbot.waitUntil(lambda: np.allclose(dock.cover.shares, shares), timeout=WAIT)
    heading = dock.cover.heading.text()
    assert "field, as painted" in heading and "with a class" in heading
    assert "as painted" in dock.cover.text(",")
    layer.undo()
    layer.undo()
    qtbot.waitUntil(lambda: dock.cover.shares == predicted, timeout=WAIT)
    assert "painted" not in dock.cover.heading.text()


def segmented_labels(dock: Any) -> np.ndarray:
    return np.array(dock.state.current.segmentation.labels)


def test_a_batch_has_what_is_drawn_and_says_so(
    train: Any, viewer: Any, dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    panel = dock.batch
    panel.header.click()
    assert not panel.corrections.isEnabled() and "Train dock" in panel.corrections.toolTip()
    panel.out.setText(str(tmp_path / "out"))
    panel.what.setCurrentText("all images of the project")
    assert not panel.run_button.isEnabled()
    files = []
    for seed in range(2):
        files.append(tmp_path / f"{seed}.tif")
        tifffile.imwrite(files[-1], two_tone(seed=seed)[0], photometric="rgb")
    first = viewer.open(str(files[0]), plugin="napari")[0]
    labels = drawn_plants(train, qtbot)
    assert panel.corrections.isEnabled() and panel.corrections.isChecked()
    assert train.autosave.state.name in panel.corrections.toolTip()
    # Closed again: the project knows its file.
    viewer.layers.remove(first)
    viewer.open(str(files[1]), plugin="napari")
    settled(train, qtbot)
    rows = segmented(panel, qtbot)
    assert {name: row["corrected"] for name, row in rows.items()} == {"0": "yes", "1": ""}
    told = panel.status.text()
    assert "2 of 2 segmented" in told and "1 with corrections." in told
    written = tifffile.imread(tmp_path / "out" / "0.labels.ome.tif")
    assert (written[labels == 2] == 2).all()
    assert float(rows["0"]["plant"]) >= 0.5
    # Without them it is what the model says.
    panel.corrections.setChecked(False)
    panel.what.setCurrentText("a folder")
    panel.folder.setText(str(tmp_path))
    panel.out.setText(str(tmp_path / "plain"))
    assert not any(row["corrected"] for row in segmented(panel, qtbot).values())
    panel.corrections.setChecked(True)
    rows = segmented(panel, qtbot)
    assert rows["0.tif"]["corrected"] == "yes"
    train.close_work()
    assert not panel.corrections.isEnabled()


def test_a_measurement_has_what_is_drawn_and_says_so(
    train: Any, viewer: Any, dock: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    image = viewer.add_image(two_tone()[0], name="field")
    run(dock)
    labels = drawn_plants(train, qtbot)
    panel = dock.measure
    panel.header.click()
    areas = []
    for on in (True, False):
        panel.corrections.setChecked(on)
        with qtbot.waitSignal(panel.runner.finished, timeout=WAIT):
            panel.run_button.click()
        assert ("with corrections" in panel.status.text()) == on
        panel.save(tmp_path / "objects.csv")
        areas.append(pd.read_csv(tmp_path / "objects-areas.csv").set_index("class"))
    expected = np.where(labels > 0, labels, dock.state.results[image].segmentation.labels)
    assert areas[0].loc["plant", "pixels"] == (expected == 2).sum()
    assert (areas[0]["labels"] == "with corrections").all()
    assert areas[1].loc["plant", "pixels"] != areas[0].loc["plant", "pixels"]


def test_every_box_says_what_is_done_with_corrections(dock: Any) -> None:
    boxes = (dock.corrected.box, dock.measure.corrections, dock.batch.corrections)
    said = [box.text() for box in boxes]
    assert said == [f"{what} with corrections" for what in ("Classes", "Measure", "Results")]


def test_classes_that_are_removed_take_their_cover_along(
    viewer: Any, dock: Any, run: Any, qtbot: Any
) -> None:
    viewer.add_image(two_tone(seed=0)[0], name="field")
    run(dock)
    assert dock.cover.isVisibleTo(dock) and dock.corrected.note.isHidden()
    viewer.layers.remove(dock.state.current.labels)
    qtbot.waitUntil(lambda: dock.cover.isHidden(), timeout=WAIT)
    assert dock.corrected.note.isVisibleTo(dock)
    assert "was removed: press Segment" in dock.corrected.note.text()
    run(dock)
    assert dock.cover.isVisibleTo(dock) and dock.corrected.note.isHidden()
