"""A real viewer with the Segment dock, and a small model that is quick."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QSettings

from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from tests.core.builders import tiny_model, two_tone
from tests.widgets.main_thread import told_elsewhere
from tests.widgets.train_dock import open_train


@pytest.fixture(autouse=True)
def quick_collections() -> None:
    """Keep what was there before a test out of the collections of garbage during it.

    napari collects all garbage whenever a layer is removed and a viewer closed. With torch and
    napari itself to look through, that took half the time of these tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def main_thread_alone() -> Iterator[list[str]]:
    """Nothing in a viewer is changed from another thread than its own."""
    with told_elsewhere() as found:
        yield found
    assert not found, found[0]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the person's list of recent models and from their projects."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
        QSettings.setPath(QSettings.Format.IniFormat, scope, str(tmp_path / "settings"))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny two-class model with random weights."""
    model = tiny_model()
    model.card.name = "tiny"
    return save_model(model, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    """A real napari viewer."""
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any, model_file: Path, qtbot: Any) -> Any:
    """The Segment dock in that viewer, with the tiny model chosen."""
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment", area="right")
    assert widget.models.choose_file(model_file)
    yield widget
    widget.runner.cancel()
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


@pytest.fixture
def run(qtbot: Any) -> Callable[[SegmentWidget], None]:
    """Press Segment and wait for the result."""

    def press(widget: SegmentWidget) -> None:
        with qtbot.waitSignal(widget.runner.finished, timeout=60_000):
            widget.run_button.click()

    return press


@pytest.fixture
def photo(viewer: Any) -> Any:
    return viewer.add_image(two_tone()[0], name="field")


@pytest.fixture
def prototypes(viewer: Any, photo: Any, dock: Any, run: Any, qtbot: Any) -> Any:
    """The Prototypes dock after an image was segmented."""
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes", area="right", tabify=True)
    widget.parent().raise_()
    run(dock)
    # An explanation of a cell is there at once.
    widget.why_panel.cell.setChecked(True)
    yield widget
    if not widget.abandoned:  # by a test that closes it
        widget.close_work()
        qtbot.waitUntil(lambda: not widget.busy, timeout=30_000)


@pytest.fixture
def shown(viewer: Any, prototypes: Any, qtbot: Any) -> None:
    """The viewer on the screen, laid out, with the whole image in view."""
    viewer.window.show()
    viewer.reset_view()
    qtbot.waitUntil(lambda: prototypes.gallery.rows[0].isVisible(), timeout=10_000)
    qtbot.wait(100)


@pytest.fixture
def wait(prototypes: Any, qtbot: Any) -> Callable[[], None]:
    """Wait until all edits are in force."""

    def until_idle() -> None:
        qtbot.waitUntil(lambda: not prototypes.session.busy, timeout=30_000)

    return until_idle


@pytest.fixture
def other_file(tmp_path: Path) -> Path:
    """Another model for the same classes."""
    model = tiny_model(seed=5)
    model.card.name = "other"
    return save_model(model, tmp_path / "other")


@pytest.fixture
def train(viewer: Any, qtbot: Any) -> Any:
    """The Train dock, set to a tiny new model."""
    widget = open_train(viewer)
    yield widget
    if not widget.abandoned:
        widget.fits.cancel()
        qtbot.waitUntil(lambda: not widget.busy, timeout=120_000)


@pytest.fixture
def image(viewer: Any, train: Any) -> Any:
    """An image in the viewer of the Train dock."""
    return viewer.add_image(two_tone()[0], name="field", scale=(2, 2), translate=(5, 7))
