"""A real viewer with the Segment dock, and a small model that is quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QSettings

from napari_gaussproto.core.model_file import save_model
from napari_gaussproto.widgets.segment import SegmentWidget
from tests.core.builders import tiny_model


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
    qtbot.waitUntil(lambda: not widget.runner.busy and not widget._loader.busy, timeout=60_000)


@pytest.fixture
def run(qtbot: Any) -> Callable[[SegmentWidget], None]:
    """Press Segment and wait for the result."""

    def press(widget: SegmentWidget) -> None:
        with qtbot.waitSignal(widget.runner.finished, timeout=60_000):
            widget.run_button.click()

    return press
