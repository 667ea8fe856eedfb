"""What every dock needs to go away cleanly: napari does not tell a dock that it was closed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class Connections:
    """Connections to what outlives a dock: the viewer's events, the docks' shared state.

    Signals of Qt need none of this, they end with the object that they call.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Callable[..., Any]]] = []

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect an event of napari or a signal of the shared state."""
        signal.connect(slot)
        self._pairs.append((signal, slot))

    def drop(self) -> None:
        """Disconnect everything; a second time does nothing."""
        pairs, self._pairs = self._pairs, []
        for signal, slot in pairs:
            signal.disconnect(slot)


def when_closed(dock: QWidget, stop: Callable[[], None], forget: Callable[[], None]) -> None:
    """Say what happens when a dock is closed, and when it is destroyed with its viewer.

    Closing takes a dock out of its frame and leaves it to itself, alive: `closeEvent` never
    comes, and `hideEvent` also comes when another tab is raised. So the loss of the parent
    is what counts. The dock is destroyed then; whoever opens it again gets a new one.

    Parameters
    ----------
    dock : QWidget
    stop : callable
        Called once on closing: end the work, take what was only a help off the canvas.
    forget : callable
        Called once the widgets inside are destroyed already, so it must not use Qt:
        `Connections.drop` and `Runner.abandon` are for this.
    """
    dock.destroyed.connect(partial(_call, forget))
    dock.installEventFilter(_Watch(dock, stop))


def _call(function: Callable[[], None], destroyed: object = None) -> None:
    function()


class _Watch(QObject):
    """Notices that a widget lost its parent."""

    def __init__(self, dock: QWidget, stop: Callable[[], None]) -> None:
        super().__init__(dock)
        self._stop: Callable[[], None] | None = stop

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        lost = (
            isinstance(watched, QWidget)
            and event is not None
            and event.type() == QEvent.Type.ParentChange
            and watched.parentWidget() is None
        )
        if lost and self._stop is not None and isinstance(watched, QWidget):
            stop, self._stop = self._stop, None
            stop()
            watched.deleteLater()
        return False
