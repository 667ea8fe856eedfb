"""What the dock's buttons do is what the functions of the library do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import encode_pyramid, latents_of_image
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.core.training.trial_fit import fine_tune
from tests.core.builders import TINY_BACKBONE, tiny_model
from tests.widgets.docks import by_role
from tests.widgets.train_dock import draw, quick, tune


def agree(train: Any, viewer: Any, image: Any, model: PrototypeSegmenter) -> None:
    """The dock's model and labels are those of a model."""
    ours, theirs = model.state_dict(), train.state.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    (shown,) = by_role(viewer, "labels")
    cells = latents_of_image(model, encode_pyramid(image.data, model))
    assert np.array_equal(model.decode(cells).labels, shown.data)


def test_the_button_quick_fit_is_the_function(
    train: Any, viewer: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    quick(train, qtbot)
    new = NewModel(backbone=TINY_BACKBONE, pretrained=False, downsample=1)
    labels, classes = train.annotations.open[0].labels, train.annotations.classes
    agree(train, viewer, image, quick_fit(image.data, labels, new, classes=classes, device="auto"))


def test_the_button_fine_tune_is_the_function(
    train: Any, viewer: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    model = tiny_model()
    model.density_quantiles = np.linspace(-50, 10, 9, dtype=np.float32)  # as after a fit
    path = save_model(model, tmp_path / "field")
    train.start.choose_file(path)
    draw(train, strokes=3)
    tune(train, qtbot, steps=2)
    labels = train.annotations.open[0].labels
    agree(train, viewer, image, fine_tune(image.data, labels, path, steps=2))
