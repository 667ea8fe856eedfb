"""The Measure section of the Segment dock in a real viewer."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from tests.core.builders import two_tone
from tests.widgets.docks import LEFT, canvas_point


@pytest.fixture
def image(viewer: Any) -> Any:
    return viewer.add_image(two_tone()[0], name="a <b> field", scale=(2, 2), translate=(5, 7))


@pytest.fixture
def panel(dock: Any, image: Any, run: Any, qtbot: Any) -> Any:
    """The section, open, after a run."""
    dock.measure.header.click()
    assert dock.measure.pixel_size.text() == ""
    assert not dock.measure.run_button.isEnabled()
    assert dock.measure.run_button.toolTip() == "Segment the image first"
    run(dock)
    yield dock.measure
    dock.measure.runner.cancel()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)


@pytest.fixture
def press(panel: Any, qtbot: Any) -> Callable[[], None]:
    def work() -> None:
        with qtbot.waitSignal(panel.runner.finished, timeout=60_000):
            panel.run_button.click()

    return work


def saved(panel: Any, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    panel.save(folder / "objects.csv")
    tables = [pd.read_csv(folder / f"{name}.csv") for name in ("objects", "objects-areas")]
    return tables[0], tables[1]


def test_what_was_painted_counts_and_is_told(
    panel: Any, press: Callable[[], None], dock: Any, tmp_path: Path
) -> None:
    panel.pixel_size.setText("0.5mm")
    press()
    assert "with corrections" not in panel.status.text() and panel.table.count > 1
    labels = dock.state.current.labels
    painted = np.ones_like(labels.data)
    painted[10:20, 30:50] = 2
    labels.data = painted
    press()
    assert panel.status.text() == "2 objects, with corrections."
    objects, areas = saved(panel, tmp_path)
    assert objects["area_mm2"].tolist() == [(painted.size - 200) / 4, 50]
    assert areas["pixels"].tolist() == [painted.size - 200, 200]
    assert "plant 1.6% (50 mm²)" in panel.areas.text() and "a &lt;b&gt; field" in panel.areas.text()
    panel.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert [row[2] for row in panel.table.texts()] == ["200", str(painted.size - 200)]


def test_a_row_brings_its_object_into_view(
    panel: Any, press: Callable[[], None], viewer: Any, dock: Any
) -> None:
    labels = dock.state.current.labels
    painted = np.ones_like(labels.data)
    painted[10:21, 30:51] = 2
    labels.data = painted
    press()
    panel.table.choose(1)
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == (15 * 2 + 5, 40 * 2 + 7)


def test_a_click_on_an_object_chooses_its_row(
    panel: Any, press: Callable[[], None], viewer: Any, dock: Any, qtbot: Any
) -> None:
    labels = dock.state.current.labels
    painted = np.ones_like(labels.data)
    painted[10:21, 30:51] = 2
    labels.data = painted
    press()
    viewer.window.show()
    viewer.reset_view()
    qtbot.wait(100)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(canvas, LEFT, pos=canvas_point(viewer, (15 * 2 + 5, 40 * 2 + 7)))
    assert panel.table.currentIndex().row() == 1
    qtbot.mouseClick(canvas, LEFT, pos=canvas_point(viewer, (60 * 2 + 5, 40 * 2 + 7)))
    assert panel.table.currentIndex().row() == 0
    count = len(viewer.mouse_drag_callbacks)
    panel.header.click()
    assert len(viewer.mouse_drag_callbacks) == count - 1


def test_shapes_are_regions_and_labels_are_objects(
    panel: Any, press: Callable[[], None], viewer: Any, image: Any, tmp_path: Path
) -> None:
    height, width = two_tone()[1].shape
    given = np.zeros((height, width), np.int32)
    given[4:14, 6:16], given[50:60, 90:100] = 11, 5
    viewer.add_labels(given, name="leaves", scale=image.scale, translate=image.translate)
    box = np.array([[0, 0], [0, 40], [30, 40], [30, 0]]) - 0.5
    shapes = viewer.add_shapes(
        [box * 2 + (5, 7), box * 2 + (5, 7)],
        shape_type=["rectangle", "ellipse"],
        features={"name": ["plot A", ""]},
        name="plots",
    )
    shapes.add_lines(np.array([[0, 0], [9, 9]]))
    panel.objects.setCurrentText("leaves")
    panel.regions.setCurrentText("plots")
    press()
    objects, areas = saved(panel, tmp_path)
    assert objects["area_px"].tolist() == [100, 100] and objects["x_px"].tolist() == [94.5, 10.5]
    assert objects["region"].fillna("").tolist() == ["", "plot A"]
    by_region = areas.fillna("").groupby("region")["pixels"].sum()
    assert by_region["plot A"] == 30 * 40 and by_region[""] == height * width
    assert by_region["2"] == pytest.approx(np.pi * 15 * 20, rel=0.02)
    viewer.layers.remove("plots")
    assert panel.regions.currentText() == "the whole image"


def test_every_plane_of_a_stack_is_measured(
    dock: Any, viewer: Any, run: Any, qtbot: Any, tmp_path: Path
) -> None:
    viewer.add_image(np.stack([two_tone(48, 64, n)[0] for n in (0, 1)]), name="time")
    run(dock)
    dock.measure.header.click()
    with qtbot.waitSignal(dock.measure.runner.finished, timeout=60_000):
        dock.measure.run_button.click()
    _, areas = saved(dock.measure, tmp_path)
    covers = {name: own.mean() for name, own in areas.groupby("class")["cover_percent"]}
    of_each = ", ".join(f"{entry} {covers[entry]:.1f}%" for entry in areas["class"].unique())
    assert dock.measure.areas.text() == f"<b>time</b>, mean of 2 planes: {of_each}"
    planes = [row[0] for row in dock.measure.table.texts()]
    assert set(planes) == {"1", "2"}
    dock.measure.table.choose(len(planes) - 1)
    assert viewer.dims.current_step[0] == 1
    # Beside an image with an axis more, the planes are along another slider.
    viewer.add_image(np.zeros((3, 2, 8, 8), np.uint8), name="more", rgb=False)
    for row, plane in ((0, 0), (len(planes) - 1, 1)):
        dock.measure.table.choose(row)
        assert viewer.dims.current_step[1] == plane


def test_units_of_a_layer_say_the_size_of_a_pixel(viewer: Any, dock: Any, run: Any) -> None:
    viewer.add_image(two_tone()[0], name="map", scale=(0.02, 0.02), units=("cm", "cm"))
    run(dock)
    assert dock.measure.pixel_size.text() == "0.02cm"


def test_a_size_that_is_none_is_a_sentence(
    panel: Any, press: Callable[[], None], dock: Any
) -> None:
    panel.pixel_size.setText("1 mile")
    press()
    assert panel.status.text().startswith("“1 mile” is no size of a pixel")
    assert panel.table.isHidden() and panel.run_button.isEnabled()
    assert dock.status.text() == panel.status.text()
    panel.pixel_size.setText("1mm")
    press()
    assert dock.status.text() == ""  # it is not true any more


def test_removed_classes_are_not_measured(
    panel: Any, press: Callable[[], None], viewer: Any, dock: Any, run: Any
) -> None:
    labels = dock.state.current.labels
    labels.data = np.ones_like(labels.data)
    press()
    assert panel.table.count == 1
    viewer.layers.remove(labels)
    assert not panel.run_button.isEnabled()
    assert "was removed: press Segment to have it again" in panel.run_button.toolTip()
    panel.run_button.click()
    assert not panel.runner.running
    run(dock)
    press()
    assert panel.table.count > 1


def test_a_table_of_a_former_size_says_so(
    viewer: Any, panel: Any, press: Callable[[], None], dock: Any, qtbot: Any
) -> None:
    photo = dock.images.image()
    assert panel.former.isHidden()
    qtbot.keyClicks(panel.pixel_size, "2 cm")
    assert panel.former.isHidden()  # nothing was measured yet
    press()
    assert panel.former.isHidden()
    qtbot.keyClicks(panel.pixel_size, "m")
    assert not panel.former.isHidden()
    assert panel.former.text().startswith("Measured with pixels of 2 cm: press Measure")
    viewer.add_image(two_tone()[0], name="another")
    assert panel.former.isHidden()  # of this one there is no table
    dock.images.choose(photo)
    assert not panel.former.isHidden()
    panel.pixel_size.setText("2cm")
    assert panel.former.isHidden()
    panel.pixel_size.clear()
    assert not panel.former.isHidden()
    press()
    assert panel.former.isHidden()
    panel.pixel_size.setText("2cm")
    assert panel.former.text().startswith("Measured in pixels alone: press Measure")


def test_a_size_stays_with_its_image(viewer: Any, dock: Any, qtbot: Any) -> None:
    about = {"scale": (0.5, 0.5), "units": ("mm", "mm")}
    mosaic = viewer.add_image(two_tone()[0], name="mosaic", **about)
    photo, field = viewer.add_image(two_tone()[0], name="photo"), dock.measure.pixel_size
    dock.images.choose(mosaic)
    assert field.text() == "0.5mm"
    dock.images.choose(photo)
    assert field.text() == ""
    qtbot.keyClicks(field, "2cm")
    dock.images.choose(mosaic)
    assert field.text() == "0.5mm"
    # The one from the file goes with its image, the typed one comes back with its own.
    viewer.layers.remove(mosaic)
    assert dock.images.image() is photo and field.text() == "2cm"
    viewer.add_image(two_tone()[0], name="another")
    assert field.text() == ""


def test_a_size_is_used_for_a_series_where_that_is_ticked(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    field, box = dock.measure.pixel_size, dock.measure.size_of_all
    first = viewer.add_image(two_tone()[0], name="first")
    assert not box.isEnabled() and box.text() == "For all images without their own"
    qtbot.keyClicks(field, "2cm")
    box.click()
    about = {"scale": (0.5, 0.5), "units": ("mm", "mm")}
    mosaic = viewer.add_image(two_tone()[0], name="mosaic", **about)
    assert field.text() == "0.5mm" and not box.isChecked()
    second = viewer.add_image(two_tone()[0], name="second")
    assert field.text() == "2cm" and box.isChecked()
    assert box.text() == "As for all images without their own"
    kept = {name: read() for name, (read, _) in dock.measure.kept().items()}
    assert kept["size_of_all"] == "2cm" and kept["pixel_sizes"] == {}
    # Unticked, it is of that image alone, and the others keep theirs; ticked, it is theirs again.
    box.click()
    assert field.text() == "" and not box.isChecked() and box.isEnabled()
    assert "Use 2cm" in box.toolTip()
    dock.images.choose(first)
    assert field.text() == "2cm" and box.isChecked()
    dock.images.choose(second)
    assert field.text() == ""  # a person wants pixels there
    box.click()
    assert field.text() == "2cm" and box.isChecked()
    box.click()
    qtbot.keyClicks(field, "3mm")
    assert not box.isChecked() and box.text() == "For all images without their own"
    third = viewer.add_image(two_tone()[0], name="third")
    assert field.text() == "2cm"
    dock.images.choose(second)
    box.click()
    for image, size in ((third, "3mm"), (first, "3mm"), (second, "3mm"), (mosaic, "0.5mm")):
        dock.images.choose(image)
        assert field.text() == size and box.isChecked() == (image is not mosaic)
    # Where it was said, it can be taken back.
    dock.images.choose(second)
    assert "Untick to use it for this image alone" in box.toolTip()
    box.click()
    assert field.text() == "3mm" and not box.isChecked()
    dock.images.choose(third)
    assert field.text() == "" and not box.isEnabled()
    dock.measure.kept()["size_of_all"][1]("2cm")  # as a project brings it back
    assert field.text() == "2cm" and box.isChecked()


def test_a_typo_in_the_size_of_a_series_is_corrected_for_all(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    field, box = dock.measure.pixel_size, dock.measure.size_of_all
    images = [viewer.add_image(two_tone()[0], name=name) for name in "ABC"]
    dock.images.choose(images[0])
    qtbot.keyClicks(field, "5mm")
    box.click()
    # On the image where it was typed and on another, over an empty field.
    for at, size in ((0, "0.5mm"), (1, "0.25mm")):
        dock.images.choose(images[at])
        field.setFocus()
        for _ in range(len(field.text())):
            qtbot.keyClick(field, Qt.Key.Key_Backspace)
        assert box.isChecked() and box.isEnabled()
        qtbot.keyClicks(field, size)
        assert box.isChecked()
        for image in images:
            dock.images.choose(image)
            assert field.text() == size and box.isChecked()


def test_words_that_are_no_size_are_not_taken_for_a_series(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    field, box = dock.measure.pixel_size, dock.measure.size_of_all
    dock.measure.header.click()
    first = viewer.add_image(two_tone()[0], name="first")
    viewer.add_image(two_tone()[0], name="second")
    dock.images.choose(first)
    qtbot.keyClicks(field, "abc")
    box.click()
    assert not box.isChecked() and dock.measure.kept()["size_of_all"][0]() == ""
    words = [label.text() for label in dock.measure.findChildren(QLabel) if not label.isHidden()]
    assert any(text.startswith("“abc” is no size of a pixel") for text in words)
    field.clear()
    qtbot.keyClicks(field, "2cm")
    words = [label.text() for label in dock.measure.findChildren(QLabel) if not label.isHidden()]
    assert not any("is no size of a pixel" in text for text in words)
    box.click()
    assert box.isChecked()


def test_typed_sizes_come_back_with_a_project(viewer: Any, dock: Any, qtbot: Any) -> None:
    viewer.add_image(two_tone()[0], name="photo")
    qtbot.keyClicks(dock.measure.pixel_size, "2cm")
    read, write = dock.measure.kept()["pixel_sizes"]
    kept = json.loads(json.dumps(read()))
    dock.measure.pixel_size.clear()
    write(kept)
    assert kept == {"photo": "2cm"} and dock.measure.pixel_size.text() == "2cm"
    write("0.5mm")  # of a project of a former version
    assert dock.measure.pixel_size.text() == "2cm"
    assert not dock.measure.size_of_all.isChecked()
    # A project of before says no size of all images: that of the one before it is not taken along.
    dock.measure.size_of_all.click()
    other = viewer.add_image(two_tone()[0], name="other")
    assert dock.images.image() is other and dock.measure.pixel_size.text() == "2cm"
    dock.state.settings.restore({"SegmentWidget": {"pixel_sizes": kept}})
    assert dock.measure.pixel_size.text() == "" and not dock.measure.size_of_all.isChecked()


def test_where_the_size_of_a_series_was_said_comes_back_with_a_project(
    viewer: Any, dock: Any, qtbot: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    qtbot.keyClicks(dock.measure.pixel_size, "2cm")
    dock.measure.size_of_all.click()
    second = viewer.add_image(two_tone()[0], name="second")
    kept = json.loads(json.dumps(dock.state.settings.values()["SegmentWidget"]))
    dock.state.settings.restore({"SegmentWidget": {"pixel_sizes": {}}})
    assert dock.measure.pixel_size.text() == ""
    dock.state.settings.restore({"SegmentWidget": kept})
    dock.images.choose(first)
    assert "Untick to use it for this image alone" in dock.measure.size_of_all.toolTip()
    dock.measure.size_of_all.click()
    assert dock.measure.pixel_size.text() == "2cm"
    dock.images.choose(second)
    assert dock.measure.pixel_size.text() == ""
    # A project of before does not say where.
    older = kept | {"size_of_all": "3mm"}
    del older["size_said_at"]
    dock.state.settings.restore({"SegmentWidget": older})
    assert dock.measure.pixel_size.text() == "3mm" and dock.measure.size_of_all.isChecked()


def test_nothing_of_another_image_is_measured(viewer: Any, dock: Any, run: Any, qtbot: Any) -> None:
    first, panel = viewer.add_image(two_tone()[0], name="first"), dock.measure
    run(dock)
    about = {"scale": (0.5, 0.5), "units": ("mm", "mm")}
    second = viewer.add_image(two_tone(seed=1)[0], name="second", **about)
    assert dock.images.image() is second and panel.pixel_size.text() == "0.5mm"
    assert panel.run_button.toolTip() == "Segment the image first"
    panel.run()
    assert not panel.runner.running
    dock.images.choose(first)
    assert panel.run_button.isEnabled() and panel.pixel_size.text() == ""


def test_a_layer_stays_chosen_under_another_name(
    panel: Any, press: Callable[[], None], viewer: Any, image: Any, tmp_path: Path
) -> None:
    given = np.zeros(two_tone()[1].shape, np.int32)
    given[4:14, 6:16] = 11
    leaves = viewer.add_labels(given, name="leaves", scale=image.scale, translate=image.translate)
    panel.objects.setCurrentText("leaves")
    leaves.name = "all leaves"
    assert panel.objects.currentText() == "all leaves"
    press()
    assert saved(panel, tmp_path)[0]["area_px"].tolist() == [100]


def test_an_image_that_was_measured_goes_when_it_is_removed(
    panel: Any, press: Callable[[], None], viewer: Any, image: Any, dock: Any, run: Any, qtbot: Any
) -> None:
    press()
    second = viewer.add_image(two_tone(48, 64)[0], name="second")
    run(dock)
    press()
    dock.images.choose(image)
    panel.run_button.click()
    panel.cancel_button.click()
    held = ref(second)
    viewer.layers.remove(second)
    del second
    qtbot.waitUntil(lambda: gc.collect() >= 0 and held() is None, timeout=60_000)
    panel.table.choose(0)  # goes nowhere
    assert panel.table.count


def test_a_row_belongs_to_what_was_measured_last(
    panel: Any, press: Callable[[], None], viewer: Any, dock: Any, run: Any
) -> None:
    press()
    small = viewer.add_image(two_tone(48, 64)[0], name="small", translate=(900, 900))
    run(dock)
    panel.pixel_size.setText("1 mile")
    press()  # it fails, and the table is that of the first image still
    panel.table.choose(panel.table.count - 1)
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-1] < 900 and small in viewer.layers
