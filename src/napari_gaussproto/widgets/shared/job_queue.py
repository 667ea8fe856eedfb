"""Work that must be done, one thing after the other, in one thread: saving, above all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_gaussproto.widgets.shared.workarounds import when_gone

logger = logging.getLogger(__name__)

Job = Callable[[], Any]
Done = Callable[[Any], None]


class JobQueue(QObject):
    """A queue whose jobs are never cancelled, only replaced by newer ones of the same kind.

    When it is destroyed, what waits is done first.
    """

    failed = Signal(object)
    _ended = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gaussproto-saving")
        self._newest: dict[str, Future[None]] = {}
        self._closed = Event()
        self._open = 0
        when_gone(self, partial(_finish, self._pool, self._closed))
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether something is waiting or being done."""
        return self._open > 0

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed.is_set()

    def put(self, job: Job, done: Done | None = None, kind: str = "") -> None:
        """Do a job in the thread, after everything that waits already.

        ``done`` is called with its result in the GUI thread. Of jobs of a ``kind`` that wait,
        only the last one is done.
        """
        if self.closed:
            return
        if kind in self._newest and self._newest[kind].cancel():  # it waited still
            self._open -= 1
        self._open += 1
        future = self._pool.submit(self._run, job, done)
        if kind:
            self._newest[kind] = future

    def ask(self, job: Job) -> Any:
        """From another thread: the result of a job; None when nothing is taken any more."""
        try:
            return self._pool.submit(job).result()
        except (RuntimeError, CancelledError):
            return None

    def close(self) -> None:
        """Finish what waits, and take nothing more."""
        self._closed.set()
        self._pool.shutdown(wait=True)

    def abandon(self) -> None:
        """Drop what waits, and take nothing more: for work that nobody needs any longer."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Job, done: Done | None) -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = job()
        except Exception as problem:  # reported to the person by the owner
            logger.debug("a job failed", exc_info=True)
            error = problem
        try:
            self._ended.emit(done, result, error)
        except RuntimeError:  # the window is gone; what had to be written is written
            logger.debug("nobody listens any more")

    def _on_ended(self, done: Done | None, result: Any, error: Exception | None) -> None:
        self._open -= 1
        if error is not None:
            self.failed.emit(error)
        elif done is not None:
            done(result)


def _finish(pool: ThreadPoolExecutor, closed: Event) -> None:
    if not closed.is_set():
        closed.set()
        pool.shutdown(wait=True)
