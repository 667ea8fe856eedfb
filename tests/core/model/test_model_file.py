"""Model files: a round trip, and one sentence for everything that can be wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_gaussproto.core.base.errors import ConfigError, ModelFileError
from napari_gaussproto.core.base.quantiles import QUANTILES
from napari_gaussproto.core.model import model_file
from napari_gaussproto.core.model.model_file import load_model, load_model_file, save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import FORMAT, read_description, read_summary
from tests.core.builders import tiny_model, two_tone


@pytest.fixture
def model() -> PrototypeSegmenter:
    model = tiny_model()
    model.card.name = "tiny"
    model.card.licence = "CC BY-SA 4.0"
    model.prototypes[1].name = "wet soil"
    model.prototypes[1].patches = np.full((3, 48, 48, 3), 7, np.uint8)
    model.prototypes[1].patch_labels = np.array([0, 0, 1])
    model.prototypes[1].usage = 0.25
    model.layer.active[3] = False
    model.receptive_radius = 96
    return model


def test_round_trip_keeps_predictions_and_descriptions(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    path = save_model(model, tmp_path / "tiny", half=False)
    assert path.name == "tiny.safetensors"
    again = load_model(path, device="cpu")
    image = two_tone()[0]
    first, second = segment(image, model), segment(image, again)
    np.testing.assert_array_equal(first.log_likelihood(0), second.log_likelihood(0))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert again.config == model.config
    assert again.card == model.card
    assert again.prototypes[1].name == "wet soil"
    np.testing.assert_array_equal(again.prototypes[1].patches, model.prototypes[1].patches)
    assert again.layer.active.tolist() == [True, True, True, False]
    assert again.receptive_radius == 96


def test_half_precision_halves_the_file(model: PrototypeSegmenter, tmp_path: Path) -> None:
    full = save_model(model, tmp_path / "full", half=False).stat().st_size
    half = save_model(model, tmp_path / "half").stat().st_size
    assert half < 0.6 * full


def test_summary_reads_without_weights(model: PrototypeSegmenter, tmp_path: Path) -> None:
    summary = read_summary(save_model(model, tmp_path / "tiny"))
    assert summary.card.licence == "CC BY-SA 4.0"
    assert summary.prototypes[1].name == "wet soil"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="There is no model file"):
        load_model_file(tmp_path / "none.safetensors")


def test_no_such_model_names_the_choices() -> None:
    with pytest.raises(ModelFileError, match="no model “nonsense”"):
        load_model("nonsense")


@pytest.mark.parametrize("length", [0, 4, 200, 5000])
def test_truncated_file(model: PrototypeSegmenter, tmp_path: Path, length: int) -> None:
    path = save_model(model, tmp_path / "tiny")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelFileError, match="fresh copy"):
        load_model_file(path)


def test_foreign_files(tmp_path: Path) -> None:
    text = tmp_path / "notes.safetensors"
    text.write_text("this is not a model, it is a shopping list with many lines\n" * 9)
    with pytest.raises(ModelFileError, match="not a model file"):
        load_model_file(text)
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(ModelFileError, match="another program"):
        load_model_file(other)


def test_newer_format(
    model: PrototypeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "FORMAT_VERSION", 99)
    path = save_model(model, tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="newer version"):
        load_model_file(path)


@pytest.mark.parametrize(
    "description",
    [
        "{",
        "[]",
        json.dumps({"format_version": 1}),
        json.dumps({"format_version": 1, "config": {"classes": []}, "card": {}, "prototypes": []}),
    ],
)
def test_damaged_description(tmp_path: Path, description: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={"napari-gaussproto": description})
    with pytest.raises(ModelFileError, match="damaged"):
        load_model_file(path)


def test_weights_that_do_not_fit(model: PrototypeSegmenter, tmp_path: Path) -> None:
    good = save_model(model, tmp_path / "good")
    description = json.dumps(read_description(good))
    path = tmp_path / "bad.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={"napari-gaussproto": description})
    with pytest.raises(ModelFileError, match="does not fit its own description"):
        load_model_file(path)


def test_a_failed_save_keeps_the_old_file(
    model: PrototypeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_model(model, tmp_path / "tiny")
    before = path.read_bytes()

    def full_disk(tensors: object, target: Path, metadata: object) -> None:
        Path(target).write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr("napari_gaussproto.core.base.tensor_file.save_file", full_disk)
    with pytest.raises(ModelFileError, match="No space"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_dot_in_a_name_is_no_suffix(model: PrototypeSegmenter, tmp_path: Path) -> None:
    assert save_model(model, tmp_path / "field v1.2").name == "field v1.2.safetensors"
    assert save_model(model, tmp_path / "plain.safetensors").name == "plain.safetensors"


def test_a_place_that_cannot_be_written_to_gives_a_sentence(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "model", tmp_path / "taken"):
        (tmp_path / "taken.safetensors" / "full").mkdir(parents=True, exist_ok=True)
        with pytest.raises(ModelFileError, match="choose another folder"):
            save_model(model, path)
    assert not list(tmp_path.glob(".*.part"))


def damaged(model: PrototypeSegmenter, path: Path, change: Callable[[Any], None]) -> Path:
    """A model file whose description was changed."""
    path = save_model(model, path)
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    description = read_description(path)
    change(description)
    save_file(tensors, path, metadata={FORMAT: json.dumps(description)})
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(prototypes=[1, 2]),
        lambda d: d["prototypes"][0].pop("usage"),
        lambda d: d["prototypes"][0].update(class_index=99),
        lambda d: d["prototypes"][0].update(class_index=-1),
        lambda d: d["prototypes"][0].update(purity="high"),
        lambda d: d["card"].update(measures={"val": 3}),
        lambda d: d["card"].update(measures={"val": {"miou": 0.5}}),
    ],
)
def test_a_damaged_list_of_prototypes_or_measures_is_a_sentence(
    model: PrototypeSegmenter, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = damaged(model, tmp_path / "m.safetensors", change)
    for read in (read_summary, load_model_file):
        with pytest.raises(ModelFileError, match="damaged"):
            read(path)


NO_PICTURES = {
    "flat": (np.zeros((3, 5), np.uint8), np.zeros(3, int), "patches of the shape"),
    "not square": (np.zeros((3, 48, 40, 3), np.uint8), np.zeros(3, int), "patches of the shape"),
    "grey": (np.zeros((3, 48, 48), np.uint8), np.zeros(3, int), "patches of the shape"),
    "float": (np.zeros((3, 8, 8, 3)), np.zeros(3, int), "patches of the shape"),
    "no labels": (np.zeros((3, 8, 8, 3), np.uint8), np.zeros(0, int), "3 patches with labels"),
    "shares": (np.zeros((3, 8, 8, 3), np.uint8), np.zeros(3), "3 patches with labels"),
    "unknown": (np.zeros((3, 8, 8, 3), np.uint8), np.full(3, 2), "a class that there is not"),
}


@pytest.mark.parametrize("fault", NO_PICTURES)
def test_patches_that_are_no_pictures_are_neither_saved_nor_loaded(
    model: PrototypeSegmenter, tmp_path: Path, fault: str
) -> None:
    patches, labels, words = NO_PICTURES[fault]
    path = bent(model, tmp_path / "m", "prototype/1/patches", lambda _: torch.from_numpy(patches))
    path = bent_file(path, "prototype/1/patch_labels", lambda _: torch.from_numpy(labels))
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=f"cannot be computed with, .*{words}"):
        load_model_file(path)
    model.prototypes[1].patches, model.prototypes[1].patch_labels = patches, labels
    with pytest.raises(ModelFileError, match=f"not saved, because “wet soil” has .*{words}"):
        save_model(model, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: setattr(m.card, "name", 3), "name: Input should be a valid string"),
        (lambda m: setattr(m.card, "name", "f\udce4d"), "surrogates"),
        (lambda m: m.card.history.append({"what": 3}), "what: Input should"),
        (lambda m: m.card.history.append({"when": object()}), "unknown type"),
        (lambda m: m.card.measures.update(val=0.5), "SplitMeasures"),
        (lambda m: setattr(m.prototypes[0], "name", None), "name: Input should"),
        (lambda m: setattr(m, "receptive_radius", 10**6), "radius of 1000000 pixels"),
    ],
)
def test_what_could_not_be_read_again_is_not_saved(
    model: PrototypeSegmenter,
    tmp_path: Path,
    change: Callable[[PrototypeSegmenter], None],
    words: str,
) -> None:
    change(model)
    with pytest.raises(ModelFileError, match=f"could not be read again .*{words}.*: undo"):
        save_model(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("radius", [0, 31])
def test_tiles_of_a_file_that_denies_its_surroundings_have_no_seams(
    model: PrototypeSegmenter, tmp_path: Path, radius: int
) -> None:
    path = damaged(model, tmp_path / "m", lambda d: d.update(receptive_radius=radius))
    again = load_model(path, "cpu")
    assert again.receptive_radius == 512
    image = two_tone(160, 224)[0]
    tiled, whole = segment(image, again, tile=64), segment(image, again, tile=None)
    np.testing.assert_array_equal(tiled.labels, whole.labels)


def test_statistics_of_normalisation_survive_half_precision(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    model.extractor.neck.norms[0].running_var.fill_(1e5)
    again = load_model_file(save_model(model, tmp_path / "m"))
    assert float(again.extractor.neck.norms[0].running_var[0]) == pytest.approx(1e5)


def test_a_file_names_no_backbone_of_the_network(
    model: PrototypeSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("timm.create_model", lambda name, **_: asked.append(name))
    path = damaged(
        model,
        tmp_path / "m.safetensors",
        lambda d: d["config"].update(backbone="hf-hub:someone/network"),
    )
    with pytest.raises(ConfigError, match="no backbone called"):
        load_model_file(path)
    assert not asked


def test_a_saved_model_has_the_mode_of_new_files(model: PrototypeSegmenter, tmp_path: Path) -> None:
    new = tmp_path / "new"
    before = os.umask(0o027)
    try:
        new.touch()
        path = save_model(model, tmp_path / "shared")
    finally:
        os.umask(before)
    assert path.stat().st_mode == new.stat().st_mode


# -- numbers that are none --------------------------------------------------------------------


def bent(model: PrototypeSegmenter, path: Path, key: str, bend: Any) -> Path:
    """A file of a model in which a tensor was replaced."""
    return bent_file(save_model(model, path), key, bend)


def bent_file(path: Path, key: str, bend: Any) -> Path:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors[key] = bend(tensors[key]).contiguous()
    save_file(tensors, path, metadata=metadata)
    return path


def first(value: float) -> Any:
    def bend(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return bend


FAULTS = {
    "weight": ("model/layer.mean", first(float("nan")), "not finite in model/layer.mean"),
    "half": ("model/extractor.neck.head.1.bias", first(float("inf")), "not finite"),
    "variance": ("model/extractor.neck.norms.0.running_var", first(-1.0), "variance below zero"),
    "class": ("model/layer.class_index", first(99), "other classes than are listed"),
    "quantile": ("density_quantiles", first(float("nan")), "not finite in density_quantiles"),
    "shape": ("density_quantiles", lambda t: t.reshape(1, -1), r"shape \(1, 101\)"),
    "one": ("prototype/1/quantiles", lambda t: t[:1], r"shape \(1,\) as prototype/1"),
    "order": ("prototype/0/quantiles", lambda t: t.flip(0), "do not ascend"),
    "row": ("class_quantiles", lambda t: t[:1], r"shape \(1, 101\) as class_quantiles"),
    "hole": ("class_quantiles", first(float("nan")), "not finite in class_quantiles"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_numbers_that_are_none_are_a_sentence_that_names_the_file(
    model: PrototypeSegmenter, tmp_path: Path, fault: str
) -> None:
    key, bend, words = FAULTS[fault]
    ascending = np.linspace(0, 1, QUANTILES).astype(np.float32)
    model.density_quantiles = ascending
    # A class without training cells has no quantiles.
    model.class_quantiles = np.stack([ascending, np.full(QUANTILES, np.nan, np.float32)])
    for prototype in model.prototypes:
        prototype.distance_quantiles = ascending.copy()
    path = bent(model, tmp_path / "bent.safetensors", key, bend)
    with pytest.raises(ModelFileError, match=rf"“bent\.safetensors” cannot be .*{words}"):
        load_model_file(path)


@pytest.mark.parametrize("place", [-1, 2])
def test_a_prototype_of_no_class_is_a_sentence(
    model: PrototypeSegmenter, tmp_path: Path, place: int
) -> None:
    path = save_model(model, tmp_path / "bent")
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()[FORMAT])
    description["prototypes"][0]["class_index"] = place
    save_file(load_file(path), path, metadata={FORMAT: json.dumps(description)})
    with pytest.raises(ModelFileError, match=r"“bent\.safetensors”"):
        load_model_file(path)


def test_a_model_that_went_astray_is_not_saved(model: PrototypeSegmenter, tmp_path: Path) -> None:
    path = save_model(model, tmp_path / "good")
    before = path.read_bytes()
    with torch.no_grad():
        model.layer.mean[0, 0] = float("nan")
    with pytest.raises(ModelFileError, match="is not saved, because it has numbers"):
        save_model(model, path)
    assert path.read_bytes() == before


def test_weights_beyond_half_precision_are_kept_whole(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    bias = next(p for n, p in model.extractor.neck.named_parameters() if n.endswith("bias"))
    with torch.no_grad():
        bias[0] = 1e6
    again = load_model_file(save_model(model, tmp_path / "large"))
    assert any(float(p.max()) == 1e6 for p in again.extractor.neck.parameters())


def test_a_name_without_end_is_cut_in_the_sentence(
    model: PrototypeSegmenter, tmp_path: Path
) -> None:
    path = save_model(model, tmp_path / "tiny")
    with safe_open(path, framework="pt") as file:
        texts = file.metadata()
    tensors = load_file(path) | {"x" * 5000: torch.tensor([float("nan")])}
    save_file(tensors, path, texts)
    with pytest.raises(ModelFileError, match=r"not finite in x{79}…") as caught:
        load_model(path, device="cpu")
    assert str(caught.value).endswith(".")
    with pytest.raises(ConfigError, match=r"called “y{79}…”"):
        tiny_model(backbone="y" * 5000)
