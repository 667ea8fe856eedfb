"""The same seed, machine and threads give the same bytes, also after a kill on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.core.training.trial_fit import trial_fit_steps
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone
from tests.reliability import digests
from tests.reliability.scenes import segment_all

IMAGE, TRUTH = two_tone(seed=3)
_TUNING: dict[str, Any] = {"crop_size": 64, "batch_size": 2, "validate_every": 1}


def strokes() -> np.ndarray:
    labels = np.zeros_like(TRUTH)
    for row in (10, 30, 50, 70):
        labels[row : row + 3, 5:120] = TRUTH[row : row + 3, 5:120]
    return labels


def fitted(checkpoint: Path | None = None, progress: Any = None) -> str:
    model = fit(
        [IMAGE],
        [TRUTH],
        tiny_config(),
        training=tiny_training(),
        validation=([IMAGE], [TRUTH]),
        checkpoint=checkpoint,
        progress=progress,
    )
    return digests.of_model(model)


def tuned(checkpoint: Path | None = None, progress: Any = None) -> str:
    settings = TuneSettings(fine_tuning(steps=4, **_TUNING), checkpoint=checkpoint)
    steps = fine_tune_steps(tiny_model(), [IMAGE], [strokes()], settings)
    return digests.of_model(run(steps, progress).model)


def tried(checkpoint: Path | None = None, progress: Any = None) -> str:
    """A fine-tune as the Train dock runs it: a trial, then the final training."""
    training = fine_tuning(steps=6, learning_rate=4e-3, **_TUNING)
    settings = TuneSettings(training, checkpoint=checkpoint, judge=_distance)
    sources = [ImageSource.from_array(IMAGE)]
    steps = trial_fit_steps(tiny_model(), sources, [strokes()], settings)
    return digests.of_model(run(steps, progress).model)


_start: list[torch.Tensor] = []


def _distance(model: PrototypeSegmenter, _: Any) -> Any:
    """A judge by which the last weights are the best: how far the prototypes moved."""
    yield 1
    _start[:] = _start or [model.layer.mean.clone()]
    return float((model.layer.mean - _start[0]).abs().sum())


def quickly_fitted() -> str:
    return digests.of_model(quick_fit(IMAGE, strokes(), tiny_model()))


def segmented() -> str:
    found = segment(IMAGE, tiny_model())
    maps = [found.novelty(), found.uncertainty(), found.log_likelihood(0)]
    return b"".join([found.labels.tobytes(), *(values.tobytes() for values in maps)]).hex()


@pytest.mark.parametrize("made", [fitted, quickly_fitted, tuned, tried, segmented])
def test_the_same_seed_gives_the_same_bytes(made: Callable[[], str]) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = made()
    torch.manual_seed(2)
    np.random.seed(2)
    assert made() == first


def test_a_batch_writes_the_same_bytes(tmp_path: Path) -> None:
    segment_all(tmp_path, lambda _: None)
    found = find([str(tmp_path / "season")], tmp_path / "again")
    run(batch_steps(BatchRequest(tiny_model(), found, tmp_path / "again")))
    first = digests.of_labels(tmp_path / "out")
    assert len(first) > 4 and first == digests.of_labels(tmp_path / "again")


@pytest.mark.parametrize(
    ("made", "stage", "count"),
    [(fitted, "joint", 3), (tuned, "joint", 2), (tried, "trial", 2), (tried, "final", 1)],
)
def test_resumed_is_as_good_as_uninterrupted(
    made: Callable[..., str], stage: str, count: int, tmp_path: Path
) -> None:
    checkpoint, seen = tmp_path / "state.safetensors", 0

    def kill(step: Any) -> None:
        nonlocal seen
        seen += getattr(step, "stage", "") == stage
        if seen == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(checkpoint, kill)
    assert checkpoint.exists()
    assert made(checkpoint) == made()
