"""Whether a photograph is known to be like those of the training, as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.model.familiarity import (
    FALSE_ALARMS,
    LEAST_PHOTOS,
    Familiarity,
    Look,
    learn_familiarity,
)
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.predict import segment, segment_to_zarr
from napari_gaussproto.core.training.describe import learn_look
from napari_gaussproto.core.training.pyramid import encode_pyramid, latents_of_image
from napari_gaussproto.core.training.quick_fit import quick_fit
from tests.core.builders import tiny_model, two_tone


def looks(count: int, seed: int, shift: float = 0.0, width: int = 12) -> list[Look]:
    """Photographs of two classes, the second one in half of them; shifted along one feature."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(width, width))
    found = []
    for number in range(count):
        mean = rng.normal(size=(2, width)) @ mixing
        mean[:, 0] += shift
        share = torch.tensor([1.0, 0.0] if number % 2 else [0.7, 0.3])
        found.append(Look(torch.from_numpy(mean).float(), share))
    return found


def known(count: int = 300) -> Familiarity:
    found = learn_familiarity(looks(count, 1))
    assert found is not None
    return found


def test_so_many_are_called_unlike_as_is_said() -> None:
    familiarity = known()
    novelty = np.array([familiarity.novelty(look) for look in looks(600, 2)])
    assert novelty.min() >= 0 and novelty.max() <= 1
    assert (novelty >= 1 - FALSE_ALARMS).mean() == pytest.approx(FALSE_ALARMS, abs=0.04)
    assert np.quantile(novelty, [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.1)


def test_what_is_farther_than_all_is_still_told_apart() -> None:
    familiarity = known()
    values = [familiarity.novelty(looks(1, 3, shift)[0]) for shift in (0, 20, 40, 60)]
    assert values == sorted(values) and values[1] > 1 - FALSE_ALARMS
    assert len(set(values)) == 4 and values[-1] <= 1


def test_a_class_that_is_hardly_known_does_not_count() -> None:
    own = looks(40, 4)
    rare = [Look(look.mean, torch.tensor([1.0, 0.0])) for look in own[:37]] + own[37:]
    familiarity = learn_familiarity(rare)
    assert familiarity is not None and familiarity.mean[1].isnan().all()
    strange = Look(torch.full((2, 12), 99.0), torch.tensor([0.0, 1.0]))
    assert np.isnan(familiarity.novelty(strange))
    assert learn_familiarity(own[: LEAST_PHOTOS - 1]) is None


def test_a_class_of_one_field_alone_does_not_make_strange_photographs_familiar() -> None:
    own = looks(100, 4)
    field = [
        Look(look.mean, torch.tensor([1.0, float(20 <= i < 40)])) for i, look in enumerate(own)
    ]
    familiarity = learn_familiarity(field)
    assert familiarity is not None
    strange = looks(1, 5, shift=60)[0].mean
    both, alone = (Look(strange, torch.tensor(share)) for share in ([0.5, 0.5], [1.0, 0.0]))
    assert familiarity.novelty(both) == pytest.approx(familiarity.novelty(alone))
    assert familiarity.novelty(both) > 1 - FALSE_ALARMS


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [two_tone(64, 96, seed)[0] for seed in range(LEAST_PHOTOS + 4)]


@pytest.mark.parametrize("partition", ["grid", "superpixel"])
def test_a_finished_model_learns_what_its_photographs_look_like(
    partition: str, photos: list[np.ndarray], tmp_path: Path
) -> None:
    model = tiny_model(partition=partition)
    assert segment(photos[0], model).photo_novelty() is None
    assert measure(model, [(photos[0], np.ones((64, 96), np.uint8))])["unlike"] is None
    learn_look(model, photos[:-2])
    entry = model.card.history[-1]
    assert entry["photos"] == len(photos) - 2 and entry["false_alarm_share"] == FALSE_ALARMS
    like = [segment(photo, model).photo_novelty() for photo in photos[-2:]]
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    unlike = [segment(image, model).photo_novelty() for image in (noise, 255 - photos[0])]
    assert 0 <= max(like) < min(unlike) <= 1 and min(unlike) > 1 - FALSE_ALARMS
    # A measure on labelled photographs tells how many of them are called so.
    pairs = [(image, np.ones((64, 96), np.uint8)) for image in (photos[-1], noise)]
    assert measure(model, pairs)["unlike"] == 0.5
    # It stays with the file, and the classes that it is known by.
    again = load_model_file(save_model(model, tmp_path / "model"))
    # (Networks are stored in half precision.)
    assert segment(photos[-1], again).photo_novelty() == pytest.approx(like[-1], abs=0.01)
    renamed = adapt(model, [c.model_copy(update={"name": c.name + "s"}) for c in model.classes],
                    {0: 0, 1: 1})  # fmt: skip
    assert renamed.familiarity is model.familiarity
    assert adapt(model, model.classes[::-1]).familiarity is None


def test_the_pyramid_and_tiles_give_the_same_answer(photos: list[np.ndarray]) -> None:
    model = tiny_model()
    learn_look(model, photos)
    image = two_tone(90, 130)[0]
    whole = segment(image, model)
    kept = model.decode(latents_of_image(model, encode_pyramid(image, model)))
    assert kept.photo_novelty() == pytest.approx(whole.photo_novelty(), abs=1e-3)
    assert whole.look is not None and whole.look.share.sum() == pytest.approx(1)
    assert whole.look.share.numpy() == pytest.approx(list(whole.cover().values()), abs=0.05)


def test_a_hole_has_no_look(photos: list[np.ndarray]) -> None:
    model = tiny_model()
    learn_look(model, photos)
    half = np.dstack([photos[0], np.full((64, 96), 255, np.uint8)])
    half[:, :48, 3] = 0
    half[:, :48, :3] = 0
    right = segment(photos[0][:, 48:], model).look
    look = segment(half, model).look
    assert look is not None and right is not None
    assert look.share.numpy() == pytest.approx(right.share.numpy(), abs=0.1)
    assert segment(np.zeros((64, 96, 3), np.uint8), model).photo_novelty() is None


def test_after_strokes_on_new_photographs_nothing_is_claimed(photos: list[np.ndarray]) -> None:
    model = tiny_model()
    learn_look(model, photos)
    image, labels = two_tone(64, 96, 99)
    assert quick_fit(image, labels, start=model, device="cpu").familiarity is None
    assert model.familiarity is not None


def test_large_images_are_streamed_without_it(photos: list[np.ndarray], tmp_path: Path) -> None:
    model = tiny_model()
    learn_look(model, photos)
    assert segment_to_zarr(photos[0], model, tmp_path / "labels.zarr").is_dir()
