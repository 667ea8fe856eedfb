"""Driving generators."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

from napari_gaussproto.core.steps import run, without_pauses


def counting(log: list[str]) -> Generator[int, None, str]:
    try:
        for number in range(3):
            time.sleep(0.01)
            yield number
    finally:
        log.append("closed")
    return "done"


def test_only_what_the_driver_takes_is_a_pause() -> None:
    pauses: list[float] = []
    result = run(without_pauses(counting([]), pauses.append), lambda _: time.sleep(0.05))
    assert result == "done" and len(pauses) == 3
    assert 0.15 <= sum(pauses) < 0.18 + 0.1  # the generator's own 0.03 s are not among them


def test_giving_up_closes_the_generator_inside() -> None:
    log: list[str] = []
    steps = without_pauses(counting(log), lambda _: None)
    assert next(steps) == 0
    steps.close()
    assert log == ["closed"]
    with pytest.raises(StopIteration):
        next(steps)
