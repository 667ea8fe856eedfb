"""A viewer that is worked in for long holds no more than before."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from tests.core.builders import two_tone
from tests.widgets.leaks import holders, rounds
from tests.widgets.train_dock import WAIT, draw, quick, settled
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget
N = int(os.environ.get("N_ROUNDS", "6"))
# Rounds in which modules are loaded and caches filled.
_FIRST = 3


def rest(docks, qtbot: Any) -> None:
    def idle():
        return not any(dock.busy for dock in docks)
    qtbot.waitUntil(idle, timeout=WAIT)
    qtbot.wait(700)
    qtbot.waitUntil(idle, timeout=WAIT)
    qtbot.wait(50)


@pytest.mark.parametrize("number", [N])
def test_rounds_of_work_leave_nothing(
    viewer: Any, dock: Any, train: Any, run: Any, qtbot: Any, number: int
) -> None:
    prototypes = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(prototypes, name="Prototypes", area="right", tabify=True)
    prototypes.why_panel.cell.setChecked(True)
    docks = (dock, train, prototypes)
    rng = np.random.default_rng(0)

    def work() -> None:
        # Other pixels each time, as photographs are.
        pixels = np.clip(two_tone()[0] + rng.integers(-3, 4, two_tone()[0].shape), 0, 255)
        image = viewer.add_image(pixels.astype(np.uint8), name="field")
        rest(docks, qtbot)
        run(dock)
        dock.state.show(likelihood=True)
        rest(docks, qtbot)
        dock.state.show(likelihood=False)
        prototypes.gallery.row(1).on.click()
        rest(docks, qtbot)
        prototypes.undo_button.click()
        rest(docks, qtbot)
        draw(train)
        quick(train, qtbot)
        rest(docks, qtbot)
        train.labels.clear.click()
        rest(docks, qtbot)
        viewer.layers.remove(image)
        rest(docks, qtbot)
        settled(train, qtbot)
        for version in train.version_panel.versions[1:]:
            train.versions.delete(version.id)
        rest(docks, qtbot)

    watch = rounds(viewer, work, number)
    with open("/tmp/leaks_out.txt", "w") as out:
        for seen in watch.seen:
            print(seen.n_objects, seen.n_bytes // 1000, seen.counts["callbacks"], seen.counts["objects of Qt"], seen.counts.get("tensors"), seen.counts["layers"], seen.counts["threads"], file=out)
        print(watch.objects_a_round(_FIRST), watch.bytes_a_round(_FIRST), file=out)
        for kind, n in watch.growth(_FIRST).items():
            print(n, kind, file=out)
        for kind in ("napari_gaussproto.widgets.shared.workers._Worker", "napari_gaussproto.jobs.caches.RegionMemo", "napari_gaussproto.core.model.encoding.Encoding", "napari_gaussproto.core.labels.annotations.ImageIdentity","napari_gaussproto.core.labels.annotations.Annotation", "napari.layers.labels.labels.Labels"):
            print("==", kind, file=out)
            print("\n".join(holders(kind, 2)), file=out)
    prototypes.close_work()
    assert not watch.growth(_FIRST)
