"""Synthetic fields: repeatable, with exact masks, and families that training never sees."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.field import field
from recipes.field.bank import Split, bank, on_side
from recipes.field.grounds import RELIEFS, TONES, ground
from recipes.field.leaves import SHAPES, drawn_leaf
from recipes.field.make import main as make
from recipes.field.photograph import photograph, plant_all
from recipes.field.plants import species
from recipes.field.preview import main as preview
from recipes.field.world import Field, world

SIZE = (160, 120)


def new_world(number: int) -> Field:
    return world(np.random.default_rng(number), bank(None, "train"))


def test_a_field_has_two_different_photographs_with_masks_of_their_size() -> None:
    (first, species_a), (second, species_b) = field(1, size=SIZE)
    for photo, mask in ((first, species_a), (second, species_b)):
        assert photo.shape == (120, 160, 3)
        assert mask.shape == (120, 160)
        assert photo.dtype == mask.dtype == np.uint8
    assert (first != second).any()
    assert (species_a != species_b).any()


def test_the_same_number_gives_the_same_field() -> None:
    again = field(2, size=SIZE)
    for (photo, mask), (photo_2, mask_2) in zip(field(2, size=SIZE), again, strict=True):
        assert (photo == photo_2).all()
        assert (mask == mask_2).all()
    assert (field(3, size=SIZE)[0][0] != again[0][0]).any()


@pytest.mark.parametrize("number", range(4))
def test_masks_are_where_soil_of_another_colour_does_not_shine_through(number: int) -> None:
    shared = new_world(number)
    shared = replace(shared, light=replace(shared.light, shadow=0))
    black = np.zeros((120, 160, 3), np.float32)
    white = np.ones((120, 160, 3), np.float32)
    masks = [plant_all(np.random.default_rng(7), shared, soil) for soil in (black, white)]
    assert (masks[0] == masks[1]).all()
    open_share = (white - black).mean(2)
    clear = np.abs(open_share - 0.5) > 1e-4
    assert ((masks[0] == 0) == (open_share > 0.5))[clear].all()
    assert 0 < (masks[0] > 0).mean() < 1


def test_a_mask_does_not_depend_on_soil_light_and_camera() -> None:
    one, other = new_world(5), new_world(6)
    changed = replace(one, grounds=other.grounds, light=other.light, camera=other.camera)
    photo, mask = photograph(np.random.default_rng(0), one, SIZE)
    photo_2, mask_2 = photograph(np.random.default_rng(0), changed, SIZE)
    assert (mask == mask_2).all()
    assert (photo != photo_2).any()


def test_both_views_show_the_crop_and_the_same_species() -> None:
    for number in range(3):
        views = field(number, size=(320, 240))
        kinds = [set(np.unique(mask).tolist()) for _, mask in views]
        assert all({0, 1} <= found for found in kinds)
        assert len(kinds[0] & kinds[1] - {0}) >= 2
        assert max(kinds[0] | kinds[1]) <= len(new_world(number).species)


def test_both_views_have_the_same_soil_and_the_next_field_has_another() -> None:
    def tones(number: int) -> list[np.ndarray]:
        return [np.median(photo[mask == 0], 0) for photo, mask in field(number, size=SIZE)]

    pairs = [tones(number) for number in range(6)]
    within = np.mean([np.abs(a - b).mean() for a, b in pairs])
    between = np.mean([np.abs(pairs[k][0] - pairs[k - 1][0]).mean() for k in range(6)])
    assert within < between / 2


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_species_and_grounds_stay_on_their_side(split: Split) -> None:
    pictures, rng = bank(None, split), np.random.default_rng(0)
    other: Split = "held-out" if split == "train" else "train"
    names = [species(rng, pictures).family for _ in range(12)]
    names += [ground(rng, pictures).family for _ in range(12)]
    assert pictures.seedlings
    assert len(set(names)) > 8
    for name in [*names, *pictures.seedlings]:
        family = name.replace("-", " ")
        assert on_side(family, split)
        assert not on_side(family, other)


def test_a_fifth_is_held_out_and_relatives_stay_together() -> None:
    names = [f"{relief} {tone}" for relief in RELIEFS for tone in TONES]
    share = np.mean([on_side(name, "held-out") for name in names])
    assert 0.1 < share < 0.35
    for relatives in (("oak", "oak-trees"), ("fern", "ferns"), ("DirtTests", "DirtTests2")):
        assert len({on_side(name, "train") for name in relatives}) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_drawn_leaf_is_whole_and_has_its_colour(shape: str) -> None:
    colour = np.array([0.3, 0.6, 0.2])
    leaf = np.asarray(drawn_leaf(np.random.default_rng(1), shape, colour, 3, aging=False))
    cover = leaf[..., 3] > 127
    assert 0.01 < cover.mean() < 0.95
    assert not cover[:, [0, -1]].any(), "the leaf is cut at a side"
    mean = leaf[cover][:, :3].mean(0)
    assert mean.argmax() == 1


def test_a_folder_of_assets_adds_its_families(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for kind in ("plant", "leaf", "ground"):
        for name in ("rush", "cane", "fig", "moss", "sedge", "kelp"):
            pixels = rng.integers(0, 255, (40, 60, 4), np.uint8)
            pixels[..., 3] = 255
            Image.fromarray(pixels).save(tmp_path / f"{kind}-{name}.png")
            rows.append({"file": f"{kind}-{name}.png", "kind": kind, "family": name})
    rows.append({"file": "missing.png", "kind": "seedling", "family": "bean"})
    with (tmp_path / "index.csv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.DictWriter(lines, ["file", "kind", "family"])
        table.writeheader()
        table.writerows(rows)
    train, held_out = bank(tmp_path, "train"), bank(tmp_path, "held-out")
    for kind in ("plants", "leaves", "grounds"):
        sides = [set(getattr(side, kind)) for side in (train, held_out)]
        assert sides[0] | sides[1] == {"rush", "cane", "fig", "moss", "sedge", "kelp"}
        assert not sides[0] & sides[1]
    assert train.leaves[min(train.leaves)][0].height == 60
    photo, mask = field(0, assets=tmp_path, size=SIZE)[0]
    assert photo.shape[:2] == mask.shape


def test_fields_are_written_as_photographs_and_masks(tmp_path: Path) -> None:
    make(["4", "5", str(tmp_path), "--size", "160", "120", "--split", "held-out"])
    expected = {f"00004_{view}{part}.png" for view in "ab" for part in ("", "_species")}
    assert {path.name for path in tmp_path.iterdir()} == expected
    photo, mask = field(4, split="held-out", size=SIZE)[1]
    with Image.open(tmp_path / "00004_b.png") as written:
        assert (np.asarray(written) == photo).all()
    with Image.open(tmp_path / "00004_b_species.png") as written:
        assert (np.asarray(written) == mask).all()


def test_the_preview_marks_outlines_on_photographs(tmp_path: Path) -> None:
    marked, plain = tmp_path / "marked.png", tmp_path / "plain.png"
    size = ["--size", "160", "120", "--count", "5"]
    preview([*size, "--out", str(marked)])
    preview([*size, "--out", str(plain), "--plain"])
    with Image.open(marked) as first, Image.open(plain) as second:
        assert first.size == (4 * 160, 2 * 120)
        changed = (np.asarray(first) != np.asarray(second)).any(2)
    mask = field(0, size=SIZE)[0][1]
    photo = field(0, size=SIZE)[0][0]
    with Image.open(plain) as second:
        assert (np.asarray(second)[:120, :160] == photo).all()
    across = (mask[:, 1:] != mask[:, :-1]).any()
    assert across
    assert 0 < changed[:120, :160].mean() < 0.6
