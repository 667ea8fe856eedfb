"""The dock proposes the better start and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.summary import model_path
from tests.core.builders import tiny_model
from tests.widgets.train_dock import WAIT, click, draw, quick

NEW = "A new model, on a grid"
FIELD = [SegmentationClass(name=name, color="#999999") for name in ("soil", "crop", "weed")]


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """A model that knows the classes, and to which everything looks alike."""
    model = tiny_model()
    model.card.name = "blind"
    with torch.no_grad():
        for parameter in model.extractor.neck.parameters():
            parameter.zero_()
    model.density_quantiles = np.linspace(-50, 10, 9, dtype=np.float32)
    return save_model(model, tmp_path / "blind")


def said(train: Any) -> str:
    proposal = train.proposal
    return str(proposal.note.text()) if proposal.isVisibleTo(train) else ""


def offers(train: Any) -> bool:
    return bool(train.proposal.button.isVisibleTo(train))


def shown(train: Any) -> str:
    return str(train.start.model.combo.currentText())


def compared(train: Any, qtbot: Any) -> None:
    """Wait until the starts were compared after a fit."""
    with qtbot.waitSignal(train.proposal.runner.finished, timeout=WAIT):
        pass


def test_names_of_classes_are_a_reason_before_anything_is_drawn(train: Any, image: Any) -> None:
    assert "“plants” knows soil and plant" in said(train) and offers(train)
    assert "Versions" not in train.proposal.button.toolTip()  # nothing was fitted
    train.annotations.set_table([SegmentationClass(name=name, color="#999999") for name in "ab"])
    assert "no shipped one knows" in said(train) and not offers(train)
    train.annotations.set_table(FIELD)
    assert "“peanut-grid” knows soil, crop and weed" in said(train) and offers(train)
    click(train.proposal.button)
    assert train.start.path == model_path("peanut-grid")
    assert train.fits.beginning.chosen.file == model_path("peanut-grid")
    assert "already" in said(train) and not offers(train)
    train.start.choose_new()
    assert "begin with it where" in said(train)
    train.start.choose_new(superpixels=True)
    assert "peanut-superpixel" in said(train)


def test_the_start_that_tells_strokes_better_is_proposed(
    train: Any, image: Any, blind: Path, qtbot: Any
) -> None:
    train.start.choose_file(blind)
    assert "blind” knows soil and plant already" in said(train)
    draw(train, strokes=8)
    assert not said(train)
    quick(train, qtbot)
    compared(train, qtbot)
    assert "A new model would fit these strokes better: in a trial of both it gets " in said(train)
    assert said(train).endswith("“blind” 50%.") and offers(train)
    assert shown(train) != NEW  # it is only proposed
    assert train.proposal.button.toolTip() == "What was fitted before is kept in Versions"
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.proposal.button)
    assert shown(train) == NEW and train.state.model.card.name == "grid model, fitted"
    assert not said(train)
    # Choosing the former one again takes it back, and it is not proposed a second time.
    train.start.choose_path(blind)
    quick(train, qtbot)
    qtbot.wait(1500)
    assert train.state.model.card.name == "blind, fitted" and not train.proposal.runner.busy
    assert not offers(train)


def test_few_strokes_say_nothing(train: Any, image: Any, blind: Path, qtbot: Any) -> None:
    train.start.choose_file(blind)
    draw(train, strokes=2)
    quick(train, qtbot)
    compared(train, qtbot)
    assert not said(train)


def test_a_fit_does_not_wait(train: Any, image: Any, blind: Path, qtbot: Any) -> None:
    train.start.choose_file(blind)
    draw(train, strokes=8)
    quick(train, qtbot)
    qtbot.waitUntil(lambda: train.proposal.runner.running, timeout=WAIT)
    click(train.quick)
    assert not train.proposal.runner.running and train.fits.phase == "fitting"
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=WAIT)
    compared(train, qtbot)  # afterwards it is made up for
    assert offers(train)


def test_a_comparison_that_fails_says_nothing(
    train: Any, image: Any, qtbot: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise LabelError("Nothing is labelled yet.")

    before = said(train)
    with caplog.at_level("INFO", logger="napari_gaussproto.widgets.train.fitting.proposal"):
        train.proposal.runner.start(fail)
        compared(train, qtbot)
    assert said(train) == before
    (record,) = caplog.records
    assert "not compared: Nothing is labelled" in record.message and not record.exc_info
