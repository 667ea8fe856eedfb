"""Run one function at a time in a thread, with progress and a cancel that always works."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import create_worker

from napari_gaussproto.core.base.steps import WithValue, driven
from napari_gaussproto.widgets.shared.workarounds import announce, when_gone

logger = logging.getLogger(__name__)

# Progress reaches the GUI at most this often, in seconds.
INTERVAL = 0.1
Work = Callable[[], Any]


def single_shot(parent: QObject, milliseconds: int, then: Callable[[], Any]) -> QTimer:
    """A timer that calls a function, or emits a signal, once after each start."""
    timer = QTimer(parent, singleShot=True, interval=milliseconds)
    timer.timeout.connect(then)
    return timer


def soon(owner: QObject, then: Callable[[], Any]) -> None:
    """Call a function in the next turn of the event loop, if its owner is there still.

    `QTimer.singleShot` of PySide6, unlike that of PyQt6, calls a method of what was deleted.
    """
    timer = single_shot(owner, 0, then)
    timer.timeout.connect(timer.deleteLater)
    timer.start()


class _Gate:
    """Lets a thread rest between two steps.

    A worker's own pause forgets a resumption that comes before the present step has ended, and
    rests for good.
    """

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.resting = False

    def rest(self) -> Generator[None, None, None]:
        """Wait until it is open; a cancel takes effect meanwhile."""
        while not self.open.wait(0 if not self.resting else INTERVAL):
            self.resting = True
            yield None
        self.resting = False


@dataclass(frozen=True)
class _Failure:
    error: Exception  # a worker raises an exception that is returned as it is


class _Worker(GeneratorWorker):
    """Ends what it drives in its own thread, also after a cancel.

    Left to the collection of garbage, work would keep its files and locks for a while, and end in
    the thread of the GUI.
    """

    steps: Generator[Any, None, Any]

    def work(self) -> Any:
        """Drive the steps; see `GeneratorWorker`."""
        try:
            return super().work()
        finally:
            self.steps.close()


@dataclass
class _Thread:
    """The worker of a runner, which may outlive it."""

    worker: GeneratorWorker | None = None


class Runner(QObject):
    """Runs functions in a thread; the last one asked for is the one that counts.

    A generator function can be cancelled and paused at each of its steps. When the runner is
    destroyed, its thread ends at the next step.

    Notes
    -----
    Its signals:

    progressed(object)
        What a generator function yielded, at most ten times a second, but for what says ``keep``.
    succeeded(object)
        What it returned.
    finished()
        After success, failure and cancel.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = _Thread()
        when_gone(self, partial(_quit, self._thread))
        self._gate = _Gate()
        self._wanted = False
        self._pending: Work | None = None

    @property
    def running(self) -> bool:
        """Whether a result is still being waited for."""
        return self._wanted

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, even if nobody waits for its result any more."""
        return self._thread.worker is not None

    def start(self, work: Work) -> None:
        """Run a function or generator function; if one is running, it is cancelled first."""
        if self._wanted:
            self.cancel()
        self._wanted = True
        # From here on a pause is one of this work, also while the former thread ends.
        self._gate = _Gate()
        if self.busy:
            # The former thread ends at its next step; two at once would only be slower.
            self._pending = work
            return
        self._launch(work)

    def cancel(self) -> None:
        """Give up waiting at once; the thread stops at its next step."""
        if not self._wanted:
            return
        self._wanted = False
        self._pending = None
        _quit(self._thread)
        self.cancelled.emit()
        self.finished.emit()

    @property
    def paused(self) -> bool:
        """Whether the work rests."""
        return self._wanted and self._gate.resting

    def pause(self) -> None:
        """Rest at the next step, until `resume`."""
        if self._wanted:
            self._gate.open.clear()

    def resume(self) -> None:
        """Go on, also where a rest was only asked for."""
        self._gate.open.set()

    def close(self, timeout_ms: int = 10_000) -> None:
        """Cancel and wait for the thread."""
        self.cancel()
        if self._thread.worker is not None:
            self._thread.worker.await_workers(timeout_ms)

    def _launch(self, work: Work) -> None:
        steps = _guarded(work, self._gate)
        worker: _Worker = create_worker(_driven, steps, _start_thread=False, _worker_class=_Worker)
        worker.steps = steps
        worker.yielded.connect(self._on_yield)
        worker.returned.connect(self._on_return)
        worker.finished.connect(self._on_finish)
        worker.finished.connect(announce(self, worker.quit))
        self._thread.worker = worker
        worker.start()

    def _on_yield(self, step: Any) -> None:
        # Steps that come too quickly arrive as None: they only let a cancel take effect.
        if step is not None and self._wanted and self._pending is None:
            self.progressed.emit(step)

    def _on_return(self, result: Any) -> None:
        if not self._wanted or self._pending is not None:
            return
        self._wanted = False
        if isinstance(result, _Failure):
            self.failed.emit(result.error)
        else:
            self.succeeded.emit(result)
        self.finished.emit()

    def _on_finish(self) -> None:
        self._thread.worker = None
        if self._pending is not None:
            work, self._pending = self._pending, None
            self._launch(work)
        elif self._wanted:  # somebody else ended all workers, as napari does when it quits
            self._wanted = False
            self.cancelled.emit()
            self.finished.emit()


def _quit(thread: _Thread) -> None:
    if thread.worker is not None:
        thread.worker.quit()


def _driven(steps: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
    """A worker wants a function that makes its generator."""
    return (yield from steps)


def _guarded(work: Work, gate: _Gate) -> Generator[Any, None, Any]:
    """Throttle what is yielded; return an error, as a worker swallows RuntimeErrors of torch."""
    last = 0.0
    yield None  # a cancel takes effect before the work begins
    try:
        for step in (steps := WithValue(driven(work()))):
            if getattr(step, "keep", False) or time.monotonic() - last >= INTERVAL:
                last = time.monotonic()
                yield step
            else:
                yield None
            yield from gate.rest()
        return steps.value
    except Exception as error:  # the owner of the runner reports it to the person
        logger.debug("work failed", exc_info=True)
        return _Failure(error)
