"""A mask made for the upright photograph lies right over one that lies, or it is asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.widgets.train.labelling.mapping_dialog import MappingDialog
from napari_gaussproto.widgets.train.labelling.pose_dialog import PoseDialog
from tests.io.test_images import AS_STORED
from tests.widgets.layers.test_turning import TRUTH, opened, taken
from tests.widgets.train_dock import WAIT, click


@pytest.fixture
def mask_file(tmp_path: Path) -> Path:
    """Made for the upright photograph, as every program that shows it upright makes it."""
    path = tmp_path / "mask.png"
    Image.fromarray(TRUTH).save(path)
    return path


@pytest.fixture
def asked(train: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The dialogs that came; a person agrees to what the values mean and takes a picture."""
    dialogs: list[Any] = []

    def answer(dialog: Any) -> bool:
        dialogs.append(dialog)
        if isinstance(dialog, PoseDialog):
            click(dialog.buttons[0])
        return True

    monkeypatch.setattr(train.labelling.imports, "ask", answer)
    return dialogs


def used(train: Any, path: Path, qtbot: Any) -> Any:
    train.labelling.use_file(path)
    qtbot.waitUntil(
        lambda: bool(train.annotations.open) and train.annotations.open[0].labels.any(),
        timeout=WAIT,
    )
    return train.annotations.open[0]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_upright_shape_is_turned(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, mask_file: Path, asked: list[Any],
    orientation: int,
) -> None:  # fmt: skip
    opened(viewer, taken(tmp_path, orientation))
    annotation = used(train, mask_file, qtbot)
    assert np.array_equal(annotation.labels, AS_STORED[orientation](TRUTH))
    assert [type(dialog) for dialog in asked] == [MappingDialog]
    assert "turned to lie as “taken” does" in train.status.text()


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_where_the_shape_does_not_tell_it_is_asked(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, mask_file: Path, asked: list[Any],
    orientation: int,
) -> None:  # fmt: skip
    opened(viewer, taken(tmp_path, orientation))
    annotation = used(train, mask_file, qtbot)
    assert [type(dialog) for dialog in asked] == [PoseDialog, MappingDialog]
    # The picture that fits better stands first.
    assert np.array_equal(annotation.labels, AS_STORED[orientation](TRUTH))
    assert asked[0].buttons[0].text().startswith("This way (fits better)")


def test_nothing_is_taken_when_the_person_does_not_know(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, mask_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    opened(viewer, taken(tmp_path, 3))
    monkeypatch.setattr(train.labelling.imports, "ask", lambda dialog: False)
    train.labelling.use_file(mask_file)
    qtbot.waitUntil(lambda: not train.autosave.busy, timeout=WAIT)
    assert not train.annotations.open


def test_over_an_upright_photograph_a_mask_stays_as_it_is(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, mask_file: Path, asked: list[Any]
) -> None:
    opened(viewer, taken(tmp_path, 3), "napari-gaussproto")
    annotation = used(train, mask_file, qtbot)
    assert np.array_equal(annotation.labels, TRUTH)
    assert [type(dialog) for dialog in asked] == [MappingDialog]


def test_a_mask_drawn_on_the_lying_photograph_is_turned_upright_with_it(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, asked: list[Any]
) -> None:
    lying = tmp_path / "lying.png"
    Image.fromarray(np.ascontiguousarray(AS_STORED[6](TRUTH))).save(lying)
    opened(viewer, taken(tmp_path, 6), "napari-gaussproto")
    assert np.array_equal(used(train, lying, qtbot).labels, TRUTH)


def test_a_mask_beside_the_photograph_is_offered(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, asked: list[Any]
) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "taken_mask.png")
    opened(viewer, taken(tmp_path, 1))

    def offered() -> list[Any]:
        return [a for a in train.labels.menu.actions() if "taken_mask.png" in a.text()]

    qtbot.waitUntil(lambda: len(offered()) == 1, timeout=WAIT)
    viewer.add_labels(np.zeros((5, 5), int))  # the menu is made anew
    qtbot.waitUntil(lambda: not train.autosave.busy and len(offered()) == 1, timeout=WAIT)
    offered()[0].trigger()
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    qtbot.waitUntil(lambda: train.annotations.open[0].labels.any(), timeout=WAIT)
    assert np.array_equal(train.annotations.open[0].labels, TRUTH)


def test_outlines_are_used_by_their_names(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, asked: list[Any]
) -> None:
    height, width = TRUTH.shape
    corners = [[0, 0], [width, 0], [width, 10], [0, 10]]
    content = {
        "shapes": [{"label": "plant", "points": corners}],
        "imageHeight": height, "imageWidth": width,
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(content))
    opened(viewer, taken(tmp_path, 6))
    labels = used(train, tmp_path / "m.json", qtbot).labels
    assert np.array_equal(labels, np.rot90(np.where(np.arange(height)[:, None] < 10, 2, 0)
                                           * np.ones_like(TRUTH, int)))  # fmt: skip


def test_a_mask_of_another_size_is_a_sentence(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path, asked: list[Any]
) -> None:
    Image.fromarray(TRUTH[:9]).save(tmp_path / "small.png")
    opened(viewer, taken(tmp_path, 6))
    with qtbot.waitSignal(train.messages.warned, timeout=WAIT):
        train.labelling.use_file(tmp_path / "small.png")
    height, width = np.rot90(TRUTH).shape
    words = train.status.text()
    assert f"“small.png” is 9 × {TRUTH.shape[1]} pixels and the image {height} × {width}" in words
