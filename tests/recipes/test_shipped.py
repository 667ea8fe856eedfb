"""The training of shipped models: what they learn from, how prototypes are placed and chosen."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_gaussproto import load_model, save_model, segment
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.mixture.placement import usage
from napari_gaussproto.core.training.cells import LabelledCells
from recipes.shipped import place as place_anew
from recipes.shipped import train
from recipes.shipped.balanced import even_shares, place, settle
from recipes.shipped.card import RECIPES
from recipes.shipped.finish import hints, look, select
from recipes.shipped.learn import calibrate, features, latents, learn
from recipes.shipped.mix import mix
from recipes.shipped.teach import Length, teach
from recipes.shipped.views import photo_views, plant_views
from recipes.start.pictures import Pictures, open_pictures
from tests.core.builders import tiny_model
from tests.recipes.test_start import view


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eleven photographs, and fields of two views."""
    root = tmp_path_factory.mktemp("data")
    lines, splits = ["image,mask,split"], {9: "val", 10: "test"}
    for part in ("images", "masks", "fields"):
        (root / part).mkdir()
    for number in range(11):
        image, species = view(number)
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(species).save(root / "masks" / f"{number}.png")
        lines.append(f"{number}.png,{number}.png,{splits.get(number, 'train')}")
        name = f"{number // 2:05d}_{'ab'[number % 2]}"
        Image.fromarray(image).save(root / "fields" / f"{name}.png")
        Image.fromarray(species).save(root / "fields" / f"{name}_species.png")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Pictures:
    return open_pictures(folder / "fields", folder, None)


def three_groups(sizes: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells around centres far apart; the last is another class than the others."""
    generator = torch.Generator().manual_seed(0)
    centres = 4 * torch.randn(len(sizes), 8, generator=generator)
    which = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    z = centres[which] + torch.randn(len(which), 8, generator=generator)
    return z, torch.nn.functional.one_hot((which == len(sizes) - 1).long(), 2).float()


def test_shares_are_even_over_cells() -> None:
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(1)) * 5
    shares = even_shares(logits)
    torch.testing.assert_close(shares.sum(1), torch.ones(200))
    torch.testing.assert_close(shares.mean(0), torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_no_prototype_owns_its_class() -> None:
    z, target = three_groups((900, 60, 300))
    layer = GaussianPrototypeLayer(8, [0, 0, 0, 1], 2)
    place(layer, z, target, 0)
    used = usage(layer, z, target, torch.ones(len(z)))
    assert used[:3].min() > 0.05 and used[:3].max() < 0.6
    assert (layer(z).argmax(1) == target.argmax(1)).float().mean() > 0.98


def test_views_have_the_labels_of_their_pictures(pictures: Pictures) -> None:
    for seen in plant_views(pictures, 12, 0, plain=True):
        assert seen.image.shape == (256, 256, 3) and set(np.unique(seen.labels)) <= {1, 2}
        brown = seen.image[seen.labels == 1].mean(0)
        np.testing.assert_allclose(brown, (129, 99, 69), atol=10)
    numbers = [seen.number for seen in plant_views(pictures, 40, 0)]
    assert min(numbers) < len(pictures.photos) <= max(numbers)  # photographs and fields
    parts = list(photo_views(pictures.photos[:2], 2, 0))
    assert [seen.number for seen in parts] == [0, 1, 0, 1]
    assert set(np.unique(parts[0].labels)) == {1, 2, 3}


def test_a_model_learns_shows_its_prototypes_and_is_calibrated(pictures: Pictures) -> None:
    recipe = replace(RECIPES["plants"], rounds=12, counts=(3, 2))
    model = train.new_model(recipe, 0)
    cells = features(model, plant_views(pictures, 12, 0), 60, 0)
    before = latents(model, cells)
    learn(model, cells, 20, 0)
    z = latents(model, cells)
    assert not torch.equal(before.values, z.values)
    shown = look(model, plant_views(pictures, 9, 1, plain=True), 60, 0, lambda number: number < 9)
    select(model, shown, lambda layer: settle(layer, shown.cells.values, shown.cells.target))
    assert {p.class_index for p in model.prototypes} == {0, 1}
    for prototype in model.prototypes:
        assert prototype.patches.shape[0] == 10 and prototype.name.startswith(("soil", "plant"))
    loss = torch.nn.functional.cross_entropy
    former = loss(model.layer(shown.even.values), shown.even.target)
    calibrate(model.layer, shown.even)
    assert loss(model.layer(shown.even.values), shown.even.target) < former


def test_a_network_learns_its_classes(pictures: Pictures) -> None:
    recipe = replace(RECIPES["plants"], rounds=4)
    model = train.new_model(recipe, 0)
    before = model.extractor.backbone.digest()
    early = {name: value.clone() for name, value in model.extractor.state_dict().items()}
    steps = teach(model, train.taught_views(recipe, pictures), Length(steps=2), 0)
    after = model.extractor.state_dict()
    changed = {name for name, value in early.items() if not torch.equal(value, after[name])}
    assert steps == 2 and model.extractor.backbone.digest() != before
    # The first stages and all statistics of normalisation stay as they were.
    assert not any("conv_stem" in name or "blocks.0." in name for name in changed)
    assert not any("running" in name for name in changed)
    assert not any(parameter.requires_grad for parameter in model.extractor.parameters())


def test_a_network_learns_for_minutes_or_for_steps() -> None:
    assert Length(minutes=2).share(7, 30) == 0.25 and Length(minutes=2).any
    assert Length(minutes=2, steps=10).share(7, 30) == 0.7 and Length(steps=10).any
    assert not Length().any


def test_pixels_without_labels_teach_nothing(pictures: Pictures) -> None:
    recipe, states = replace(RECIPES["plants"], rounds=4), []
    for noise in (0.0, 1.0):

        def change(
            images: torch.Tensor,
            labels: torch.Tensor,
            rng: np.random.Generator,
            noise: float = noise,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            images, labels = images.clone(), labels.clone()
            images[4:] += noise * torch.from_numpy(rng.random(images[4:].shape)).float()
            labels[4:] = 0
            return images, labels

        model = train.new_model(recipe, 0)
        views = train.taught_views(recipe, pictures)
        assert teach(model, views, Length(steps=2), 0, change=change) == 2
        states.append(model.extractor.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


def test_a_network_goes_on_from_a_model_file(tmp_path: Path) -> None:
    former = train.new_model(RECIPES["plants"], 0)
    neck = former.extractor.neck
    with torch.no_grad():
        for weights in (*former.extractor.backbone.parameters(), *neck.parameters()):
            weights.mul_(1.5)
    place(former.layer, torch.randn(99, 64), torch.nn.functional.one_hot(torch.arange(99) % 2), 0)
    path = save_model(former, tmp_path / "former")
    model = train.new_model(RECIPES["plants"], 1, str(path))
    for name, value in model.extractor.state_dict().items():
        # Files hold the backbone with half of the digits.
        torch.testing.assert_close(value, former.extractor.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_some_cameras_have_a_single_band(pictures: Pictures) -> None:
    seen = [view.image for view in plant_views(pictures, 60, 0, grey=0.1)]
    grey = [bool((image == image[..., :1]).all()) for image in seen]
    assert 1 <= sum(grey) <= 15


def test_mixed_squares_keep_the_labels_of_their_pixels() -> None:
    labels = torch.arange(1, 5)[:, None, None].expand(4, 16, 16)
    images = labels[:, None].expand(4, 3, 16, 16) / 4
    mixed, known = mix(images, labels, np.random.default_rng(0), 1.0)
    torch.testing.assert_close(mixed, known[:, None].expand_as(mixed) / 4)
    assert all(len(one.unique()) > 1 for one in known)
    assert torch.equal(mix(images, labels, np.random.default_rng(0), 0.0)[1], labels)


def test_hints_say_how_the_cells_of_a_prototype_differ(pictures: Pictures) -> None:
    model = train.new_model(replace(RECIPES["plants"], counts=(2, 1)), 0)
    z, target = three_groups((100, 100, 50))
    z = torch.nn.functional.pad(z, (0, model.config.latent_dim - z.shape[1]))
    place(model.layer, z, target, 0)
    first = look(model, plant_views(pictures, 1, 1, plain=True), 5, 0, lambda number: True)
    rows = torch.arange(250)
    cells = LabelledCells(z, target, torch.ones(250), 0 * rows, rows)
    light = torch.where(rows < 100, 0.9, 0.2)
    shown = replace(first, cells=cells, lightness=light, beside=torch.zeros(250))
    owner = model.layer.scores(z[:1]).log_likelihood[0, :2].argmax()
    assert hints(model, shown)[int(owner)] == "bright" and "dark" in hints(model, shown)
    assert hints(model, shown)[2] == ""  # alone in its class
    shown = replace(shown, beside=(rows < 100).float())
    assert hints(model, shown)[int(owner)] == "edge"


@pytest.mark.parametrize("name", ["plants", "peanut-superpixel"])
def test_the_command_writes_a_model(
    name: str,
    folder: Path,
    pictures: Pictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = replace(RECIPES[name], rounds=96 if name == "plants" else 1, per_class=40)
    monkeypatch.setitem(RECIPES, name, small)
    out, kept = tmp_path / f"{name}.safetensors", tmp_path / "kept.safetensors"
    words = [name, "--photos", str(folder), "--fields", str(folder / "fields"), "--steps", "5"]
    train.main([*words, "--features", str(kept), "--out", str(out)])
    model = load_model(out, "cpu")
    assert model.card.name == name and set(model.card.measures) == {"val", "test"}
    assert "CC BY-SA 4.0" in model.card.licence
    said = f"{name} --photos FOLDER --fields FIELDS --out {out.name} --steps 5"
    assert model.card.command == f"python -m recipes.shipped.train {said}"
    image, species = view(9)
    found = segment(image, model).labels > 1
    overlap = (found & (species > 0)).sum() / (found | (species > 0)).sum()
    assert overlap > 0.6
    # A later training takes the features that were kept, and makes none.
    monkeypatch.delattr(train, "features")
    options = argparse.Namespace(features=kept, seed=0)
    again = train.known_features(
        small, model, open_pictures(folder / "fields", folder, None), options
    )
    assert torch.equal(again.values, load_file(kept)["values"]) and len(again.values) > 40


def test_prototypes_are_placed_anew_in_a_trained_network(folder: Path, tmp_path: Path) -> None:
    former = tiny_model()
    path = save_model(former, tmp_path / "former")
    joined = folder / "joined"
    (joined / "masks").mkdir(parents=True)
    (joined / "images").symlink_to(folder / "images")
    (joined / "index.csv").write_text((folder / "index.csv").read_text())
    for mask in (folder / "masks").glob("*.png"):
        species = np.asarray(Image.open(mask)).clip(0, 1)
        Image.fromarray(species).save(joined / "masks" / mask.name)
    out = tmp_path / "placed.safetensors"
    words = ["--photos", str(joined), "--counts", "3", "2", "--steps", "10", "--out", str(out)]
    words += ["--seed", "7"]
    place_anew.main([str(path), *words])
    model = load_model(out, "cpu")
    assert not torch.equal(model.layer.mean[:2], former.layer.mean[:2])
    assert all(len(prototype.patches) == 10 for prototype in model.prototypes)
    assert model.card.command.endswith("--out placed.safetensors --counts 3 2 --steps 10 --seed 7")
    assert "prototypes placed anew" in [entry["what"] for entry in model.card.history]
    assert set(model.card.measures) == {"val", "test"} and model.card.measures["val"]["images"] == 1


def test_a_model_of_fine_levels_is_the_start_without_the_coarse_ones() -> None:
    recipe = replace(RECIPES["peanut-superpixel"], strides=(2, 4))
    model, whole = train.new_model(recipe, 0), train.new_model(RECIPES["peanut-superpixel"], 0)
    assert model.extractor.strides == [2, 4, 4]
    assert model.receptive_radius < whole.receptive_radius / 3
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fine, all_levels = model.extractor.pyramid(image), whole.extractor.pyramid(image)
    for own, level in zip(fine, (0, 1, 4), strict=True):
        torch.testing.assert_close(own, all_levels[level])
    for own, level in zip(model.extractor.neck.projections, (0, 1, 4), strict=True):
        assert torch.equal(own.weight, whole.extractor.neck.projections[level].weight)
