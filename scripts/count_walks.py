"""Counts what runs in each of the first three walks of docs/architecture.md, in a real viewer.

``python scripts/count_walks.py image|stroke|edit`` prints files in the order in which they are
entered, and the hops: calls that come from Qt, napari or a thread, or by a signal. A walk ends
where its labels or its map are shown; saving, which starts with a stroke too, is not counted.
"""

from __future__ import annotations

import linecache
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import thread
from inspect import CO_NEWLOCALS
from pathlib import Path
from types import FrameType
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
from superqt.utils import _qthreading

import napari_gaussproto
from napari_gaussproto.io.samples import sample_photo

SOURCE = str(Path(napari_gaussproto.__file__).parent) + os.sep
PLUGIN = "napari-gaussproto"
PHOTO = "peanut_0286"
# A stroke is saved beside the walk to its labels.
BESIDE = (
    "widgets/train/storage/",
    "widgets/layers/restored.py",
    "widgets/shared/job_queue.py",
    "jobs/session/",
    "jobs/storage.py",
    "core/project/",
)
# What calls from one place to another that the code there does not name.
CARRIERS = ("psygnal", "superqt", "threading.py", f"{os.sep}napari{os.sep}", Path(__file__).name)
# Qt calls these whenever it draws.
DRAWING = ("paintEvent", "event", "sizeHint")


class Walk:
    """Files and hops, while it is going on."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.hops: dict[str, None] = {}
        self.going = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call, as a profile function of `sys.setprofile`."""
        code = frame.f_code
        if event != "call" or not self.going or not code.co_filename.startswith(SOURCE):
            return
        name = code.co_filename[len(SOURCE) :]
        # Class bodies and modules run at an import only.
        body = code.co_name.startswith("<") or not code.co_flags & CO_NEWLOCALS
        if body or (code.co_name == code.co_qualname and code.co_name[0].isupper()):
            return
        if code.co_name in DRAWING or self._beside(frame):
            return
        self.files.setdefault(name, code.co_qualname)
        if self._hopped(frame.f_back):
            self.hops[f"{name}: {code.co_qualname}"] = None

    @staticmethod
    def _hopped(caller: FrameType | None) -> bool:
        if caller is None:
            return True
        if caller.f_code.co_filename.startswith(SOURCE):
            return ".emit(" in linecache.getline(caller.f_code.co_filename, caller.f_lineno)
        return any(part in caller.f_code.co_filename for part in CARRIERS)

    @staticmethod
    def _beside(frame: FrameType | None) -> bool:
        while frame is not None:
            if any(frame.f_code.co_filename.startswith(SOURCE + part) for part in BESIDE):
                return True
            frame = frame.f_back
        return False

    def report(self) -> None:
        """Print files and hops."""
        print(f"{len(self.files)} files")
        for number, (name, entry) in enumerate(self.files.items(), start=1):
            print(f"  {number}. {name}: {entry}")
        print(f"{len(self.hops)} hops")
        for hop in self.hops:
            print(f"  {hop}")


def trace_threads(walk: Walk) -> None:
    """Let the pool threads of Qt and Python be seen, which the profiler does not reach."""
    for owner in (_qthreading.WorkerBase, thread._WorkItem):
        run: Callable[..., Any] = owner.run

        def traced(self: Any, *args: Any, _run: Callable[..., Any] = run, **options: Any) -> Any:
            sys.setprofile(walk)
            try:
                return _run(self, *args, **options)
            finally:
                sys.setprofile(None)

        owner.run = traced
    sys.setprofile(walk)


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Serve Qt until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("The viewer did not come so far in time.")
        QApplication.processEvents()
        time.sleep(0.01)


def rest(seconds: float) -> None:
    """Let what still happens happen."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)


def image_walk(walk: Walk) -> None:
    """``segment(image, model).labels``."""
    model, photo = napari_gaussproto.load_model("peanut-grid", "cpu"), sample_photo(PHOTO)
    sys.setprofile(walk)
    walk.going = True
    napari_gaussproto.segment(photo, model).labels.any()
    walk.going = False


def stroke_walk(walk: Walk) -> None:
    """A stroke in the Train dock, with *live* ticked, until its labels are shown."""
    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, PHOTO)
    truth = np.asarray(viewer.layers[1].data)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    until(lambda: not dock.busy)
    names = ("soil", "crop", "weed")
    dock.annotations.set_table(
        [
            napari_gaussproto.SegmentationClass(name=name, color=color)
            for name, color in zip(names, ("#999999", "#009e73", "#d55e00"), strict=True)
        ]
    )
    dock.labels.new.click()
    layer = next(layer for layer in viewer.layers if "annotations" in layer.name)

    def paint(value: int, inside: Any) -> None:
        row = int(inside.sum(1).argmax())
        layer.selected_label, layer.brush_size = value, 10
        with layer.block_history():
            for column in np.flatnonzero(inside[row])[:60:4]:
                layer.paint((row, int(column)), value)

    for value in (1, 2, 3):
        paint(value, truth == value)
    until(dock.quick.isEnabled)  # what is painted is counted in a thread
    dock.quick.click()
    until(lambda: dock.fits.phase != "idle")
    until(lambda: dock.fits.phase == "idle")
    rest(3)
    dock.live.setChecked(True)
    rest(1)
    lower = truth == 3
    lower[: len(lower) // 2] = False
    trace_threads(walk)
    walk.going = True
    paint(3, lower)
    until(lambda: dock.fits.phase != "idle")
    until(lambda: dock.fits.phase == "idle")
    walk.going = False


def edit_walk(walk: Walk) -> None:
    """A prototype is switched off, until its map and the labels are shown."""
    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, PHOTO)
    _, segment = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    until(lambda: not segment.busy)
    segment.run_button.click()
    until(lambda: segment.runner.busy)
    until(lambda: not segment.runner.busy)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Prototypes", tabify=True)
    rest(3)
    dock.choose(5)
    rest(3)
    row = next(row for row in dock.gallery.rows if row.index == 5)

    def end(_: Any = None) -> None:
        walk.going = False

    for layer in list(viewer.layers)[1:]:
        layer.events.set_data.connect(end)
        layer.events.data.connect(end)
    trace_threads(walk)
    walk.going = True
    row.on.click()
    until(lambda: not walk.going)


def main() -> None:
    """Walk, as the first argument says."""
    walks = {"image": image_walk, "stroke": stroke_walk, "edit": edit_walk}
    if len(sys.argv) != 2 or sys.argv[1] not in walks:
        raise SystemExit("Say which walk: image, stroke or edit.")
    walk = Walk()
    if sys.argv[1] != "image":
        os.environ["NAPARI_CONFIG"] = ""
        os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, tempfile.mkdtemp())
    walks[sys.argv[1]](walk)
    sys.setprofile(None)
    walk.report()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
