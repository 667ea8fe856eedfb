"""A viewer in which a person works for long holds no more than before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from tests.core.builders import two_tone
from tests.widgets.leaks import MB, Watch
from tests.widgets.train_dock import WAIT, click, draw, quick, settled

# Rounds in which modules are loaded and caches filled.
_WARM_UP = 2
# Bytes and objects of a round that napari, Qt and the allocator may keep.
_MOST_BYTES, _MOST_OBJECTS = 1 * MB, 1_500


class Person:
    """Does the same with one photograph after the other."""

    def __init__(self, viewer: Any, segment: Any, train: Any, qtbot: Any) -> None:
        self.viewer, self.segment, self.train, self._qtbot = viewer, segment, train, qtbot
        self._pixels = two_tone()[0].astype(int)
        self._rng = np.random.default_rng(0)
        # A photograph that is labelled, closed, and opened again and again.
        self._kept = self._open(self._pixels)
        draw(train)
        quick(train, qtbot)
        self._close(self._kept)

    def round(self) -> None:
        """Run, edit, label, fit and close; the Prototypes dock is opened and closed, too."""
        prototypes = PrototypesWidget(self.viewer)
        frame = self.viewer.window.add_dock_widget(prototypes, name="Prototypes", area="right")
        image = self._open(self._pixels + self._rng.integers(-3, 4, self._pixels.shape))
        with self._qtbot.waitSignal(self.segment.runner.finished, timeout=WAIT):
            self.segment.run_button.click()
        self.segment.state.show(likelihood=True)
        self.segment.state.show(likelihood=False)
        self._rest(prototypes)
        prototypes.gallery.row(1).on.click()
        self._rest(prototypes)
        prototypes.undo_button.click()
        self._rest(prototypes)
        draw(self.train)
        quick(self.train, self._qtbot)
        click(self.train.labels.clear)
        self._close(image)
        again = self._open(self._pixels)
        annotations = self.train.annotations
        self._qtbot.waitUntil(lambda: annotations.find(again) is not None, timeout=WAIT)
        assert annotations.find(again).painted == (0, 1)
        self._close(again)
        self.viewer.window.remove_dock_widget(frame)
        for version in self.train.version_panel.versions[1:]:
            self.train.versions.delete(version.id)
        self._rest()

    def _open(self, pixels: Any) -> Any:
        image = self.viewer.add_image(np.clip(pixels, 0, 255).astype(np.uint8), name="field")
        self._rest()
        return image

    def _close(self, image: Any) -> None:
        self._rest()
        self.viewer.layers.remove(image)
        self._rest()
        assert not self.viewer.layers

    def _rest(self, *docks: Any) -> None:
        busy = (self.segment, self.train, *docks)
        self._qtbot.waitUntil(lambda: not any(dock.busy for dock in busy), timeout=WAIT)
        settled(self.train, self._qtbot)
        self._qtbot.wait(20)
        self._qtbot.waitUntil(lambda: not any(dock.busy for dock in busy), timeout=WAIT)


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_rounds_of_work_leave_nothing(
    viewer: Any, dock: Any, train: Any, qtbot: Any, rounds: int
) -> None:
    person, watch = Person(viewer, dock, train, qtbot), Watch(viewer)
    for _ in range(_WARM_UP + rounds):
        person.round()
        watch.look()
    print(watch.told(_WARM_UP))
    assert not watch.growth(_WARM_UP)
    if rounds > 10:  # in few rounds, what the allocator does counts for more
        assert watch.objects_a_round(_WARM_UP) < _MOST_OBJECTS
        assert watch.bytes_a_round(_WARM_UP) < _MOST_BYTES


def test_what_is_kept_is_found(viewer: Any) -> None:
    watch, kept = Watch(viewer), []
    for number in range(4):
        watch.look()
        kept.append(viewer.add_image(np.zeros((9, 9)), name=str(number)))
        viewer.layers.events.removed.connect(lambda event: None)
    growth = watch.growth(0)
    assert growth["layers"] == 3 and growth["callbacks"] >= 3
