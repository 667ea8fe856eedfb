"""Sentences from the controllers of a dock to the person."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.base.errors import GaussProtoError


class Messages(QObject):
    """What the controllers of one dock say; the dock shows it."""

    told = Signal(str)
    warned = Signal(str)
    withdrawn = Signal(str)

    def tell(self, sentence: str) -> None:
        """Show a sentence."""
        self.told.emit(sentence)

    def warn(self, sentence: str) -> None:
        """Say what the person must do."""
        self.warned.emit(sentence)

    def withdraw(self, sentence: str) -> None:
        """Take a sentence back that is not true any more, if it still stands there."""
        self.withdrawn.emit(sentence)

    def report(self, error: Exception, *, quietly: bool = False) -> None:
        """Say what went wrong; ``quietly`` if it is expected, of work that nobody asked for.

        Raises
        ------
        Exception
            The error itself when it is none of this package: napari shows its details.
        """
        if isinstance(error, GaussProtoError):
            (self.tell if quietly else self.warn)(str(error))
            return
        self.warn("Something unexpected went wrong; the details are in the message.")
        raise error


def duration(seconds: float) -> str:
    """Seconds as a person reads them at a glance."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
