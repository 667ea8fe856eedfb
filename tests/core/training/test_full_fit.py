"""A fit from raw images to a model that segments; stopping, resuming, repeating."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from napari_gaussproto.core.base.config import Augmentation
from napari_gaussproto.core.base.errors import ConfigError, LabelError, ModelFileError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import sample_cells_steps
from napari_gaussproto.core.training.descent import Clock, fit_temperature, one_cycle
from napari_gaussproto.core.training.describe import finish_steps
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.samples import CropSampler, prepare, shrink_labels
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone

PAIRS = [two_tone(seed=seed) for seed in range(3)]
IMAGES, LABELS = [image for image, _ in PAIRS], [labels for _, labels in PAIRS]
HELD_OUT = ([two_tone(seed=9)[0]], [two_tone(seed=9)[1]])


def weights(model: PrototypeSegmenter) -> dict[str, torch.Tensor]:
    return {key: value for key, value in model.state_dict().items() if value.is_floating_point()}


def same(a: PrototypeSegmenter, b: PrototypeSegmenter) -> bool:
    first, second = weights(a), weights(b)
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def fitted() -> tuple[PrototypeSegmenter, list[TrainingStep]]:
    steps: list[TrainingStep] = []
    model = fit(
        IMAGES,
        LABELS,
        tiny_config(),
        training=tiny_training(steps=30, validate_every=10, warm_up_steps=100),
        validation=HELD_OUT,
        progress=steps.append,
    )
    return model, steps


class SinglePrecision(TorchFunctionMode):
    """As a device that has no double precision, such as Apple's."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError("float64 is not supported")
        return found


def test_steps_need_no_double_precision() -> None:
    def begun(step: TrainingStep) -> None:
        if step.stage == "joint" and step.labelled_miou is not None:
            raise StopIteration

    with SinglePrecision(), pytest.raises(StopIteration):
        fit(IMAGES, LABELS, tiny_config(), training=tiny_training(steps=2), progress=begun)


def test_a_fit_learns_what_it_was_shown(
    fitted: tuple[PrototypeSegmenter, list[TrainingStep]],
) -> None:
    model, _ = fitted
    measures = measure(model, zip(*HELD_OUT, strict=True))
    assert measures["miou"] > 0.8
    assert set(measures["iou"]) == {"soil", "plant"}
    assert 0 <= measures["ece"] < 0.2


def test_stages_come_in_order_and_validate(
    fitted: tuple[PrototypeSegmenter, list[TrainingStep]],
) -> None:
    _, steps = fitted
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["features", "warm-up", "layer", "joint", "validation", "finish"]
    joint = [step for step in steps if step.stage == "joint"]
    assert len(joint) == 30
    assert set(joint[0].losses) == {"classification", "density", "diversity"}
    assert [step.step for step in joint if step.validation_miou is not None] == [10, 20, 30]
    assert joint[-1].seconds_left == 0


def test_every_prototype_is_described_by_its_data(
    fitted: tuple[PrototypeSegmenter, list[TrainingStep]],
) -> None:
    model, _ = fitted
    assert len(model.prototypes) == model.layer.n_prototypes
    for prototype in model.prototypes:
        assert prototype.patches.shape[1:] == (48, 48, 3)
        assert 0.01 <= prototype.usage <= 1
        assert 0.5 <= prototype.purity <= 1
        assert (np.diff(prototype.distance_quantiles) >= 0).all()
    for c in range(2):
        own = [p.usage for p in model.prototypes if p.class_index == c]
        assert sum(own) == pytest.approx(1, abs=1e-4)
    assert (np.diff(model.density_quantiles) >= 0).all()
    assert model.card.history[-1]["images"] == 3


def test_own_patches_are_typical_and_other_classes_are_not(
    fitted: tuple[PrototypeSegmenter, list[TrainingStep]],
) -> None:
    model, _ = fitted
    segmentation = segment(IMAGES[0], model)
    inside = {1: [], 2: []}
    for m, prototype in enumerate(model.prototypes):
        typicality = segmentation.likelihood(m)
        for label in (1, 2):
            own = prototype.class_index + 1 == label
            inside[label].append((own, typicality[LABELS[0] == label].mean()))
    for label in (1, 2):
        best_own = max(value for own, value in inside[label] if own)
        best_other = max(value for own, value in inside[label] if not own)
        assert best_own > best_other


def test_the_same_seed_gives_the_same_model_and_another_does_not() -> None:
    def train(seed: int) -> PrototypeSegmenter:
        return fit(IMAGES, LABELS, tiny_config(), training=tiny_training(), seed=seed)

    first = train(1)
    assert same(first, train(1))
    assert not same(first, train(2))


def test_a_killed_training_resumes_to_the_same_model(tmp_path: Path) -> None:
    options = {"training": tiny_training(steps=6), "validation": HELD_OUT}
    unbroken = fit(IMAGES, LABELS, tiny_config(), **options)
    checkpoint = tmp_path / "state.safetensors"

    def kill(step: TrainingStep) -> None:
        if step.stage == "joint" and step.step == 5:  # after the checkpoint of step 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(IMAGES, LABELS, tiny_config(), checkpoint=checkpoint, progress=kill, **options)
    resumed_steps: list[TrainingStep] = []
    resumed = fit(
        IMAGES,
        LABELS,
        tiny_config(),
        checkpoint=checkpoint,
        progress=resumed_steps.append,
        **options,
    )
    assert resumed_steps[0].stage == "joint" and resumed_steps[0].step == 5
    assert same(unbroken, resumed)


def test_a_file_that_is_no_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"x" * 40)
    with pytest.raises(ModelFileError, match="can be resumed"):
        fit(IMAGES, LABELS, tiny_config(), training=tiny_training(), checkpoint=path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a training of four steps."""
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    fit(IMAGES, LABELS, tiny_config(), training=tiny_training(), checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("config", "options", "what"),
    [
        ({"latent_dim": 6}, {}, "another model"),
        ({"classes": ["x", "y"]}, {}, "another model"),
        ({}, {"seed": 5}, "another seed"),
        ({}, {"training": tiny_training(learning_rate=1e-3)}, "another settings"),
    ],
)
def test_a_checkpoint_of_another_training_is_a_sentence(
    checkpoint: Path, config: dict[str, Any], options: dict[str, Any], what: str
) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises(ConfigError, match=f"{what}.*delete it"):
        fit(
            IMAGES,
            LABELS,
            tiny_config(**config),
            checkpoint=checkpoint,
            **{"training": tiny_training(), **options},
        )
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_of_other_labels_is_a_sentence(checkpoint: Path) -> None:
    fewer = [labels.copy() for labels in LABELS]
    fewer[0][:9] = 0
    with pytest.raises(ConfigError, match="another labels"):
        fit(IMAGES, fewer, tiny_config(), training=tiny_training(), checkpoint=checkpoint)


def test_a_checkpoint_of_other_photographs_is_a_sentence(checkpoint: Path) -> None:
    darker = [image // 2 for image in IMAGES]
    with pytest.raises(ConfigError, match="another pixels"):
        fit(darker, LABELS, tiny_config(), training=tiny_training(), checkpoint=checkpoint)


def test_more_steps_go_on_where_the_checkpoint_ended(checkpoint: Path) -> None:
    longer = tiny_training(steps=6)
    model = fit(IMAGES, LABELS, tiny_config(), training=longer, checkpoint=checkpoint)
    assert model.card.history[-1]["steps"] == 6


def test_minutes_are_counted_over_a_resumption() -> None:
    clock = Clock(steps=10, minutes=1.0)
    clock.begin(first=4, seconds_before=45.0)
    assert clock.progress(4) == pytest.approx(0.75, abs=0.01)
    assert clock.left(4) == pytest.approx(15, abs=0.5)
    clock.begin(first=4, seconds_before=61.0)
    assert clock.over(4)


@pytest.mark.parametrize(
    "budget", [{"steps": 0}, {"steps": -3}, {"minutes": 0}, {"minutes": -1}, {"minutes": math.nan}]
)
def test_a_budget_of_nothing_is_a_sentence(budget: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        fit(IMAGES, LABELS, tiny_config(), training=tiny_training(), **budget)


@pytest.mark.parametrize("side", [65, 66, 70])
def test_crops_that_are_no_whole_cells_are_a_sentence(side: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        fit(IMAGES, LABELS, tiny_config(), training=tiny_training(crop_size=side))


def test_crops_of_any_number_of_cells() -> None:
    training = tiny_training(steps=1, crop_size=68)
    assert fit(IMAGES, LABELS, tiny_config(), training=training).layer.mean.isfinite().all()


@pytest.mark.parametrize("zoom", [(0, 1), (-1, 1), (1.5, 0.75)])
def test_a_zoom_that_cannot_be_is_refused(zoom: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="zoom"):
        Augmentation(zoom=zoom)


def test_validation_images_without_labels_are_a_sentence() -> None:
    nothing = ([IMAGES[0]], [np.zeros_like(LABELS[0])])
    with pytest.raises(LabelError, match="validation"):
        fit(IMAGES, LABELS, tiny_config(), training=tiny_training(), validation=nothing)


def test_stopping_keeps_the_best_model_so_far() -> None:
    steps: list[TrainingStep] = []
    model = fit(
        IMAGES,
        LABELS,
        tiny_config(),
        training=tiny_training(steps=1000),
        validation=HELD_OUT,
        progress=steps.append,
        stop=lambda: sum(step.stage == "joint" for step in steps) >= 2,
    )
    joint = [step for step in steps if step.stage == "joint"]
    assert len(joint) == 3
    assert joint[-1].validation_miou is not None
    assert model.prototypes[0].patches.shape[0] > 0


def test_stopping_while_the_model_is_judged_ends_without_another_step() -> None:
    steps: list[TrainingStep] = []
    fit(
        IMAGES,
        LABELS,
        tiny_config(),
        training=tiny_training(steps=1000, validate_every=2),
        validation=HELD_OUT,
        progress=steps.append,
        stop=lambda: any(step.stage == "validation" for step in steps),
    )
    judged = [step.step for step in steps if step.stage == "validation"]
    assert set(judged) == set(range(1, len(HELD_OUT[0]) + 1)) and judged == sorted(judged)
    joint = [step for step in steps if step.stage == "joint"]
    assert len(joint) == 2 and joint[-1].validation_miou is not None


def test_a_budget_in_minutes_ends_by_itself() -> None:
    steps: list[TrainingStep] = []
    fit(
        IMAGES,
        LABELS,
        tiny_config(),
        training=tiny_training(steps=100_000),
        minutes=0.03,
        progress=steps.append,
    )
    joint = [step for step in steps if step.stage == "joint"]
    assert 1 <= len(joint) < 1000
    assert joint[-1].seconds_left == 0


def test_strokes_are_enough() -> None:
    strokes = []
    for labels in LABELS:
        sparse = np.zeros_like(labels)
        sparse[::16, ::4] = labels[::16, ::4]
        strokes.append(sparse)
    model = fit(
        IMAGES,
        strokes,
        tiny_config(),
        training=tiny_training(steps=20, warm_up_steps=100),
        validation=HELD_OUT,
    )
    assert measure(model, zip(*HELD_OUT, strict=True))["miou"] > 0.7


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([LABELS[0][:50], *LABELS[1:]], "same height and width"),
        ([LABELS[0].astype(float), *LABELS[1:]], "whole numbers"),
        ([LABELS[0] * 3, *LABELS[1:]], "there are 2 classes"),
        ([np.ones_like(labels) for labels in LABELS], "No pixel is labelled as “plant”"),
        (LABELS[:2], "one label image for every image"),
    ],
)
def test_labels_that_cannot_be_used_are_sentences(labels: list, sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence):
        fit(IMAGES, labels, tiny_config())


def test_crops_depend_on_the_step_alone_and_fit_their_labels() -> None:
    data = prepare(IMAGES, LABELS, tiny_config())
    augmentation = tiny_training().augmentation
    one = CropSampler(data, 2, 64, augmentation, seed=3)
    other = CropSampler(data, 2, 64, augmentation, seed=3)
    one.batch(0, 2)
    crops, again = one.batch(7, 4), other.batch(7, 4)
    images, labels = crops.images, crops.labels
    assert torch.equal(images, again.images) and torch.equal(labels, again.labels)
    assert images.shape == (4, 3, 64, 64) and images.min() >= 0 and images.max() <= 1
    # Green is where the labels say plant: image and labels were moved together.
    greener = (images[:, 1] - images[:, 0]) > 0
    known = labels > 0
    assert ((labels == 2) == greener)[known].float().mean() > 0.9


def test_crops_leave_the_numbers_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sown: list[int] = []
    data, before = prepare(IMAGES, LABELS, tiny_config()), torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", sown.append)
    monkeypatch.setattr(torch, "manual_seed", sown.append)  # it sows those of every device
    CropSampler(data, 2, 64, tiny_training().augmentation, seed=3).batch(7, 4)
    assert torch.equal(torch.get_rng_state(), before) and not sown


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_crops_of_any_number_of_channels_change_their_light(channels: int) -> None:
    image = np.random.default_rng(0).integers(90, 110, (96, 96, channels)).astype(np.uint8)
    config = tiny_config(channels=channels)
    data = prepare([image], [np.ones((96, 96), np.uint8)], config, every_class=False)
    light = Augmentation(zoom=(1, 1), rotation_degrees=0)
    images = CropSampler(data, 2, 64, light, seed=3).batch(0, 8).images
    means = images.mean((1, 2, 3))
    assert images.shape == (8, channels, 64, 64) and means.max() > 1.2 * means.min()


def test_thin_strokes_survive_shrinking() -> None:
    labels = torch.zeros(33, 40, dtype=torch.uint8)
    labels[5, :] = 2
    small = shrink_labels(labels, 4, 2)
    assert small.shape == (9, 10)
    assert (small[1] == 2).all() and small.sum() == 20


def test_what_is_too_thin_is_told_as_that() -> None:
    labels = np.ones((96, 128), np.uint8)
    labels[40] = 2
    with pytest.raises(LabelError, match="as “plant” is thinner than half a square of 4 pixels"):
        prepare([IMAGES[0]], [labels], tiny_config(downsample=4))


def test_learning_rate_rises_and_falls() -> None:
    values = [one_cycle(p) for p in np.linspace(0, 1, 101)]
    assert max(values) == pytest.approx(1, abs=0.01)
    assert values[0] < 0.1 and values[-1] < 0.01
    assert np.argmax(values) == 25


def test_the_temperature_is_that_of_the_prototypes_that_are_kept() -> None:
    model, config = tiny_model(prototypes_per_class=4), tiny_training(min_hellinger=0.9)
    data, validation = (prepare(*pair, model.config) for pair in ((IMAGES, LABELS), HELD_OUT))
    for _ in finish_steps(model, data, validation, config, 0):
        pass
    assert model.layer.n_prototypes < 8
    told = model.layer.temperature.item()
    fit_temperature(model.layer, run(sample_cells_steps(model, validation, 0)), exactly=True)
    assert told == pytest.approx(model.layer.temperature.item(), rel=0.02)
