"""A fine-tune that is no better than what there was, and what is kept then."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.model.model_file import save_model
from tests.core.builders import tiny_model
from tests.widgets.docks import by_role
from tests.widgets.train_dock import (
    WAIT,
    click,
    draw,
    fitted,
    judge_by,
    quick,
    settled,
    stroke,
    tune,
)


def test_what_was_kept_instead_of_a_fine_tune_is_called_so(
    train: Any, viewer: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 3)
    judge_by(monkeypatch, (1 / n for n in count(2)))  # no number of steps is better than none
    tune(train, qtbot)
    settled(train, qtbot)
    assert "the quick fit is kept" in train.status.text()
    assert train.version_panel.versions[0].what == "quick fit"
    assert by_role(viewer, "labels")[0].metadata["napari-gaussproto"]["fit"] == "quick fit"
    beginning = train.fits.beginning
    assert beginning.base is not beginning.made  # the next fit begins where this one did


def test_a_fine_tune_that_did_no_good_leaves_everything_as_it_was(
    train: Any, viewer: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 3)
    quick(train, qtbot)
    settled(train, qtbot)
    model, versions = train.state.model, train.version_panel.versions
    judge_by(monkeypatch, (1 / n for n in count(2)))
    tune(train, qtbot)
    settled(train, qtbot)
    assert train.status.text().startswith("Fine-tuning made labels that were set aside no better")
    assert "It took" in train.status.text() and "Fine-tuned in" not in train.status.text()
    assert train.state.model is model and train.fits.model is model
    assert train.version_panel.versions == versions
    # With strokes that the quick fit did not know, it is another one.
    stroke(train, 2, seed=9)
    tune(train, qtbot)
    settled(train, qtbot)
    assert train.state.model is not model
    assert [v.what for v in train.version_panel.versions] == ["quick fit", "quick fit"]


def test_a_fine_tune_that_did_no_good_leaves_the_version_that_was_gone_back_to(
    train: Any, viewer: Any, image: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    start = tiny_model()
    start.density_quantiles = np.linspace(-50, 10, 9, dtype=np.float32)  # it was fitted
    train.start.choose_file(save_model(start, tmp_path / "known"))
    draw(train, 3)
    quick(train, qtbot)
    settled(train, qtbot)
    with qtbot.waitSignal(train.fits.used, timeout=WAIT):
        train.versions.revert(train.version_panel.versions[0].id)
    settled(train, qtbot)
    model, versions = train.state.model, train.version_panel.versions
    labels = by_role(viewer, "labels")[0].data.copy()
    judge_by(monkeypatch, (1 / n for n in count(2)))
    tune(train, qtbot)
    settled(train, qtbot)
    assert "so the model in use stays. " in train.status.text()
    assert train.state.model is model and train.fits.model is model
    assert train.version_panel.versions == versions
    assert np.array_equal(by_role(viewer, "labels")[0].data, labels)


def test_stop_before_anything_was_better_keeps_the_quick_fit(
    train: Any, image: Any, qtbot: Any, monkeypatch: Any
) -> None:
    draw(train, 3)
    judge_by(monkeypatch, (n / 1000 for n in count(1)))
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(5000)
    with qtbot.waitSignal(train.fits.progressed, timeout=WAIT):
        click(train.budget.start)
    qtbot.waitUntil(lambda: bool(train.curves.log.losses), timeout=WAIT)
    fitted(train, qtbot, lambda: click(train.budget.stop))
    said = train.status.text()
    assert "stopped before labels that were set aside were any better" in said
    # Neither the figure of the trial, nor that more strokes are needed for one.
    assert "mIoU" not in said and "eight strokes" not in said
    settled(train, qtbot)
    assert [v.what for v in train.version_panel.versions] == ["quick fit"]
