"""A run in the viewer against the call of the library, in one process.

    OMP_NUM_THREADS=1 bash scripts/display.sh .venv/bin/python -m benchmarks.speed.viewer

A photograph in a real napari with the Segment dock: from the press on Segment until the labels are
drawn and the event loop is free again, beside `segment(photo, model).labels`, in turns. Time is
that on the clock, and that of the processor in all threads, which a busy machine changes less. On a
screen without a graphics card Mesa draws in threads of its own; what they take is told apart. The
first run also loads the model. A last run is watched for how long our code holds the event loop.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import psutil
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from benchmarks.measuring import median_ratio, save
from benchmarks.speed.holding import Holding, until
from napari_gaussproto import load_model, segment
from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.widgets.segment.dock import SegmentWidget

# On the clock; of the processor, without and of Mesa's threads; in seconds.
Times = tuple[float, float, float]


class Desk:
    """A photograph in a viewer with the Segment dock."""

    def __init__(self, photo: Any, model: str) -> None:
        self._viewer = napari.Viewer(show_welcome_screen=False)
        self._viewer.add_image(photo, name="field")
        self.dock: Any = SegmentWidget(self._viewer)
        self._viewer.window.add_dock_widget(self.dock, area="right")
        self.dock.choose(model, "cpu")
        self.dock.runner.succeeded.connect(self._keep)
        self._rest()

    def _keep(self, result: Any) -> None:
        self.loading, self.computing = result.loading, result.seconds

    def press(self) -> None:
        """Segment, until the labels are drawn; the event loop waits as in napari itself."""
        before = self.dock.state.current
        loop = QEventLoop()
        self.dock.runner.finished.connect(loop.quit)
        self.dock.run_button.click()
        loop.exec_()
        self.dock.runner.finished.disconnect(loop.quit)
        for _ in range(3):  # what a layer asks to be drawn may ask for more
            QApplication.processEvents()
        current = self.dock.state.current
        if current is before or current.labels not in self._viewer.layers:
            raise RuntimeError(f"There are no new labels: {self.dock.status.text()}")

    def timed(self) -> Times:
        """Seconds of a press."""
        self._rest()
        times = timed(self.press)
        self._rest()
        return times

    def _rest(self) -> None:
        until(lambda: not self.dock.busy and self.dock.run_button.isEnabled())


def timed(work: Any) -> Times:
    """Seconds of some work."""
    before = now()
    work()
    clock, processor, mesa = (b - a for a, b in zip(before, now(), strict=True))
    return clock, processor - mesa, mesa


def now() -> Times:
    """The clock, the processor time of all threads, and that of Mesa's."""
    mesa = 0.0
    for thread in psutil.Process().threads():
        name = Path(f"/proc/self/task/{thread.id}/comm")  # of Linux alone
        if name.exists() and name.read_text().startswith("llvmpipe"):
            mesa += thread.user_time + thread.system_time
    return time.perf_counter(), time.process_time(), mesa


def measure(name: str, height: int, width: int, repetitions: int) -> dict[str, Any]:
    """Times of one model."""
    photo, _ = synthetic_field(height, width)
    desk = Desk(photo, name)
    first = desk.timed()
    about = {"first": first, "loading": desk.loading, "computing": desk.computing}
    model = load_model(name, "cpu").eval()
    pairs: list[tuple[Times, Times]] = []
    for repetition in range(repetitions + 1):
        # Now one and now the other begins.
        library = timed(lambda: segment(photo, model).labels) if repetition % 2 else None
        viewer = desk.timed()
        pairs.append((viewer, library or timed(lambda: segment(photo, model).labels)))
    viewers, libraries = zip(*pairs[1:], strict=True)
    with Holding() as holding:
        desk.press()
    ratios = [median_ratio([v[i] for v in viewers], [v[i] for v in libraries]) for i in (0, 1)]
    return about | {
        "viewer": viewers,
        "library": libraries,
        "ratio": ratios[0],
        "ratio_of_processor": ratios[1],
        "mesa": statistics.median(v[2] / u[1] for v, u in zip(viewers, libraries, strict=True)),
        "held_ms": holding.hold.ours,
    }


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table; what the first run took is told in times of the library's call."""
    call = statistics.median(clock for clock, *_ in found["library"])
    cells = [
        name,
        f"{found['ratio_of_processor']:.2f}",
        f"{found['mesa']:.2f}",
        f"{found['ratio']:.2f}",
        f"{found['first'][0] / call:.1f}",
        f"{found['loading'] / call:.1f}",
        f"{found['computing'] / call:.1f}",
        f"{found['held_ms']:.0f} ms",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(2448, 3264), metavar=("H", "W"))
    parser.add_argument("--models", nargs="+", default=["peanut-grid"])
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        os.environ.setdefault("NAPARI_CONFIG", "")
        rows = {m: measure(m, *options.size, options.repetitions) for m in options.models}
        napari.Viewer.close_all()
    height, width = options.size
    lines = "\n".join(row(name, found) for name, found in rows.items())
    text = (
        f"{width} x {height} pixels; times of the call of the library, `segment(photo, "
        f"model).labels` (a run with the model loaded: median of the ratios of "
        f"{options.repetitions} pairs in turns; at most 1.3 wanted):\n\n"
        "| model | a run, on the processor | Mesa's drawing beside it | a run, on the clock | "
        "the first run, on the clock | of it loading | of it computing | "
        "the event loop held by our code |\n"
        f"|{' --- |' * 8}\n{lines}"
    )
    save("viewer", "python -m benchmarks.speed.viewer", rows, text)


if __name__ == "__main__":
    main()
