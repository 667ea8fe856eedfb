"""How long the event loop of Qt is held, and by whose code.

A timer of the GUI thread beats every millisecond; a gap between two beats is a time in which the
window did not answer. Meanwhile another thread looks, every two milliseconds, at what the GUI
thread is doing, as a sampling profiler does. Each look is

ours
    when the innermost frame that belongs to this package, napari or vispy is ours: our own
    statements, with the numpy and Qt that they call,
asked
    when it is napari's or vispy's, in a call that our code made: `add_labels`, `layer.data = …`,
drawn
    else: what napari, vispy and Qt do by themselves, drawing above all.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Literal

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

Whose = Literal["ours", "asked", "drawn"]
_OURS, _THEIRS = "/napari_gaussproto/", ("/napari/", "/vispy/")
_LOOK = 0.002


@dataclass(frozen=True)
class Hold:
    """The longest time in which the window did not answer, in milliseconds.

    Attributes
    ----------
    clock, processor : float
        On the clock, and on the processor in the GUI thread; a busy machine lengthens the first.
    ours : float
        The longest time of our own code in one hold, on the processor: not always in the
        longest hold of all.
    asked, drawn : float
        Of the longest hold, on the processor.
    where : str
        The function of ours that was seen most in the hold with most of our code.
    """

    clock: float
    processor: float
    ours: float
    asked: float
    drawn: float
    where: str


@dataclass(frozen=True)
class _Look:
    when: float
    since: float  # the look before, in seconds of the GUI thread on the processor
    whose: Whose
    where: str


def whose(frame: FrameType | None) -> tuple[Whose, str]:
    """Whose code runs in a stack, and where that is, if it is ours or was asked for by ours."""
    found: tuple[Whose, str] | None = None
    inner: Whose = "ours"
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code is _is_so.__code__:
            return "drawn", ""  # the benchmark asks whether a step is over
        if found is None and _OURS in file:
            found = inner, f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
        elif any(part in file for part in _THEIRS):
            inner = "asked"
        frame = frame.f_back
    return found or ("drawn", "")


class Holding:
    """Watches the event loop while it is entered; `hold` then says what was found."""

    def __enter__(self) -> Holding:
        self._looks: list[_Look] = []
        self._beats: list[tuple[float, float]] = []
        self._main = threading.get_ident()
        self._used = _own_clock()
        self._ended = threading.Event()
        self._timer = QTimer(timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._beat()
        self._timer.start(1)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()
        self._ended.set()
        self._thread.join()
        self._beat()

    def _beat(self) -> None:
        self._beats.append((time.perf_counter(), time.thread_time()))

    def _look(self) -> None:
        last = self._used()
        while not self._ended.wait(_LOOK):
            # The frame has no name here, which would keep all that it holds until the next look.
            found = whose(sys._current_frames().get(self._main))
            used = self._used()
            self._looks.append(_Look(time.perf_counter(), used - last, *found))
            last = used

    @property
    def hold(self) -> Hold:
        """The longest hold."""
        holds = [self._hold(a, b) for a, b in itertools.pairwise(self._beats)]
        longest = max(holds, key=lambda hold: hold.processor)
        most = max(holds, key=lambda hold: hold.ours)
        about = (longest.clock, longest.processor, most.ours, longest.asked, longest.drawn)
        return Hold(*about, most.where)

    def _hold(self, start: tuple[float, float], end: tuple[float, float]) -> Hold:
        clock, processor = (1e3 * (b - a) for a, b in zip(start, end, strict=True))
        if processor < 5:  # the loop turned, or waited
            return Hold(clock, processor, 0.0, 0.0, processor, "")
        looks = [look for look in self._looks if start[0] < look.when <= end[0]]
        seen: dict[str, float] = defaultdict(float)
        places: dict[str, float] = defaultdict(float)
        for look in looks:
            seen[look.whose] += look.since
            if look.whose == "ours":
                places[look.where] += look.since
        whole = sum(seen.values()) or 1.0
        ours, asked, drawn = (processor * seen[who] / whole for who in ("ours", "asked", "drawn"))
        where = max(places, key=places.__getitem__) if places else ""
        return Hold(clock, processor, ours, asked, drawn, where)


def _own_clock() -> Callable[[], float]:
    """A clock for any thread that goes while this one is on the processor.

    What waits for another thread, or for its turn on a busy machine, counts for nothing then.
    """
    if sys.platform != "linux":  # Windows and macOS have none
        return time.perf_counter
    return partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))


def until(condition: Callable[[], bool], timeout: float = 600) -> None:
    """Let the event loop run until something is the case.

    Raises
    ------
    TimeoutError
    """
    application, end = QApplication.instance(), time.monotonic() + timeout
    while not _is_so(condition):
        again = time.monotonic() + 0.05
        while time.monotonic() < again:
            application.processEvents()
            time.sleep(0.0005)
        if time.monotonic() > end:
            raise TimeoutError("The viewer did not come to rest.")
    for _ in range(5):
        application.processEvents()


def _is_so(condition: Callable[[], bool]) -> bool:
    return condition()
