"""Plots of pyqtgraph in the colours of the theme around them.

Importing this module loads pyqtgraph, which takes a fraction of a second: import it where a plot
is first shown, best in a thread.
"""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import QEvent
from qtpy.QtGui import QColor, QFont, QPalette
from qtpy.QtWidgets import QFrame

from napari_gaussproto.widgets.shared.pictures import faint

# Contrast that graphics need (WCAG 2.1, 1.4.11).
_CONTRAST = 3.0


class ThemedPlot(pg.PlotWidget):
    """A plot that looks like a part of napari: its background, and small, quiet axes.

    There is no menu, and the mouse neither zooms nor pans.
    """

    _ready = False  # the first events come before there are axes

    def __init__(self) -> None:
        super().__init__(background=None)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.hideButtons()
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self._ready = True
        self.restyle()

    def restyle(self) -> None:
        """Take over colours and font of the theme; a plot with more in it adds to this."""
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.setPen(self.ink(60))
            axis.setTextPen(self.ink(170))
            axis.setStyle(tickFont=smaller(self.font()), tickLength=0)
        self.resetCachedContent()  # the background of the former theme

    def ink(self, alpha: int) -> QColor:
        """The theme's text colour, weaker the smaller ``alpha``, of 255."""
        return faint(self.palette().color(QPalette.ColorRole.WindowText), alpha)

    def shade(self, color: str) -> QColor:
        """A colour that stands out against the theme's background."""
        return readable(color, self.palette().color(QPalette.ColorRole.Window))

    def changeEvent(self, event: QEvent) -> None:
        """Follow another theme."""
        super().changeEvent(event)
        changed = event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
        if changed and self._ready:
            self.restyle()


def readable(color: str, background: QColor) -> QColor:
    """A colour, made lighter or darker until it stands out against a background."""
    found, light = QColor(color), _luminance(background)
    for _ in range(20):
        own = _luminance(found)
        if (max(own, light) + 0.05) / (min(own, light) + 0.05) >= _CONTRAST:
            break
        found = found.lighter(108) if light < 0.2 else found.darker(108)
    return found


def _luminance(color: QColor) -> float:
    """Relative luminance (WCAG 2.1)."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (color.redF(), color.greenF(), color.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def smaller(font: QFont) -> QFont:
    """The font for what stands around a plot."""
    small = QFont(font)
    if font.pointSizeF() > 0:
        small.setPointSizeF(font.pointSizeF() * 0.85)
    else:
        small.setPixelSize(max(9, round(font.pixelSize() * 0.85)))
    return small
