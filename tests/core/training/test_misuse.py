"""What a newcomer gives instead of what is asked for: it is understood, or refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto import (
    EditHistory,
    GaussProtoError,
    ModelConfig,
    NewModel,
    edits,
    explain,
    fine_tune,
    fit,
    gallery,
    load_model,
    quick_fit,
    save_explanation,
    save_model,
    segment,
    segment_to_zarr,
)
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.core.builders import TINY_BACKBONE, tiny_config, tiny_model, two_tone

PHOTO, MASK = two_tone(70, 101)
NEW = NewModel(backbone=TINY_BACKBONE, pretrained=False)


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture(scope="module")
def file(model: PrototypeSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(model, tmp_path_factory.mktemp("models") / "tiny", half=False)


def test_the_file_of_a_model_stands_for_it(
    model: PrototypeSegmenter, file: Path, tmp_path: Path
) -> None:
    labels = segment(PHOTO, model).labels
    for given in (file, str(file)):
        np.testing.assert_array_equal(segment(PHOTO, given).labels, labels)
    assert segment_to_zarr(PHOTO, str(file), tmp_path / "labels.zarr").is_dir()
    assert repr(gallery(file)) == repr(gallery(model))
    assert save_model(file, tmp_path / "copy", half=False).read_bytes() == file.read_bytes()


def test_the_name_of_a_shipped_model_stands_for_it() -> None:
    assert len(gallery("peanut-grid").groups) == 3


def test_names_stand_for_prototypes_and_classes(model: PrototypeSegmenter) -> None:
    off = edits.turn_off(model, "soil 2")
    assert off.layer.active.tolist() == [True, False, True, True]
    assert edits.turn_on(off, "soil 2").layer.active.all()
    assert edits.rename(model, "soil 2", "stone").prototypes[1].name == "stone"
    assert edits.reassign(model, "soil 2", "plant").prototypes[1].name == "plant 3"
    merged = edits.merge(model, "plant 2", "plant 1")
    assert [p.name for p in merged.prototypes] == ["soil 1", "soil 2", "plant 2"]
    assert edits.split(model, "soil 1").prototypes[1].name == "soil 1b"
    assert len(edits.delete(model, "plant 1").prototypes) == 3
    added = edits.add(model, "plant", segment(PHOTO, model).encoding.latents[:9])
    assert added.prototypes[-1].class_index == 1


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no such model": (lambda model: segment(PHOTO, "nothing"), "There is no model “nothing”: "),
    "a number as a model": (lambda model: load_model(3), "cannot be of type int: give the name"),
    "both in the wrong order": (lambda model: segment(model, PHOTO), "cannot be of type ndarray"),
    "a path as an image": (
        lambda model: segment("photo.jpg", model),
        "“photo.jpg” is a path: read it with read_image first.",
    ),
    "paths to fit": (
        lambda model: quick_fit("photo.jpg", "strokes.png"),
        "“strokes.png” is a path: read it with read_mask first.",
    ),
    "paths to start from": (
        lambda model: quick_fit("photo.jpg", "strokes.png", model),
        "“photo.jpg” is a path: read it with read_image first.",
    ),
    "a path among labels": (
        lambda model: fine_tune([PHOTO], [Path("strokes.png")], model),
        "“strokes.png” is a path: read it with read_mask first.",
    ),
    "paths to train on": (
        lambda model: fit("photo.jpg", "strokes.png", tiny_config()),
        "“photo.jpg” is a path: read it with read_image, and give a list.",
    ),
    "a path in a list to train on": (
        lambda model: fit([PHOTO], ["strokes.png"], tiny_config()),
        "“strokes.png” is a path: read it with read_mask first.",
    ),
    "one name as classes": (
        lambda model: quick_fit(PHOTO, MASK, NEW, classes="soil"),
        "“soil” is one name: give a list of classes",
    ),
    "a class without a name": (
        lambda model: quick_fit(PHOTO, MASK, NEW, classes=["soil", ""]),
        "The list of classes sets 1.name to '': it should have at least 1 character.",
    ),
    "classes instead of settings": (
        lambda model: fit([PHOTO], [MASK], ["soil", "plant"]),  # type: ignore[arg-type]
        "give ModelConfig(classes=[…]).",
    ),
    "no such backbone": (
        lambda model: fit([PHOTO], [MASK], ModelConfig(classes=["a", "b"], backbone="nonet")),
        "nonet",
    ),
    "settings of a new model": (
        lambda model: quick_fit(PHOTO, MASK, NewModel(downsample=0)),
        "NewModel sets downsample to 0: it should be greater than or equal to 1.",
    ),
    "no steps": (lambda model: fine_tune(PHOTO, MASK, model, steps=0), "sets steps to 0: it"),
    "two budgets": (
        lambda model: fine_tune(PHOTO, MASK, model, steps=2, minutes=1),
        "either steps or minutes: give one of them.",
    ),
    "two budgets of a fit": (
        lambda model: fit([PHOTO], [MASK], tiny_config(), steps=2, minutes=1),
        "either steps or minutes: give one of them.",
    ),
    "no such prototype": (lambda model: edits.turn_off(model, "weed 1"), "no prototype 'weed 1':"),
    "no such class": (lambda model: edits.reassign(model, 0, "weed"), "give one of soil, plant"),
    "nothing to undo": (lambda model: EditHistory(model).undo(), "no edit to undo"),
    "nothing to redo": (lambda model: EditHistory(model).redo(), "no edit to redo"),
    "half a pixel": (
        lambda model: explain(segment(PHOTO, model), 3.5, 41),  # type: ignore[arg-type]
        "(3.5, 41) is no pixel: give y and x as whole numbers",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_cannot_be_is_a_sentence(model: PrototypeSegmenter, what: str) -> None:
    call, sentence = FAULTS[what]
    with pytest.raises(GaussProtoError) as caught:
        call(model)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_folder_is_no_place_for_a_file(model: PrototypeSegmenter, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    segmentation = segment(PHOTO, model)
    with pytest.raises(GaussProtoError, match="is a folder: give the name of a file in it"):
        save_model(model, folder)
    with pytest.raises(GaussProtoError, match="is a folder: give the name of a file in it"):
        save_explanation(folder, PHOTO, segmentation, explain(segmentation, 3, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert not list(folder.iterdir())


def test_what_is_printed_is_short(model: PrototypeSegmenter) -> None:
    assert repr(gallery(model)) == "<Gallery of prototypes: 2 of soil, 2 of plant>"
    assert len(repr(gallery("peanut-grid").groups[0].prototypes[0])) < 1000
    segmentation = segment(PHOTO, model)
    text = repr(explain(segmentation, 3, 4))
    assert text.startswith("<Explanation of the cell at (y 3, x 4): ") and len(text) < 200


def test_labels_where_there_is_no_data_are_told_apart_from_none() -> None:
    labels = np.zeros((96, 96), np.uint8)
    labels[5:10], labels[50:60] = 1, 2
    for way in (quick_fit, fine_tune):
        with pytest.raises(GaussProtoError, match="Only pixels without data are labelled"):
            way(np.full((96, 96, 3), 77, np.uint8), labels, tiny_model())
