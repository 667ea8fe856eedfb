"""``train``: from a configuration and a folder to a model file that tells how good it is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

from napari_gaussproto.commands import train
from napari_gaussproto.commands.train import interruptible
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.commands.conftest import Cli
from tests.core.builders import TINY_BACKBONE, tiny_model, two_tone

CONFIG = f"""
[data]
mask_offset = 1
[model]
classes = ["soil", "plant"]
backbone = "{TINY_BACKBONE}"
pretrained = false
latent_dim = 8
neck_channels = 16
prototypes_per_class = 2
[training]
steps = 4
batch_size = 2
crop_size = 64
warm_up_steps = 20
layer_steps = 10
cells_per_image = 64
validate_every = 2
[card]
name = "two tones"
licence = "CC0"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images to train on, one to choose by, one to test; soil is stored as 0."""
    folder = tmp_path / "data"
    rows = ["image,mask,split"]
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for seed, split in enumerate(("train", "train", "val", "test")):
        image, labels = two_tone(seed=seed)
        Image.fromarray(image).save(folder / "images" / f"{seed}.png")
        Image.fromarray(labels - 1).save(folder / "masks" / f"{seed}.png")
        rows.append(f"{seed}.png,{seed}.png,{split}")
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(CONFIG)
    return path


def same(a: PrototypeSegmenter, b: PrototypeSegmenter) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(value, second[key]) for key, value in first.items())


def test_a_training_writes_a_model_that_tells_how_it_was_made_and_can_be_resumed(
    cli: Cli, config: Path, data: Path, tmp_path: Path
) -> None:
    arguments = ("train", "--config", config, "--data", data, "--device", "cpu", "--seed", 5)
    checkpoint = ("--checkpoint", tmp_path / "state.safetensors")
    out = tmp_path / "new" / "model.safetensors"
    result = cli(*arguments, *checkpoint, "--out", out, "--test")
    assert result.code == 0, result
    model = load_model_file(out)
    card = model.card
    assert (card.name, card.licence) == ("two tones", "CC0")
    assert card.command == f"napari-gaussproto train --config {config} --data FOLDER --seed 5"
    assert card.history[-1]["steps"] == 4 and card.history[-1]["images"] == 2
    assert set(card.measures) == {"val", "test"}
    for split, values in card.measures.items():
        assert values["images"] == 1 and set(values["iou"]) == {"soil", "plant"}
        assert f"{split}: mean IoU {values['miou']:.3f}" in result.out
    assert f"{len(model.prototypes)} prototypes, written to {out}" in result.out
    assert "warm-up 20/20" in result.out and "joint 4/4" in result.out
    image, labels = two_tone(seed=2)
    assert (segment(image, model).labels == labels).mean() > 0.5

    again = tmp_path / "again.safetensors"
    result = cli(*arguments, *checkpoint, "--out", again)
    assert result.code == 0
    assert "warm-up" not in result.out  # the stages before the checkpoint are not repeated
    assert same(load_model_file(again), model)
    assert set(load_model_file(again).card.measures) == {"val"}


def test_a_validation_image_without_labels_does_not_spoil_the_report(
    cli: Cli, config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (128, 96), 7).save(data / "masks" / "2.png")
    monkeypatch.setattr(train, "fit", lambda *_, **__: tiny_model())
    out = tmp_path / "model.safetensors"
    result = cli("train", "--config", config, "--data", data, "--out", out, "--minutes", "1.5",
                 "--ignore", 7, "--ignore", 255)  # fmt: skip
    assert result.code == 0
    assert "val: mean IoU –  (soil –  plant –)  ECE –" in result.out
    assert load_model_file(out).card.command.endswith(
        "--seed 0 --ignore 7 --ignore 255 --minutes 1.5"
    )


def test_broken_configurations_and_folders_are_sentences(
    cli: Cli, config: Path, data: Path, tmp_path: Path
) -> None:
    def train_with(config: Path, data: Path = data, out: Path = tmp_path / "m") -> str:
        result = cli("train", "--config", config, "--data", data, "--out", out)
        return result.one_sentence()

    assert "could not be read: check the name" in train_with(tmp_path / "none.toml")
    assert "holds no “index.csv”: give the folder that does" in train_with(config, tmp_path)
    bad = tmp_path / "bad.toml"
    bad.write_text(CONFIG.replace("latent_dim", "latent_dims"))
    assert "“bad.toml” sets model.latent_dims, which is not known" in train_with(bad)
    bad.write_text(CONFIG.replace("[model]", "[model"))
    assert "“bad.toml” is not valid TOML" in train_with(bad)
    bad.write_text(CONFIG.replace(TINY_BACKBONE, "no_such_backbone"))
    assert "no_such_backbone" in train_with(bad)
    bad.write_text(CONFIG.replace("mask_offset = 1", "mask_offset = 9"))
    assert "set mask_offset so that classes count from 1 to 2" in train_with(bad)
    (data / "images" / "1.png").write_text("notes")
    assert "“1.png” is no image" in train_with(config)


def test_that_the_file_cannot_be_written_is_said_before_the_training(
    cli: Cli, config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained for nothing")

    monkeypatch.setattr(train, "fit", never)
    advice = {tmp_path: "choose another", config / "model.safetensors": "choose a folder"}
    for out, what in advice.items():
        result = cli("train", "--config", config, "--data", data, "--out", out)
        assert what in result.one_sentence()


def test_the_first_interrupt_asks_and_the_second_one_interrupts() -> None:
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is former
    with interruptible() as stop:
        pass
    assert not stop.is_set() and signal.getsignal(signal.SIGINT) is former
