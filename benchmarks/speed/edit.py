"""What an edit of the prototypes costs: from the click to labels and likelihood map.

    python -m benchmarks.speed.edit
    bash scripts/display.sh .venv/bin/python -m benchmarks.speed.edit --viewer

A photograph of 1296 x 966 pixels, the shipped models. Without ``--viewer`` the library alone:
edit, decode, labels of every pixel and the map of one prototype, in one thread as the dock
does it. Time on the processor is given beside the time on the clock, because it does not
depend on what else the machine does; the first pass of the network is there to compare with.
With ``--viewer`` the dock itself in a real napari: from the click until the layers hold the
new result, and the longest time that the GUI did not answer meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measuring import save
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import list_models
from napari_gaussproto.io.field import synthetic_field

HEIGHT, WIDTH, WANTED_MS = 966, 1296, 200
Edit = Callable[[PrototypeSegmenter, Encoding], PrototypeSegmenter]
EDITS: dict[str, Edit] = {
    "turn off": lambda model, encoding: edits.turn_off(model, 3),
    "rename": lambda model, encoding: edits.rename(model, 3, "renamed"),
    "reassign": lambda model, encoding: edits.reassign(model, 3, 2),
    "merge": lambda model, encoding: edits.merge(model, 0, 3, encoding.latents),
    "split": lambda model, encoding: edits.split(model, 3, encoding.latents),
    "delete": lambda model, encoding: edits.delete(model, 3),
    "add": lambda model, encoding: edits.add(model, 1, encoding.latents[:50]),
}


def library(name: str, repetitions: int) -> tuple[dict[str, Any], str]:
    """Time of every edit with everything that is computed for the screen."""
    model, (photo, _) = load_model(name, "cpu"), synthetic_field(HEIGHT, WIDTH)
    start = time.perf_counter()
    encoding = segment(photo, model).encoding
    network = 1e3 * (time.perf_counter() - start)
    found = {}
    for what, change in EDITS.items():
        wall, cpu = [], []
        for repetition in range(repetitions + 2):
            with one_thread():
                start, start_cpu = time.perf_counter(), time.thread_time()
                segmentation = change(model, encoding).decode(encoding)
                _ = segmentation.labels, segmentation.likelihood(0, cells=True)
                if repetition >= 2:
                    wall.append(1e3 * (time.perf_counter() - start))
                    cpu.append(1e3 * (time.thread_time() - start_cpu))
        found[what] = {"clock": statistics.median(wall), "processor": statistics.median(cpu)}
    lines = [
        f"`{name}`, {encoding.partition.n_cells} cells, {len(model.prototypes)} prototypes; "
        f"the first pass of the network took {network:.0f} ms on the clock:",
        "",
        "| edit, decode, labels, map | clock, ms | processor, ms |",
        "| --- | --- | --- |",
        *(
            f"| {what} | {entry['clock']:.0f} | {entry['processor']:.0f} |"
            for what, entry in found.items()
        ),
    ]
    return {"network_ms": network, "edits": found}, "\n".join(lines)


def in_viewer(name: str, repetitions: int) -> tuple[dict[str, Any], str]:
    """Time from a click in the dock to changed layers, and how long the GUI stood still."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
    from napari_gaussproto.widgets.segment.dock import SegmentWidget

    viewer = napari.Viewer()
    viewer.add_image(synthetic_field(HEIGHT, WIDTH)[0], name="field")
    segment, dock = SegmentWidget(viewer), PrototypesWidget(viewer)
    for widget in (segment, dock):
        viewer.window.add_dock_widget(widget, area="right")
    application = QApplication.instance()

    def until(condition: Callable[[], bool]) -> None:
        while not condition():
            application.processEvents()
            time.sleep(0.001)

    until(lambda: not segment.busy)
    segment.choose(name, "cpu")
    segment.run()
    until(lambda: not segment.runner.busy and dock.state.current is not None)
    dock.choose(3)
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start(2)
    total, shown, still, thread = [], [], [], []
    dock.session.changed.connect(lambda result, _: thread.append(1e3 * result.seconds))
    done: list[float] = []
    dock.session.changed.connect(lambda result, _: done.append(time.perf_counter()))
    for repetition in range(repetitions + 2):
        settle = time.perf_counter() + 0.3
        until(lambda settle=settle: time.perf_counter() > settle)
        beats.clear()
        done.clear()
        start = time.perf_counter()
        dock.gallery.row(3).on.click()
        until(lambda: bool(done) and not dock.session.busy)
        application.processEvents()  # everything is drawn
        end = time.perf_counter()
        if repetition >= 2:
            total.append(1e3 * (done[0] - start))
            shown.append(1e3 * (end - start))
            marks = [start, *(beat for beat in beats if beat < done[0]), done[0]]
            still.append(1e3 * max(b - a for a, b in itertools.pairwise(marks)))
    timer.stop()
    dock.abandon()
    viewer.close()
    found = {
        "changed_ms": statistics.median(total),
        "drawn_ms": statistics.median(shown),
        "thread_ms": statistics.median(thread[2:]),
        "longest_stop_ms": statistics.median(still),
    }
    text = "\n".join(
        [
            f"`{name}` in napari, turning a prototype that explains much on and off, clock:",
            "",
            "| from the click until | ms |",
            "| --- | --- |",
            f"| the thread is done (edit, decode, labels, map, comparison) | "
            f"{found['thread_ms']:.0f} |",
            f"| labels and likelihood layer hold the result | {found['changed_ms']:.0f} |",
            f"| napari has drawn it | {found['drawn_ms']:.0f} |",
            "",
            f"The longest time in which the GUI did not answer was {found['longest_stop_ms']:.0f} "
            "ms (median over edits).",
        ]
    )
    return found, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewer", action="store_true", help="the dock in a real napari")
    parser.add_argument("--models", nargs="*", default=list_models())
    parser.add_argument("--repetitions", type=int, default=20)
    options = parser.parse_args()
    measure = in_viewer if options.viewer else library
    results, texts = {}, [f"Wanted: at most {WANTED_MS} ms on {WIDTH} x {HEIGHT} pixels.\n"]
    for name in options.models:
        results[name], text = measure(name, options.repetitions)
        texts.append(text + "\n")
    command = "python -m benchmarks.speed.edit" + (" --viewer" if options.viewer else "")
    save("edit-viewer" if options.viewer else "edit", command, results, "\n".join(texts))


if __name__ == "__main__":
    main()
