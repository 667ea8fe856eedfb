"""Buttons with their tooltips, and widgets beside and below each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QRect, QTimer
from qtpy.QtGui import QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QStyle,
    QStyleOptionProgressBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

# Where a widget that is held keeps its own tooltip.
_TIP = "own_tooltip"
# Where a widget that cannot be used keeps the reason.
_OBSTACLE = "obstacle"
# How often a bar moves that has no end, and between how many places.
_MOVES_MS, _PLACES = 500, 4
# A tag, or a word that is so long that it may be cut; where it has a joint, or should have one.
_LONG = re.compile(r"<[^>]*>|[^\s<>]{20,}")
_JOINT = re.compile(r"([_/\\.\-]|[^\W_]{20}(?=[^\W_]))")
# Why what cancels is grey.
NOTHING_RUNS = "Nothing is being computed"


def button(text: str, tip: str, clicked: Callable[[], Any] | None = None) -> QPushButton:
    """A button; ``clicked`` is called without arguments, or a signal without any."""
    made = QPushButton(text, toolTip=tip)
    if clicked is not None:
        made.clicked.connect(clicked)
    return made


def enable(button: QWidget, what: str, obstacle: str = "") -> None:
    """Say what a button does, or why it cannot now; see `obstacle_of`."""
    button.setEnabled(not obstacle)
    button.setProperty(_OBSTACLE, obstacle)
    if button.property(_TIP) is None:
        button.setToolTip(obstacle or what)
    else:  # it is held, and says why
        button.setProperty(_TIP, obstacle or what)


def hold(reason: str, *widgets: QWidget) -> None:
    """Disable widgets and say why in their tooltips; without a reason they are as they were."""
    for widget in widgets:
        _explain(reason, widget)
        widget.setEnabled(not reason)


def hold_panel(reason: str, panel: QWidget) -> None:
    """Disable a panel as a whole; the tooltips of what is in it say why."""
    for part in panel.findChildren(QWidget):
        if isinstance(part, QAbstractButton | QComboBox | QAbstractSpinBox):
            _explain(reason, part)
    panel.setEnabled(not reason)


def _explain(reason: str, widget: QWidget) -> None:
    held = widget.property(_TIP) is not None
    if reason and not held:
        widget.setProperty(_TIP, widget.toolTip())
    if reason:
        widget.setToolTip(reason)
    elif held:
        widget.setToolTip(widget.property(_TIP))
        widget.setProperty(_TIP, None)


def obstacle_of(widget: QWidget) -> str:
    """Why a widget is grey, as its tooltip says; empty where nothing was said."""
    held = widget.property(_TIP) is not None
    return str(widget.toolTip() if held else widget.property(_OBSTACLE) or "")


def menu_button(text: str, menu: QMenu) -> QToolButton:
    """A button that opens a menu; its text alone says so."""
    made = QToolButton(text=text, popupMode=QToolButton.ToolButtonPopupMode.InstantPopup)
    made.setStyleSheet("QToolButton::menu-indicator { image: none; }")
    made.setMenu(menu)
    return made


def check_box(text: str, tip: str) -> QCheckBox:
    """A box to check."""
    return QCheckBox(text, toolTip=tip)


def radio_button(text: str, tip: str, checked: bool = False) -> QRadioButton:
    """One of several choices."""
    return QRadioButton(text, toolTip=tip, checked=checked)


def combo_box(tip: str, least_letters: int) -> QComboBox:
    """Choices; a long one is cut instead of widening the dock."""
    made = QComboBox(toolTip=tip)
    cut_long_entries(made, least_letters)
    return made


def cut_long_entries(combo: QComboBox, least_letters: int = 8) -> None:
    """Let a long entry be cut instead of widening the dock."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(least_letters)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def heading(text: str) -> QLabel:
    """A title above a part of a dock."""
    made = wrapped_label(f"<b>{text}</b>")
    made.setContentsMargins(0, 8, 0, 0)
    return made


class WrappedLabel(QLabel):
    """A label of several lines, whose long words are broken: they would be cut, or all beside them.

    Names of photographs and folders are such words.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(wordWrap=True)
        self.setText(text)

    def setText(self, text: str) -> None:
        """See `QLabel.setText`."""
        self._said = text
        super().setText(_LONG.sub(_with_breaks, text))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for the height that the words need at this width.

        Layouts around a label in a scrolled dock ask for it with other widths, and cut its lines.
        """
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self.isVisible():
            self.setMinimumHeight(max(0, self.heightForWidth(self.width())))

    def text(self) -> str:
        """As it was set."""
        return self._said

    def clear(self) -> None:
        """See `QLabel.clear`."""
        self.setText("")


def _with_breaks(word: re.Match[str]) -> str:
    return word[0] if word[0].startswith("<") else _JOINT.sub("\\1\u200b", word[0])


def wrapped_label(text: str = "") -> QLabel:
    """A label of several lines."""
    return WrappedLabel(text)


class WordyPage(QWidget):
    """A page of tabs that has the height that its wrapped words need: tabs do not ask for it."""

    def event(self, event: QEvent) -> bool:
        """Ask for the height; else the words would be cut."""
        done = super().event(event)
        asked = event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize, QEvent.Type.Show)
        if asked and self.isVisible():
            self.setMinimumHeight(max(0, self.heightForWidth(self.width())))
        return bool(done)


class ScrolledPage(QWidget):
    """What a scroll area holds, if it should be no higher than it must be.

    With wrapped words in it, a scroll area gives it the height that it would like, and scrolls
    although there is room.
    """

    def heightForWidth(self, width: int) -> int:
        """The least height, of the layout that it has."""
        layout = self.layout()
        return -1 if layout is None else int(layout.minimumHeightForWidth(width))


class SlimBar(QProgressBar):
    """A bar without words. Without an end, from 0 to 0, a piece of it moves to say "at work".

    Notes
    -----
    It moves twice a second. Qt's own moves as often as the screen is drawn, and each time a window
    with an OpenGL canvas is put together as a whole: without a graphics card that takes the
    processor away from the work that the bar tells of.
    """

    def __init__(self) -> None:
        super().__init__(textVisible=False)
        self.setFixedHeight(6)
        self._place = 0
        self._timer = QTimer(self, interval=_MOVES_MS)
        self._timer.timeout.connect(self._move)

    def setRange(self, least: int, most: int) -> None:
        """See `QProgressBar.setRange`."""
        super().setRange(least, most)
        if least != most:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar; while it is at work, a piece as if it were full, and the rest empty."""
        if self.minimum() != self.maximum():
            super().paintEvent(event)
            return
        option, painter = QStyleOptionProgressBar(), QPainter(self)
        self.initStyleOption(option)
        piece = QRect(self.width() * self._place // _PLACES, 0, self.width() // _PLACES, 99)
        option.minimum, option.maximum = 0, 1
        for option.progress in (0, 1):
            self.style().drawControl(QStyle.ControlElement.CE_ProgressBar, option, painter, self)
            painter.setClipRect(piece)
        painter.end()

    def _move(self) -> None:
        self._place = (self._place + 1) % _PLACES
        self.update()


def setting(widget: QWidget) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Functions that read what is set in a widget, and set it; what cannot be set is left."""

    def read() -> Any:
        if isinstance(widget, QComboBox):
            return widget.currentText()
        if isinstance(widget, QAbstractButton):
            return widget.isChecked()
        return widget.text() if isinstance(widget, QLineEdit) else widget.value()

    def write(value: Any) -> None:
        if type(value) is not type(read()):
            return
        if isinstance(widget, QComboBox):
            widget.setCurrentText(value)
        elif isinstance(widget, QAbstractButton):
            widget.setChecked(value)
        else:
            (widget.setText if isinstance(widget, QLineEdit) else widget.setValue)(value)

    return read, write


class Foldable(QWidget):
    """A part of a dock that shows what is in it after a click on its title; closed at first."""

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        self._title, self._content = title, QWidget()
        self.header = QPushButton(toolTip=tip, checkable=True)
        # A heading, not a button: the theme would paint it in its loudest colour when open.
        self.header.setStyleSheet(
            "QPushButton, QPushButton:checked { text-align: left; border: none; padding: 2px; "
            "background: transparent; font-weight: bold; }"
        )
        self.header.toggled.connect(self._fold)
        fill(self, down(self.header, self._content, spacing=2), 0, 8, 0, 0)
        self._fold(False)

    def set_content(self, layout: QLayout) -> None:
        """Put a layout below the title."""
        fill(self._content, layout, 0, 2, 0, 4)

    def _fold(self, is_open: bool) -> None:
        self.header.setText(f"{'▾' if is_open else '▸'} {self._title}")
        self._content.setVisible(is_open)


def across(*parts: Any, spacing: int | None = None) -> QHBoxLayout:
    """Parts beside each other: see `down`."""
    return _filled(QHBoxLayout(), parts, spacing)


def down(*parts: Any, spacing: int | None = None) -> QVBoxLayout:
    """Parts below each other.

    Parameters
    ----------
    *parts
        Widgets and layouts, or pairs of one and its stretch; a number of pixels, or None for
        all the room that is left.
    """
    return _filled(QVBoxLayout(), parts, spacing)


def fill(widget: QWidget, layout: QLayout, *margins: int) -> QWidget:
    """Put a layout into a widget; ``margins`` are left, top, right and bottom, or none."""
    layout.setContentsMargins(*(margins or (0, 0, 0, 0)))
    widget.setLayout(layout)
    return widget


def _filled(layout: QBoxLayout, parts: tuple[Any, ...], spacing: int | None) -> Any:
    if spacing is not None:
        layout.setSpacing(spacing)
    for part in parts:
        what, stretch = part if isinstance(part, tuple) else (part, 0)
        if what is None:
            layout.addStretch()
        elif isinstance(what, int):
            layout.addSpacing(what)
        elif isinstance(what, QLayout):
            layout.addLayout(what, stretch)
        else:
            layout.addWidget(what, stretch)
    return layout
