"""What can be a layer, in the docks: the right result or a sentence, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import QSettings

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import TINY_BACKBONE
from tests.reliability.inputs.arrays import (
    ARRAYS,
    PHOTO,
    TRUTH,
    bands,
    check_labels,
    check_sentence,
    fingerprint,
    model_for,
    right,
)
from tests.reliability.inputs.files import FILES
from tests.reliability.inputs.labels import MASKS, STROKES, UNKNOWN, write
from tests.widgets.docks import by_role
from tests.widgets.main_thread import told_elsewhere
from tests.widgets.train_dock import WAIT, click

_used = count(1)
LAYERS = [name for name, case in ARRAYS.items() if case.layer is not None]


# What the docks themselves do to an input: one row of each kind. The others are of the full round.
QUICK = {
    "int16 below 0", "float64", "NaN in rows", "1 x N grey", "RGBA with a gap", "read-only",
    "first of 5", "last of 2", "palette.tif", "exif 6.tif", "rgba with a gap.png", "half.tif",
    "huge.png", "palette.png", "colours.png", "255.png", "negative.tif", "another size.png",
    "dask",
}  # fmt: skip


def rows(names: Iterable[str]) -> list[Any]:
    """Names as parameters, of which all but the quick ones are slow."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=() if name in QUICK else slow) for name in names]


@dataclass(frozen=True)
class Docks:
    """One viewer with both docks, for all tests of this file."""

    viewer: Any
    segment: Any
    train: Any
    models: Path

    @property
    def busy(self) -> bool:
        return bool(self.segment.busy or self.train.busy or self.train.autosave.busy)

    def choose_model(self, channels: int) -> None:
        path = self.models / f"{channels}.safetensors"
        if not path.exists():
            save_model(model_for(channels), path, half=False)
        assert self.segment.models.choose_file(path)

    def run(self, qtbot: Any) -> Any:
        """Press Segment; the labels, or what is said."""
        with qtbot.waitSignal(self.segment.runner.finished, timeout=WAIT):
            click(self.segment.run_button)
        layers = by_role(self.viewer, "labels")
        return layers[0].data if layers else self.segment.status.text()


@pytest.fixture(scope="module")
def docks(qapp: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docks]:
    folder = tmp_path_factory.mktemp("docks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, str(folder / "settings"))
        viewer = napari.Viewer(show=False)
        segment, train = SegmentWidget(viewer), TrainWidget(viewer)
        for dock, name in ((segment, "Segment"), (train, "Train")):
            viewer.window.add_dock_widget(dock, name=name, area="right", tabify=True)
        train.start.pretrained = False
        train.start.backbone.setCurrentText(TINY_BACKBONE)
        train.start.detail.setCurrentText("fine")
        patch.setattr(train.labelling.imports, "ask", lambda dialog: True)
        yield Docks(viewer, segment, train, folder)
        viewer.close()


@pytest.fixture(autouse=True)
def empty_viewer(docks: Docks, qtbot: Any) -> Iterator[None]:
    """Each input comes alone, and no other thread touches the viewer."""
    with told_elsewhere() as found:
        yield
        qtbot.waitUntil(lambda: not docks.busy, timeout=WAIT)
        docks.viewer.layers.clear()
        qtbot.waitUntil(lambda: not docks.busy, timeout=WAIT)
    assert not found, found[0]


def another(photo: Any) -> Any:
    """The photograph but for a pixel: labels of one that was open before would come back."""
    photo = photo.copy()
    photo[0, 0] = next(_used)
    return photo


@pytest.mark.parametrize("name", rows(LAYERS))
def test_segment(name: str, docks: Docks, qtbot: Any, tmp_path: Path) -> None:
    case = ARRAYS[name]
    given = case.make(tmp_path)
    before = fingerprint(given)
    docks.choose_model(case.channels)
    docks.viewer.add_image(given, **(case.layer or {}))
    check_labels(case, docks.run(qtbot))
    assert fingerprint(given) == before


@pytest.mark.parametrize("name", rows(f"{p} of {n}" for p in ("first", "last") for n in (2, 5, 12)))
def test_channels(name: str, docks: Docks, qtbot: Any) -> None:
    """They are asked about, and then read as what they are."""
    place, channels = name.split()[0], int(name.split()[2])
    docks.choose_model(channels)
    last = bands(channels)
    given = np.ascontiguousarray(np.moveaxis(last, -1, 0)) if place == "first" else last
    before = fingerprint(given)
    docks.viewer.add_image(given, rgb=False)
    click(docks.segment.channels.channels)
    check_labels(right(None, last, channels=channels), docks.run(qtbot))
    docks.choose_model(3)
    if channels > 4:
        docks.viewer.layers.remove(by_role(docks.viewer, "labels")[0])
        check = rf"has {channels} channels, the model was made for 3: choose a model"
        case = type(ARRAYS["uint8"])(None, says=check)  # type: ignore[arg-type]
        check_sentence(case, docks.run(qtbot))
    assert fingerprint(given) == before


def test_levels(docks: Docks, qtbot: Any) -> None:
    """Of several resolutions the full one is segmented."""
    docks.choose_model(3)
    docks.viewer.add_image([PHOTO, PHOTO[::2, ::2]], rgb=True, multiscale=True)
    check_labels(right(None), docks.run(qtbot))


OPENED = [
    "print.tif", "palette.tif", "white is zero.tif", "exif 6.png", "exif 6.tif", "one row.png",
    "nan.tif", "rgba with a gap.png", "png.tif", "half.tif", "half.jpg", "notes.png", "lab.tif",
    "huge.png",
]  # fmt: skip


@pytest.mark.parametrize("name", rows(OPENED))
def test_files(name: str, docks: Docks, qtbot: Any, tmp_path: Path) -> None:
    case, path = FILES[name], tmp_path / name
    case.make(path)
    before = path.read_bytes()
    if case.says:
        with pytest.raises(ImageError) as caught:
            docks.viewer.open(path, plugin="napari-gaussproto")
        check_sentence(case, str(caught.value))
    else:
        docks.choose_model(3)
        docks.viewer.open(path, plugin="napari-gaussproto")
        check_labels(case, docks.run(qtbot))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", rows(MASKS))
def test_masks(name: str, docks: Docks, qtbot: Any, tmp_path: Path) -> None:
    """What they mean is asked; here a person agrees to what is proposed."""
    docks.viewer.add_image(another(PHOTO), name="field")
    path = write(tmp_path, name)
    before = path.read_bytes()
    docks.train.status.setText("")
    docks.train.labelling.use_file(path)
    qtbot.waitUntil(lambda: bool(docks.train.status.text()) and not docks.busy, timeout=WAIT)
    words, annotations = docks.train.status.text(), docks.train.annotations.open
    if "Labels were taken from" in words:
        labels = annotations[0].labels
        if name in ASKED:
            assert set(np.unique(labels).tolist()) <= {0, 1, 2}
        else:
            assert np.array_equal(labels, UNKNOWN if name == "255.png" else MASKS[name].like)
    else:
        assert not annotations and name not in ASKED and MASKS[name].says, words
        assert words.endswith(".") and any(mark in words for mark in ":,;") and "\n" not in words
    assert path.read_bytes() == before


# Masks that a person is asked about, where `train` wants rules: what is proposed is seen before.
ASKED = (
    "colours.png", "other colours.png", "a photograph.png", "negative.tif", "too large.npy",
    "class 9.png", "one class.png", "nothing.png",
)  # fmt: skip

FITTED = ["uint8", "float64", "NaN in rows", "dask", "zarr 3", "read-only", "grey", "RGBA"]


@pytest.mark.parametrize("name", rows(FITTED))
def test_quick_fit(name: str, docks: Docks, qtbot: Any, tmp_path: Path) -> None:
    case = ARRAYS[name]
    given = case.make(tmp_path)
    before = fingerprint(given)
    found = []
    docks.train.labels.closed.setChecked(False)
    for pixels in (given, case.like):
        rgb = pixels.shape[-1] in (3, 4)
        docks.viewer.add_image(pixels, rgb=rgb)
        layer = docks.viewer.add_labels(STROKES.astype(int), name="strokes")
        docks.train.labelling.use_layer(layer)
        docks.train.start.choose_new()
        qtbot.waitUntil(lambda: docks.train.quick.isEnabled() and not docks.busy, timeout=WAIT)
        with qtbot.waitSignal(docks.train.fits.fitted, timeout=WAIT):
            click(docks.train.quick)
        qtbot.waitUntil(lambda: not docks.busy, timeout=WAIT)
        found.append(by_role(docks.viewer, "labels")[0].data.copy())
        docks.viewer.layers.clear()
    assert (found[0] == found[1]).mean() >= 0.99 and len(np.unique(found[1])) >= 2
    assert fingerprint(given) == before


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros_like(TRUTH), "a stroke of each"),
        (np.where(STROKES == 1, 1, 0), "is painted: paint another class, too"),
    ],
    ids=["of no class", "of one class"],
)
def test_too_few_labels(labels: Any, words: str, docks: Docks, qtbot: Any) -> None:
    docks.viewer.add_image(another(PHOTO))
    layer = docks.viewer.add_labels(labels.astype(int))
    docks.train.labelling.use_layer(layer)
    qtbot.waitUntil(lambda: not docks.busy, timeout=WAIT)
    assert not docks.train.quick.isEnabled() and words in docks.train.quick.toolTip()
