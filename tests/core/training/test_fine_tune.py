"""Fine-tuning end to end: what moves, what stays, what stopping and resuming give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.editing.edits import turn_off
from napari_gaussproto.core.editing.new_classes import unfitted
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import LabelledCells
from napari_gaussproto.core.training.descent import RunSettings
from napari_gaussproto.core.training.fine_tune import (
    FineTuner,
    TuneSettings,
    fine_tune_steps,
    fine_tuning,
    strong_view,
)
from napari_gaussproto.core.training.samples import Crops, prepare
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.trainer import Trainer
from tests.core.builders import tiny_model, tiny_training, two_tone

IMAGE, TRUTH = two_tone(seed=3)
ALL_TERMS = SemiSettings(
    density=0.1, soft_labels=0.1, pseudo_labels=0.5, affinity=0.2, anchoring=0.01, tau=0.6
)


def strokes() -> npt.NDArray[np.uint8]:
    """Every twelfth row, four pixels wide."""
    labels = TRUTH.copy()
    labels[np.arange(len(labels)) % 24 > 4] = 0
    return labels


def tuned(
    model: PrototypeSegmenter, settings: TuneSettings, **options: Any
) -> tuple[PrototypeSegmenter, list[TrainingStep]]:
    steps: list[TrainingStep] = []
    fine_tune = fine_tune_steps(model, [IMAGE], [strokes()], settings, **options)
    return run(fine_tune, steps.append).model, steps


def weights(model: PrototypeSegmenter) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("partition", ["grid", "superpixel"])
def test_all_terms_together_move_the_backbone_and_not_the_start(partition: str) -> None:
    model = tiny_model(partition=partition, region_size=8)
    before = weights(model)
    other, _ = two_tone(seed=8)
    settings = TuneSettings(tiny_training(steps=3), semi=ALL_TERMS)
    result, steps = tuned(model, settings, unlabelled=[other])
    assert same(weights(model), before)
    backbone = "extractor.backbone.network.conv_stem.weight"
    assert not torch.equal(result.state_dict()[backbone], before[backbone])
    joint = [step for step in steps if step.stage == "joint"]
    assert len(joint) == 3
    for step in joint:
        assert {
            "classification",
            "density",
            "diversity",
            "affinity",
            "unlabelled density",
            "soft labels",
            "pseudo-labels",
            "anchoring",
            "gate",
        } == set(step.losses)
        assert all(np.isfinite(value) for value in step.losses.values())
    assert joint[0].losses["anchoring"] == 0 < joint[-1].losses["anchoring"]
    assert result.card.history[-1]["what"] == "fine-tune"
    assert result.card.history[-1]["semi"]["tau"] == 0.6


def test_a_result_says_how_long_the_best_weights_were_trained() -> None:
    settings = TuneSettings(tiny_training(steps=3, validate_every=1))
    steps: list[TrainingStep] = []
    fine_tune = fine_tune_steps(
        tiny_model(), [IMAGE], [strokes()], settings, validation=([IMAGE], [TRUTH])
    )
    trained = run(fine_tune, steps.append)
    start = [step.validation_miou for step in steps if step.stage == "start"]
    judged = [step.validation_miou for step in steps if step.stage == "joint"]
    assert trained.steps == 3
    assert trained.validation_miou == max(start + judged)
    assert (start + judged)[trained.best_step] == trained.validation_miou
    assert trained.looks == len(start + judged) == trained.model.card.history[-1]["looks"]


class FixedStatistics(Trainer):
    """A trainer that leaves the statistics of normalisations alone."""

    def crop_cells(self, crops: Crops, model: PrototypeSegmenter) -> LabelledCells:
        return super().crop_cells(crops, model.eval())


def test_all_terms_off_is_supervised_training() -> None:
    data = prepare([IMAGE], [strokes()], tiny_model().config)
    results = []
    training = tiny_training(steps=3)
    for trainer in (
        FixedStatistics(tiny_model(), data, [], RunSettings(training)),
        FineTuner(tiny_model(), data, [], TuneSettings(training, semi=SemiSettings.only())),
    ):
        steps = list(trainer.joint())
        results.append((weights(trainer.model), [step.losses for step in steps]))
    assert same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("density", "unlabelled density"),
        ("soft_labels", "soft labels"),
        ("pseudo_labels", "pseudo-labels"),
        ("affinity", "affinity"),
        ("anchoring", "anchoring"),
    ],
)
def test_each_term_can_be_on_alone(name: str, term: str) -> None:
    data = prepare([IMAGE], [strokes()], tiny_model().config)
    settings = TuneSettings(tiny_training(steps=2), semi=SemiSettings.only(**{name: 0.5}))
    losses = [step.losses for step in FineTuner(tiny_model(), data, [], settings).joint()]
    supervised = {"classification", "density", "diversity"}
    assert set(losses[0]) - supervised - {"gate"} == {term}
    assert ("gate" in losses[0]) == (name == "pseudo_labels")


def test_stopping_keeps_the_best_and_the_start_counts() -> None:
    model = tiny_model()
    # A rate that ruins the model: nothing beats the start.
    training = tiny_training(
        steps=20, validate_every=1, learning_rate=1.0, backbone_learning_rate=1.0, ema_decay=0.0
    )
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 5  # after each step, and after it was judged

    settings = TuneSettings(training, stop=stop)
    result, steps = tuned(model, settings, validation=([IMAGE], [TRUTH]))
    stages = [step.stage for step in steps]
    assert stages[:4] == ["validation", "start", "validation", "joint"]
    assert [s for s in stages if s != "validation"][:4] == ["start", "joint", "joint", "joint"]
    assert sum(step.stage == "joint" for step in steps) == 3
    judged = [step.validation_miou for step in steps if step.validation_miou is not None]
    assert judged[0] == max(judged) > min(judged)
    extractor = {k: v for k, v in weights(model).items() if k.startswith("extractor.")}
    kept = weights(result)
    assert all(torch.equal(kept[key], value) for key, value in extractor.items())


def test_a_killed_fine_tuning_resumes_to_the_same_model(tmp_path: Path) -> None:
    model = tiny_model()
    settings = TuneSettings(tiny_training(steps=4, validate_every=2), semi=ALL_TERMS)
    unbroken, _ = tuned(model, settings)
    settings = replace(settings, checkpoint=tmp_path / "state.safetensors")
    steps = fine_tune_steps(model, [IMAGE], [strokes()], settings)
    for step in steps:
        if step.stage == "joint" and step.step == 3:  # after the checkpoint of step 2
            break
    steps.close()
    resumed, _ = tuned(model, settings)
    assert same(weights(resumed), weights(unbroken))


def test_a_class_may_be_without_strokes() -> None:
    model = tiny_model()
    labels = np.where(strokes() == 2, 2, 0).astype(np.uint8)
    settings = TuneSettings(tiny_training(steps=1))
    result = run(fine_tune_steps(model, [IMAGE], [labels], settings)).model
    assert set(result.layer.class_index.tolist()) == {0, 1}
    with pytest.raises(LabelError, match="Nothing is labelled"):
        run(fine_tune_steps(model, [IMAGE], [np.zeros_like(labels)], settings))


def test_statistics_of_normalisations_stay() -> None:
    model = tiny_model()
    result, _ = tuned(model, TuneSettings(tiny_training(steps=3), semi=ALL_TERMS))
    before, after = weights(model), weights(result)
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert all(torch.equal(before[key], after[key]) for key in statistics)


def known_model(classes: tuple[str, ...] = ("soil", "plant", "stone")) -> PrototypeSegmenter:
    """A model that was fitted to its image before, with a class that is never drawn here."""
    model = adapt(tiny_model(), ModelConfig(classes=list(classes)).classes, {0: 0, 1: 1})
    rng = np.random.default_rng(0)
    with torch.no_grad():
        # The former knowledge of stones, far from all cells; nearly the same place twice.
        model.layer.mean[4:] = 50.0
        model.layer.mean[5] += 1e-3
        model.layer.active[4:] = True
        # A prototype of soil that no cell uses.
        model.layer.mean[1] = -50.0
    for prototype in model.prototypes:
        prototype.name = f"my {prototype.name}"
        prototype.patches = rng.integers(0, 255, (2, 48, 48, 3)).astype(np.uint8)
        prototype.patch_labels = np.full(2, prototype.class_index)
        prototype.distance_quantiles = np.linspace(0, 9, 101, dtype=np.float32)
        prototype.usage = 0.5
    model.density_quantiles = np.linspace(-9, 0, 101, dtype=np.float32)
    return model


def test_what_the_strokes_do_not_use_is_not_lost() -> None:
    model = known_model()
    # So many that dead prototypes are searched for on the way.
    settings = TuneSettings(fine_tuning(steps=102, batch_size=2, crop_size=64))
    result, _ = tuned(model, settings)
    assert [p.name for p in result.prototypes] == [p.name for p in model.prototypes]
    assert result.layer.active.all()
    for m in (1, 4, 5):
        before, after = model.prototypes[m], result.prototypes[m]
        assert np.array_equal(after.patches, before.patches)
        assert np.array_equal(after.distance_quantiles, before.distance_quantiles)
        assert after.usage == 0.5
        # Beyond what such steps can do: nobody gave it a new place.
        moved = (result.layer.mean[m] - model.layer.mean[m]).detach().abs().max()
        assert float(moved) < 0.1
    assert not np.array_equal(result.prototypes[2].patches, model.prototypes[2].patches)
    assert np.array_equal(result.density_quantiles, model.density_quantiles)


def test_a_fine_tuning_that_may_tidy_does() -> None:
    model = known_model()
    result, _ = tuned(model, TuneSettings(tiny_training(steps=1, min_usage=0.01)))
    assert result.layer.n_prototypes < model.layer.n_prototypes


def test_a_new_class_is_placed_before_it_is_trained() -> None:
    model = adapt(tiny_model(), ModelConfig(classes=["soil", "plant", "stone"]).classes)
    image, labels = IMAGE.copy(), strokes()
    image[30:60, 90:128] = [60, 70, 190]
    labels[34:56, 96:124] = 3
    settings = TuneSettings(fine_tuning(steps=2, batch_size=2, crop_size=64), semi=ALL_TERMS)
    result = run(fine_tune_steps(model, [image], [labels], settings)).model
    assert result.layer.active.all()
    assert not unfitted(result)
    found = segment(image, result).labels
    assert (found[34:56, 96:124] == 3).mean() > 0.5
    assert not model.layer.active[4:].any()
    # Without strokes of it, it waits, and does no harm to any term.
    waits, steps = tuned(model, settings)
    assert unfitted(waits) == [4, 5]
    assert all(np.isfinite(list(step.losses.values())).all() for step in steps)
    assert max(value for step in steps for value in step.losses.values()) < 1e3
    off = turn_off(turn_off(tiny_model(), 0), 1)
    with pytest.raises(LabelError, match="“soil” is labelled, but all its prototypes"):
        tuned(off, settings)


def test_earlier_labels_are_mixed_into_the_batches() -> None:
    model = tiny_model()
    other, truth = two_tone(seed=8)
    only = np.where(strokes() == 2, 2, 0).astype(np.uint8)
    settings = TuneSettings(tiny_training(steps=2))
    counted = [
        run(fine_tune_steps(model, images, labels, settings)).model
        for images, labels in (([IMAGE], [only]), ([IMAGE, other], [only, truth]))
    ]
    assert [result.card.history[-1]["images"] for result in counted] == [1, 2]
    assert not same(weights(counted[0]), weights(counted[1]))


def test_a_strong_view_is_another_light_of_the_same_crop() -> None:
    images = torch.rand(3, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    view = strong_view(images, (0, 1))
    assert torch.equal(view, strong_view(images, (0, 1)))
    assert not torch.equal(view, strong_view(images, (0, 2)))
    assert float(view.min()) >= 0
    assert float(view.max()) <= 1
    for before, after in zip(images.flatten(0, 1), view.flatten(0, 1), strict=True):
        pair = torch.stack([before.flatten(), after.flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.8


def test_fine_tuning_learns_slower_than_a_fit() -> None:
    assert fine_tuning(steps=7).steps == 7
    assert fine_tuning().backbone_learning_rate < tiny_training().backbone_learning_rate
