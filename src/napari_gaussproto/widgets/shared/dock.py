"""What every dock is built on: it scrolls, says what happens, and ends cleanly."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QFrame,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
)

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.shared.forms import wrapped_label
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import Setting, state_of
from napari_gaussproto.widgets.shared.workarounds import bare, when_gone
from napari_gaussproto.widgets.shared.workers import Runner, soon

if TYPE_CHECKING:
    from napari.viewer import Viewer


class _Pairs(list[tuple[Any, Callable[..., Any]]]):
    """Signals and what they call; not a list, since it can be held weakly."""


class Connections(QObject):
    """Connections to what outlives a widget: the viewer's events, the docks' shared state.

    They end with the widget, or before by `close`. Signals of Qt need none of this.
    """

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._pairs = _Pairs()
        when_gone(self, partial(_disconnect_all, ref(self._pairs)))

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect an event of napari or a signal of the shared state."""
        signal.connect(slot)
        self._pairs.append((signal, slot))

    def close(self) -> None:
        """Disconnect everything; a second time does nothing."""
        _disconnect(self._pairs)


def _disconnect_all(pairs: ref[_Pairs]) -> None:
    _disconnect(pairs() or _Pairs())


def _disconnect(pairs: _Pairs) -> None:
    while pairs:
        signal, slot = pairs.pop()
        try:
            signal.disconnect(slot)
        except RuntimeError:
            # To find a method, napari 0.6 compares its widget, which Qt has deleted by now, with
            # what else listens. A widget itself is found by identity.
            signal.disconnect(getattr(slot, "__self__", slot))


class Dock(QScrollArea):
    """A dock of a viewer.

    Closing takes a dock out of its frame and leaves it to itself, alive: `closeEvent` never
    comes, and `hideEvent` also comes when another tab is raised. So the loss of the parent
    is what counts. The dock is destroyed then; opening it again makes a new one.

    A dock that is opened becomes a tab beside another one of ours in the same area: napari puts
    docks below each other, where none would have the height that it needs.

    Parameters
    ----------
    viewer : Viewer
        Or the proxy that napari gives to a plugin.
    least_width : int
        In pixels; what is inside may ask for more.

    Attributes
    ----------
    messages : Messages
        What is said here stands in ``status``; warnings appear as notifications too.
    status : QLabel
        For the subclass to place.
    abandoned : bool
        Whether it was closed.
    """

    def __init__(self, viewer: Viewer, least_width: int) -> None:
        super().__init__()
        self.viewer, self._least_width = bare(viewer), least_width
        self.abandoned = self._was_framed = False
        self._settings: Mapping[str, Setting] = {}
        self.state = state_of(viewer)
        self.connections = Connections(self)
        self.messages = Messages(self)
        self.status = wrapped_label()
        self.status.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.messages.told.connect(self.status.setText)
        self.messages.warned.connect(self.status.setText)
        self.messages.warned.connect(show_warning)
        self.messages.withdrawn.connect(self._on_withdrawn)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        QApplication.instance().aboutToQuit.connect(self._on_quit)

    def _on_withdrawn(self, sentence: str) -> None:
        if self.status.text() == sentence:
            self.status.clear()

    @property
    def busy(self) -> bool:
        """Whether a thread of this dock is at work."""
        return any(w.busy for w in (*self.findChildren(Runner), *self.findChildren(JobQueue)))

    def find_devices(self, show: Callable[[list[str]], Any]) -> None:
        """Show the names of the devices, and have everything loaded before the first run."""
        loader = Runner(self)
        loader.succeeded.connect(show)
        loader.start(_devices)

    def keep(self, settings: Mapping[str, Setting]) -> None:
        """Let projects keep what is set here, and set what they kept."""
        self._settings = settings
        self.state.settings.join(type(self).__name__, settings)

    def abandon(self) -> None:
        """End all work without waiting for it; results stay.

        A subclass adds what it does besides, such as taking its help off the canvas.
        """
        self.abandoned = True
        self.state.settings.leave(type(self).__name__, self._settings)
        for connections in self.findChildren(Connections):
            connections.close()
        for runner in self.findChildren(Runner):
            runner.cancel()

    def close_work(self) -> None:
        """End all work once; a subclass waits here, but only for a person's work to be written."""
        if not self.abandoned:
            self.abandon()

    def reset_choices(self, event: Any = None) -> None:
        """Follow the layer list; napari calls this for docks it adds, 0.6 for closed ones, too."""
        if self.abandoned:  # and of one that Qt has deleted, nothing else can be asked
            return
        images: Any = getattr(self, "images", None)
        if images is not None:
            images.refresh()

    def minimumSizeHint(self) -> QSize:
        """As wide as what is inside, so that nothing is cut off at the right."""
        size = super().minimumSizeHint()
        inside = 0 if self.widget() is None else self.widget().minimumSizeHint().width()
        bar = self.verticalScrollBar().sizeHint().width()
        frame = self.width() - self.maximumViewportSize().width()
        return QSize(max(self._least_width, inside + bar + frame), size.height())

    def event(self, event: QEvent) -> bool:
        """Notice that the dock got its frame, and that it lost it."""
        if event.type() == QEvent.Type.ParentChange and not self._was_framed:
            self._was_framed = isinstance(self.parentWidget(), QDockWidget)
            if self._was_framed:  # napari places it after this
                soon(self, self._join_sibling)
        lost = event.type() == QEvent.Type.ParentChange and self.parentWidget() is None
        if lost and not self.abandoned:
            self.close_work()
            self.deleteLater()
        return bool(super().event(event))

    def _join_sibling(self) -> None:
        """Become a tab beside another dock of ours; what is open stays where it is."""
        frame = self.parentWidget()
        window = None if frame is None else frame.parentWidget()
        if not isinstance(window, QMainWindow) or frame.isFloating():
            return
        area = window.dockWidgetArea(frame)
        siblings = [
            other
            for other in window.findChildren(QDockWidget)
            if isinstance(other.widget(), Dock)
            and other is not frame
            and not other.isFloating()
            and not other.isHidden()
            and window.dockWidgetArea(other) == area
        ]
        beside = window.tabifiedDockWidgets(frame)
        if siblings and not any(sibling in beside for sibling in siblings):
            window.tabifyDockWidget(siblings[-1], frame)
            frame.show()
            frame.raise_()

    def _on_quit(self) -> None:
        self.close_work()
        for runner in self.findChildren(Runner):
            runner.close()


def _devices() -> Generator[None, None, list[str]]:
    """Load torch and let napari compile how it draws labels: seconds that the GUI need not wait."""
    devices: list[str] = yield from run_job("segment", "devices_job")
    colors = {None: "black", 0: "transparent", 1: "black"}
    DirectLabelColormap(color_dict=colors).map(np.zeros((1, 1), np.uint8))
    return devices
