"""Driving generators."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace

import pytest

from napari_gaussproto.core.base import steps as steps_module
from napari_gaussproto.core.base.steps import WithValue, run, without_pauses


def counting(log: list[str]) -> Generator[int, None, str]:
    try:
        yield from range(3)
    finally:
        log.append("closed")
    return "done"


def test_a_loop_gives_steps_and_then_the_value() -> None:
    work = WithValue(counting([]))
    assert list(work) == [0, 1, 2] and work.value == "done"


def test_a_generator_without_steps_has_a_value() -> None:
    def at_once() -> Generator[int, None, str]:
        return "done"
        yield

    assert run(at_once()) == "done"


def test_only_what_the_driver_takes_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(steps_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def working() -> Generator[int, None, str]:
        for number in range(3):
            now[0] += 100
            yield number
        return "done"

    def rest(_: int) -> None:
        now[0] += 7

    pauses: list[float] = []
    assert run(without_pauses(working(), pauses.append), rest) == "done"
    assert pauses == [7, 7, 7]


def test_giving_up_closes_the_generator_inside() -> None:
    log: list[str] = []
    steps = without_pauses(counting(log), lambda _: None)
    assert next(steps) == 0
    steps.close()
    assert log == ["closed"]
    with pytest.raises(StopIteration):
        next(steps)
