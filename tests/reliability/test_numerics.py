"""Trainings that cannot go well: noticed, turned back, said, and nothing that is no number kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.descent import Trained, Watch
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.full_fit import fit
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone

IMAGE, TRUTH = two_tone(seed=3)
Image = npt.NDArray[np.uint8]
_SMALL = {"crop_size": 64, "batch_size": 2, "validate_every": 5}


def noisy() -> Image:
    """Half of the labels say another class."""
    wrong = np.random.default_rng(0).random(TRUTH.shape) < 0.5
    return np.where(wrong, 3 - TRUTH, TRUTH).astype(np.uint8)


# But for one level, or it would count as an image without data.
CONSTANT = np.full_like(IMAGE, 128)
CONSTANT[::2] += 1
CASES: dict[str, tuple[Image, Image, dict[str, Any]]] = {
    "learning rate x 100": (
        IMAGE,
        TRUTH,
        {"learning_rate": 2e-2, "backbone_learning_rate": 2e-2},
    ),
    "one class": (IMAGE, np.ones_like(TRUTH), {}),
    "constant image": (CONSTANT, TRUTH, {}),
    "label noise": (IMAGE, noisy(), {}),
}


def tuned(
    model: PrototypeSegmenter, image: Image, labels: Image, steps: int, **changes: Any
) -> tuple[Trained, list[TrainingStep]]:
    seen: list[TrainingStep] = []
    settings = TuneSettings(fine_tuning(steps=steps, **(_SMALL | changes)))
    return run(fine_tune_steps(model, [image], [labels], settings), seen.append), seen


def quality(model: PrototypeSegmenter) -> float:
    return float(measure(model, [(IMAGE, TRUTH)])["miou"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_what_cannot_be_learned_leaves_a_model_of_numbers(
    case: str, steps: int, tmp_path: Path
) -> None:
    image, labels, changes = CASES[case]
    model = tiny_model()
    trained, seen = tuned(model, image, labels, steps, **changes)
    again = load_model_file(save_model(trained.model, tmp_path / "m"))
    assert all(value.isfinite().all() for value in again.state_dict().values())
    notes = [step.note for step in seen if step.note]
    assert bool(notes) == (trained.astray is not None)
    assert trained.steps == (trained.astray or steps)
    if trained.astray is not None:
        assert quality(trained.model) > quality(model) - 0.1


@pytest.mark.parametrize("rate", [10.0, 1e30])
def test_a_training_that_goes_astray_ends_with_the_weights_from_before(rate: float) -> None:
    model = tiny_model()
    rates = {"learning_rate": rate, "backbone_learning_rate": rate}
    trained, seen = tuned(model, IMAGE, TRUTH, 200, **rates, validate_every=1)
    assert trained.astray is not None and trained.astray < 200
    assert seen[-1].stage == "finish"
    (note,) = (step.note for step in seen if step.note)
    assert f"astray at step {trained.astray}" in note and note.endswith("smaller learning rate.")
    assert trained.model.card.history[-1]["astray"] == note
    assert quality(trained.model) > quality(model) - 0.1


def test_a_fit_that_goes_astray_says_so_and_is_made_of_numbers(tmp_path: Path) -> None:
    seen: list[TrainingStep] = []
    training = tiny_training(steps=40, learning_rate=1e30, backbone_learning_rate=1e30)
    try:
        model = fit([IMAGE], [TRUTH], tiny_config(), training=training, progress=seen.append)
        save_model(model, tmp_path / "m")
    except GaussProtoError as error:
        assert str(error).endswith(".")
    assert any("astray" in step.note for step in seen)


def test_the_watch_tells_noise_from_a_way_astray() -> None:
    watch, module = Watch(2), torch.nn.Linear(1, 1)
    watch.keep(0, module)
    for step, loss in enumerate([0.4, 2.5, 0.1, 0.2, 2.0, 0.3] * 20, 1):
        watch.look(step, {"classification": loss})
        watch.keep(step, module)
    assert watch.astray is None
    kept = {key: value.clone() for key, value in module.state_dict().items()}
    for step in range(121, 150):
        watch.look(step, {"classification": 30.0})
        with torch.no_grad():
            module.weight += 1
        watch.keep(step, module)
        if watch.astray is not None:
            break
    assert watch.astray is not None and watch.astray < 130
    assert 115 <= watch.turn_back(module) <= 120
    assert torch.equal(module.weight, kept["weight"])


def test_noise_at_the_start_is_no_way_astray() -> None:
    watch = Watch(2)
    for step, loss in enumerate([25.0, 12.0, 30.0, 18.0] * 20, 1):
        watch.look(step, {"classification": loss})
    assert watch.astray is None
