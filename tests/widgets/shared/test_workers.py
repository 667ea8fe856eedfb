"""Work in a thread: what is shown of it, and that it rests and goes on as it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_gaussproto.core.base import steps as steps_module
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.jobs import fit
from napari_gaussproto.widgets.shared.workers import Runner, soon

WAIT = 10_000


@dataclass
class Tiles:
    """Work of one tile that takes until it is let go, and of quick ones after it."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    done: int = 0

    def __call__(self) -> Generator[Any, None, str]:
        for _ in range(5):
            self.begun.set()
            self.go.wait(10)
            self.done += 1
            yield self.done
        return "done"


@pytest.fixture
def runner(qtbot: Any) -> Any:
    runner = Runner()
    yield runner
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.busy, timeout=WAIT)


class Owner(QObject):
    """Notes that it was called; a method of Qt's tells whether it is there still."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self._calls = calls

    def call(self) -> None:
        self._calls.append(self.objectName())


def test_what_is_done_soon_is_done_once_and_not_for_what_was_deleted(qtbot: Any) -> None:
    calls: list[str] = []
    owners = [Owner(calls), Owner(calls)]
    owners[0].setObjectName("there")
    for owner in owners:
        soon(owner, owner.call)
    owners[1].deleteLater()
    QApplication.sendPostedEvents(owners[1], QEvent.Type.DeferredDelete)
    assert not calls
    qtbot.wait(50)
    assert calls == ["there"] and not owners[0].children()


def test_going_on_before_the_rest_began_does_not_rest(runner: Runner, qtbot: Any) -> None:
    work = Tiles()
    with qtbot.waitSignal(runner.succeeded, timeout=WAIT) as result:
        runner.start(work)
        assert work.begun.wait(10)
        runner.pause()
        runner.resume()
        work.go.set()
    assert result.args == ["done"] and not runner.paused


def test_a_cancel_ends_the_work_in_its_own_thread(runner: Runner, qtbot: Any) -> None:
    work, ended = Tiles(), []

    def with_an_end() -> Generator[Any, None, None]:
        try:
            yield from work()
        finally:
            ended.append(threading.current_thread())

    runner.start(with_an_end)
    assert work.begun.wait(10)
    runner.cancel()
    work.go.set()
    qtbot.waitUntil(lambda: not runner.busy, timeout=WAIT)
    [thread] = ended
    assert thread is not threading.main_thread()


def test_a_rest_lasts_until_it_goes_on(runner: Runner, qtbot: Any) -> None:
    work = Tiles()
    runner.start(work)
    assert work.begun.wait(10)
    runner.pause()
    assert not runner.paused  # not before the tile is finished
    work.go.set()
    qtbot.waitUntil(lambda: runner.paused, timeout=WAIT)
    qtbot.wait(300)
    assert work.done == 1
    with qtbot.waitSignal(runner.succeeded, timeout=WAIT):
        runner.resume()
    assert work.done == 5


def test_work_that_rests_can_be_cancelled(runner: Runner, qtbot: Any) -> None:
    work = Tiles()
    runner.start(work)
    runner.pause()
    work.go.set()
    qtbot.waitUntil(lambda: runner.paused, timeout=WAIT)
    done = work.done
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.busy, timeout=WAIT)
    assert work.done == done and not runner.paused


def test_a_plain_function_runs_and_its_error_is_told(runner: Runner, qtbot: Any) -> None:
    with qtbot.waitSignal(runner.succeeded, timeout=WAIT) as result:
        runner.start(lambda: "done")
    assert result.args == ["done"]
    with qtbot.waitSignal(runner.failed, timeout=WAIT) as failure:
        runner.start(lambda: {}["nothing"])
    assert isinstance(failure.args[0], KeyError) and not runner.running


def test_a_destroyed_runner_ends_its_work(qtbot: Any) -> None:
    runner, work = Runner(), Tiles()
    runner.start(work)
    assert work.begun.wait(10)
    runner.deleteLater()
    with qtbot.waitSignal(runner.destroyed, timeout=WAIT):
        pass
    work.go.set()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=WAIT)
    assert work.done == 1


def test_a_viewer_that_is_closed_ends_no_work_of_another(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    viewer, other, dock, work = make_napari_viewer(), make_napari_viewer(), QWidget(), Tiles()
    viewer.window.add_dock_widget(dock, name="ours")
    QApplication.sendEvent(other.window._qt_viewer.window(), QEvent(QEvent.Type.WindowActivate))
    runner = Runner(QObject(dock))
    with qtbot.waitSignal(runner.succeeded, timeout=WAIT):
        runner.start(work)
        # napari asks before it closes a window with work.
        busy = [v.window._task_status_manager.is_busy() for v in (viewer, other)]
        assert work.begun.wait(10) and busy == [True, False]
        other.close()
        work.go.set()
    qtbot.waitUntil(lambda: not viewer.window._task_status_manager.is_busy(), timeout=WAIT)


def test_work_that_somebody_else_ends_is_cancelled(runner: Runner, qtbot: Any) -> None:
    work = Tiles()
    with qtbot.waitSignals([runner.cancelled, runner.finished], timeout=WAIT):
        runner.start(work)
        assert work.begun.wait(10)
        for worker in WorkerBase._worker_set:
            worker.quit()
        work.go.set()
    assert not runner.running


def test_measurements_are_never_left_out(runner: Runner, qtbot: Any) -> None:
    def work() -> Generator[Any, None, None]:
        for step in range(200):
            yield TrainingStep("joint", step, 200, validation_miou=0.5 if step % 50 == 7 else None)

    seen: list[TrainingStep] = []
    runner.progressed.connect(seen.append)
    with qtbot.waitSignal(runner.finished, timeout=WAIT):
        runner.start(work)
    assert [s.step for s in seen if s.validation_miou is not None] == [7, 57, 107, 157]
    assert len(seen) < 100


def test_a_rest_asked_for_while_the_former_work_ends_is_not_forgotten(
    runner: Runner, qtbot: Any
) -> None:
    former, work = Tiles(), Tiles()
    work.go.set()
    runner.start(former)
    assert former.begun.wait(10)
    runner.start(work)
    runner.pause()
    former.go.set()
    qtbot.waitUntil(lambda: runner.paused, timeout=WAIT)
    assert former.done == 1 and work.done == 1
    with qtbot.waitSignal(runner.succeeded, timeout=WAIT):
        runner.resume()


def test_a_pause_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    for module in (steps_module, fit):
        monkeypatch.setattr(module, "time", clock)

    def work(*, clock: fit.Clock) -> Generator[Any, None, fit.FitResult]:
        now[0] += 3
        yield
        now[0] += 4
        return fit.FitResult(*[None] * 3, clock())  # type: ignore[arg-type]

    def rest(_: Any) -> None:
        now[0] += 1000

    assert run(fit.timed(work)(), rest).seconds == 7
