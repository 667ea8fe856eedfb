"""Labels of every kind, by the library and by `train`: the right result or a sentence."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.commands.train import run_train
from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.io.dataset import load_split, read_train_file
from tests.core.builders import TINY_BACKBONE, tiny_config, tiny_training
from tests.reliability.inputs.arrays import PHOTO, check_sentence, fingerprint, model_for
from tests.reliability.inputs.labels import FOREIGN, LABELS, MASKS, STROKES, write

NEW = NewModel(backbone=TINY_BACKBONE, pretrained=False, downsample=1)


def means(model: PrototypeSegmenter) -> bytes:
    return model.layer.mean.detach().numpy().tobytes()


@cache
def right_means() -> bytes:
    """Of a fit to the strokes as plain bytes."""
    return means(quick_fit(PHOTO, STROKES, model_for(3), device="cpu"))


@pytest.mark.parametrize(
    ("start", "name"),
    [
        *(("a model", name) for name in (*LABELS, *FOREIGN)),
        # Of a new model no label is foreign: what no class is yet becomes one.
        *(("a new model", name) for name in LABELS),
    ],
)
def test_quick_fit(name: str, start: str, tmp_path: Path) -> None:
    case, begun = (LABELS | FOREIGN)[name], NEW if start == "a new model" else model_for(3)
    given = case.make(tmp_path)
    before = fingerprint(given)
    if case.says:
        with pytest.raises(GaussProtoError) as caught:
            quick_fit(PHOTO, given, begun, device="cpu")
        check_sentence(case, str(caught.value))
    elif start == "a model":
        fitted = quick_fit(PHOTO, given, begun, device="cpu")
        assert case.like is STROKES and means(fitted) == right_means()
    else:
        assert len(quick_fit(PHOTO, given, begun, device="cpu").classes) == 2
    assert fingerprint(given) == before


@pytest.mark.parametrize(
    "name", [name for name in (*LABELS, *FOREIGN) if (LABELS | FOREIGN)[name].says]
)
def test_fit(name: str, tmp_path: Path) -> None:
    """A long training refuses the same, before it begins."""
    case = (LABELS | FOREIGN)[name]
    given = case.make(tmp_path)
    with pytest.raises(GaussProtoError) as caught:
        fit([PHOTO], [given], tiny_config(), training=tiny_training(), device="cpu")
    says = f"{case.says}|No pixel is labelled as .*: label some"
    check_sentence(type(case)(case.make, says=says), str(caught.value))


def test_other_labels_give_another_model() -> None:
    """So the comparison means something."""
    other = STROKES.copy()
    other[14:17] = 0
    fitted = quick_fit(PHOTO, other, model_for(3), device="cpu")
    assert means(fitted) != right_means()


CONFIG = f"""
[data]
images = "."
masks = "masks"
[model]
backbone = "{TINY_BACKBONE}"
pretrained = false
latent_dim = 8
neck_channels = 16
prototypes_per_class = 2
[[model.classes]]
name = "soil"
color = "#0000ff"
[[model.classes]]
name = "plant"
color = "#ff0000"
[training]
steps = 1
crop_size = 64
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A configuration and a photograph for `train`, whose mask is missing yet."""
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "train.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("name", MASKS)
def test_train(name: str, data: Path) -> None:
    case = MASKS[name]
    path = write(data / "masks", name)
    before = path.read_bytes()
    rows = "".join(f"photo.png,{name},{split}\n" for split in ("train", "val"))
    (data / "index.csv").write_text(f"image,mask,split\n{rows}")
    if case.says:
        with pytest.raises(GaussProtoError) as caught:
            run_train(
                data / "train.toml", data, data / "m.safetensors", "cpu", 0, None, None, test=False
            )
        check_sentence(case, str(caught.value))
    else:
        file = read_train_file(data / "train.toml")
        _, [labels] = load_split(file.data, data, "train", file.model.classes)
        assert np.array_equal(labels, case.like)
    assert path.read_bytes() == before
