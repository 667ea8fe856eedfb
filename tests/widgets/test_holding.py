"""The window answers while a person works: the small form of `benchmarks.speed.gui`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QTimer

from benchmarks.speed.gui import WANTED_MS, measure, table
from benchmarks.speed.gui_scenes import Changes, Everyday
from benchmarks.speed.holding import Holding, until
from napari_gaussproto.io.field import synthetic_field
from tests.reliability.connections import refused


def nothing() -> None:
    """What is done by no code of ours."""


def busy(work: Callable[[], object], milliseconds: float = 150) -> None:
    """Do something again and again until it took so long on the processor."""
    end = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < end:
        work()


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_holds_the_loop_is_told_apart(qtbot: Any, is_ours: bool) -> None:
    done: list[bool] = []

    def work() -> None:
        busy(partial(synthetic_field, 60, 80) if is_ours else nothing)
        done.append(True)

    with Holding() as holding:
        QTimer.singleShot(0, work)
        until(lambda: bool(done))
    hold = holding.hold
    assert hold.clock >= hold.processor - 5 > 140
    assert (hold.ours > hold.processor / 2) == is_ours
    assert bool(hold.where) == is_ours


def test_our_code_never_holds_the_window_and_opens_no_connection(
    make_napari_viewer: Any, model_file: Path, qtbot: Any
) -> None:
    with refused() as attempts:
        found = measure(Everyday(600, 800, model_file, make_napari_viewer))
    assert attempts == []
    assert len(found) == 20 and "Bring it back" in table(found)
    slow = {name: hold for name, hold in found.items() if hold.ours > WANTED_MS}
    assert not slow


def test_no_change_holds_the_window(make_napari_viewer: Any, model_file: Path, qtbot: Any) -> None:
    found = measure(Changes(600, 800, model_file, make_napari_viewer))
    assert len(found) == 21 and "a class is removed" in table(found)
    assert not {name: hold for name, hold in found.items() if hold.ours > WANTED_MS}
