"""The training of a start: episodes, strokes, cameras, heads, and a training that goes on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy.ndimage import label as connected
from skimage.draw import disk

from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from recipes.start import evaluate, train
from recipes.start.cameras import Camera, draw_camera
from recipes.start.crops import cut
from recipes.start.episodes import Episode, Support, draw_episode
from recipes.start.head import Heads, standardised
from recipes.start.mosaics import blobs, colours
from recipes.start.network import CONFIG, new_model
from recipes.start.objective import Objective, hard_iou, shares
from recipes.start.pictures import Pictures, open_pictures
from recipes.start.regroup import regroup
from recipes.start.strokes import paint

Bytes = npt.NDArray[np.uint8]


def view(seed: int) -> tuple[Bytes, Bytes]:
    """Green and yellow discs on brown, and which is where."""
    rng = np.random.default_rng(seed)
    image = np.full((96, 128, 3), (120, 90, 60), np.uint8)
    species = np.zeros((96, 128), np.uint8)
    for number in range(8):
        rows, columns = disk(rng.uniform((10, 10), (86, 118)), 12, shape=species.shape)
        species[rows, columns] = 1 + number % 2
        image[rows, columns] = ((60, 160, 50), (170, 170, 40))[number % 2]
    return image + rng.integers(0, 20, image.shape).astype(np.uint8), species


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    for number in range(4):
        for name, seed in (("a", 2 * number), ("b", 2 * number + 1)):
            image, species = view(seed)
            Image.fromarray(image).save(folder / f"{number:05d}_{name}.png")
            Image.fromarray(species).save(folder / f"{number:05d}_{name}_species.png")
    return folder


@pytest.fixture
def pictures(fields: Path) -> Pictures:
    found = open_pictures(fields, None, None)
    rng = np.random.default_rng(0)
    found.grounds = [rng.integers(low, low + 60, (64, 80, 3), np.uint8) for low in (20, 90, 160)]
    return found


def test_the_newest_field_waits_until_it_is_finished(pictures: Pictures) -> None:
    assert [pair[0][0].name for pair in pictures.fields] == [f"0000{n}_a.png" for n in range(3)]
    assert pictures.fields[0][1][1].name == "00000_b_species.png"


def test_strokes_are_lines_inside_their_class() -> None:
    labels = view(1)[1] + 1
    for seed in range(20):
        strokes = paint(labels, np.random.default_rng(seed), most=2, brush=(4, 6))
        assert set(np.unique(strokes)) == {0, 1, 2, 3}
        assert (strokes[strokes > 0] == labels[strokes > 0]).all()
        for value in (1, 2, 3):
            assert connected(strokes == value, np.ones((3, 3)))[1] <= 6  # cut by thin parts
            assert (strokes == value).sum() < 2 * 90 * 8


def test_a_crop_beyond_the_picture_is_continued_by_its_reflection(pictures: Pictures) -> None:
    pair = pictures.fields[0][0]
    for scale in (0.35, 1.0, 1.6):
        crop = cut(pair, scale, 128, np.random.default_rng(0))
        assert crop.image.shape == (128, 128, 3) and crop.species.shape == (128, 128)
        brown = crop.image[crop.species == 0].mean(0)
        np.testing.assert_allclose(brown, (129, 99, 69), atol=8)


def test_classes_are_regrouped_and_unseen_species_are_in_none() -> None:
    first, second = view(1)[1], view(2)[1]
    second[:20, :20] = 7
    kinds = set()
    for seed in range(40):
        found = regroup(first, second, np.random.default_rng(seed))
        assert found is not None and (found[1][:20, :20] == 0).all()
        kinds.add((found[0].max(), bool((found[0] == 0).any())))
    assert kinds == {(3, False), (2, False), (2, True)}  # each, plants, two alone
    assert regroup(np.zeros_like(first), second, np.random.default_rng(0)) is None


def test_a_camera_changes_what_it_says() -> None:
    image, species = view(3)
    rng = np.random.default_rng(0)
    values = image / np.float32(255)
    np.testing.assert_allclose(Camera().see(image, species == 0, rng), values, atol=1e-3)
    filtered = Camera(bands=(0, 1, 0), neutral=True).see(image, species == 0, rng)
    np.testing.assert_allclose(filtered[..., 0], filtered[..., 2], atol=1e-6)
    assert np.ptp(filtered[species == 0].mean(0)) < 0.01  # the ground is grey
    lit = Camera(slope=(0.0, 0.3)).see(image, species == 0, rng)
    np.testing.assert_allclose(lit[:, :2].mean() / values[:, :2].mean(), 0.7, atol=0.02)
    turned = Camera(turn=2.0).see(image, species == 0, rng)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose((turned @ weights).mean(), (values @ weights).mean(), atol=0.02)
    assert np.abs(turned - values).max() > 0.2
    for _ in range(30):
        seen = draw_camera(rng).see(image, species == 0, rng)
        assert seen.dtype == np.float32 and seen.min() >= 0 and seen.max() <= 1


def test_blobs_and_colours_have_the_classes_that_they_say(pictures: Pictures) -> None:
    rng = np.random.default_rng(4)
    images, labels = blobs(pictures.grounds, 96, rng)
    assert [image.shape for image in images] == [(96, 96, 3)] * 2
    assert set(np.unique(labels[0])) <= {1, 2, 3, 4} and labels[0].min() == 1
    image, species = view(5)
    found = colours([image / np.float32(255)] * 2, rng)
    assert np.array_equal(found[0], found[1]) and found[0].max() >= 2
    # Brown has a colour that the discs do not have.
    brown = np.bincount(found[0][species == 0]).argmax()
    assert brown > 0 and (found[0][species == 1] == brown).mean() < 0.2


def test_episodes_ask_for_what_is_painted(pictures: Pictures) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        episode = draw_episode(pictures, rng, 96)
        assert episode.images.shape == (2, 3, 96, 96) and episode.labels.shape == (2, 96, 96)
        painted = episode.strokes > 0
        assert (episode.strokes[painted] == episode.labels[0][painted]).all()
        assert set(episode.labels.unique().tolist()) <= set(range(episode.n_classes + 1))
        assert episode.n_classes >= 2


def test_heads_find_clusters_and_lead_back_to_the_latents() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(3, 8, generator=generator)
    which = torch.arange(300) % 3
    z = (centres[which] + torch.randn(300, 8, generator=generator)).requires_grad_()
    target = torch.nn.functional.one_hot(which, 3).float()
    truth = target[30:]
    for kind in get_args(Support):
        for logits in Heads()(z[:30], target[:30], z[30:], kind):
            assert hard_iou(logits, truth) > 0.9
            (slope,) = torch.autograd.grad(logits.logsumexp(1).sum(), z, retain_graph=True)
            assert slope[:30].abs().sum() > 0 and torch.isfinite(slope).all()


def test_corrections_are_drawn_where_a_head_errs() -> None:
    """The third quarter of a picture looks like the second class and is of the first."""
    truth = torch.zeros(64, 2)
    truth[:16, 1], truth[16:, 0] = 1, 1
    z = torch.nn.functional.pad(truth[:, 1:] * 4 - 2, (0, 3)) + 0.1 * torch.randn(64, 4)
    z[32:48] += z[0] - z[63]
    strokes = torch.zeros(64, 2)
    strokes[:2, 1], strokes[60:, 0] = 1, 1
    corrected = Objective(4, 4).corrected(z, strokes, truth, 8, 0)
    more = (corrected - strokes).sum(1) > 0
    assert more.any() and not more[:16].any() and more[32:48].sum() > more[48:].sum()
    assert torch.equal(corrected[more], truth[more])


def test_a_start_goes_on_from_one_with_fewer_latents() -> None:
    former = PrototypeSegmenter(CONFIG.model_copy(update={"latent_dim": 8}))
    model = new_model(0, former)
    own, theirs = (m.extractor.neck.head[1].weight for m in (model, former))
    assert own.shape[0] == CONFIG.latent_dim and torch.equal(own[:8], theirs)
    assert not torch.equal(own[8:16], theirs)


def test_latents_are_standardised_over_the_first_picture() -> None:
    latents = torch.randn(2, 4, 8, 8) * 5 + 3
    z = standardised(latents)
    torch.testing.assert_close(z[0].mean((1, 2)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z[0].std((1, 2)), torch.ones(4), atol=1e-2, rtol=0)


def test_shares_of_a_cell() -> None:
    labels = torch.zeros(1, 4, 8, dtype=torch.uint8)
    labels[0, :, :2], labels[0, 0, 4:] = 1, 2
    expected = torch.tensor([[[[0.5, 0.0]], [[0.0, 0.25]]]])
    torch.testing.assert_close(shares(labels, 2, 4), expected)


def options(fields: Path, out: Path, **changes: object) -> argparse.Namespace:
    usual = {"photos": None, "assets": None, "minutes": 1.0, "every": 9.0, "seed": 0}
    usual |= {"objective": "episodes", "resume": False, "former": None}
    return argparse.Namespace(fields=fields, out=out, **(usual | changes))


def same(episodes: list[Episode], training: train.Training, steps: int) -> list[float]:
    """Losses of some steps on the same episodes."""
    for _ in range(steps):
        training.step(episodes)
    return [loss for loss, _ in training.progress.recent]


@pytest.mark.parametrize("objective", ["episodes", "supervised"])
def test_a_training_learns_is_saved_and_goes_on(
    objective: str, pictures: Pictures, fields: Path, tmp_path: Path
) -> None:
    out = tmp_path / "start.safetensors"
    how = options(fields, out, objective=objective)
    training = train.Training(how, pictures)
    rng = np.random.default_rng(0)
    episodes = [draw_episode(pictures, rng, 64) for _ in range(2)]
    training.trunk.set_statistics([episode.images for episode in episodes])
    early = training.model.extractor.backbone.network.blocks[0].state_dict()
    before = {key: value.clone() for key, value in early.items()}
    losses = same(episodes, training, 12)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert all(torch.equal(early[key], value) for key, value in before.items())
    training.progress.seconds = 30.0
    training.save(last=False)
    model = load_model(out, "cpu")
    assert model.card.name == "field" and "CC BY-SA" in model.card.licence
    with torch.no_grad():
        ours = training.average.module.eval().at_working_resolution(episodes[0].images)
        theirs = model.extractor.at_working_resolution(episodes[0].images)
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)  # stored as float16
    again = train.Training(options(fields, out, objective=objective, resume=True), pictures)
    again.start()
    assert (again.progress.step, again.progress.seconds) == (12, 30.0)
    ours, theirs = same(episodes, training, 1)[-1], same(episodes, again, 1)[-1]
    assert theirs == pytest.approx(ours, rel=1e-3)


def test_the_evaluation_compares_features(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_model(new_model(), tmp_path / "new")
    evaluate.main(["--fields", str(fields), "--count", "2", "--write", str(path)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["features"] for row in rows] == ["local", "strides 4, 8, local", "new"]
    assert all(row["fields"] > 0.8 for row in rows[:2])
    entry = load_model(path, "cpu").card.history[-1]
    assert entry["local"]["fields"] == rows[0]["fields"] and "mean" in entry["this start"]
