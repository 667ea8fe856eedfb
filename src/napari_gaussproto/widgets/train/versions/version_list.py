"""The list of versions: its model, and how a row with its branch line is painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QPointF, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPainterPath, QPalette, QPen
from qtpy.QtWidgets import (
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_gaussproto.core.base.config import DEFAULT_COLORS
from napari_gaussproto.widgets.train.versions.version_rows import (
    Lanes,
    VersionLike,
    ago,
    lanes,
    main_measure,
    plural,
    version_html,
)

VERSION, LANES, CURRENT = (Qt.ItemDataRole.UserRole + k for k in range(3))
_LANE, _DOT, _HEIGHT = 12, 4, 42
# More branches than this side by side are drawn on top of each other.
_MOST_LANES = 6


class VersionModel(QAbstractListModel):
    """Versions, newest first.

    Signals
    -------
    rename_asked(str, str)
        Id of a version and the name that a person typed. It is not changed here.
    """

    rename_asked = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self._versions: list[VersionLike] = []
        self._lanes: list[Lanes] = []
        self._current: str | None = None

    @property
    def versions(self) -> list[VersionLike]:
        """Newest first."""
        return list(self._versions)

    @property
    def current(self) -> str | None:
        """Id of the current one."""
        return self._current

    @property
    def width(self) -> int:
        """Columns that the branch lines need."""
        return max((row.width for row in self._lanes), default=1)

    def set_versions(self, versions: Sequence[VersionLike], current: str | None) -> None:
        """Show other versions; an editor that is open stays open if its version stays."""
        old, new = ([v.id for v in some] for some in (self._versions, versions))
        added = len(new) - len(old)
        if added >= 0 and new[added:] == old:
            if added:
                self.beginInsertRows(QModelIndex(), 0, added - 1)
            self._take(versions, current)
            if added:
                self.endInsertRows()
            if new:
                self.dataChanged.emit(self.index(0), self.index(len(new) - 1))
            return
        self.beginResetModel()
        self._take(versions, current)
        self.endResetModel()

    def _take(self, versions: Sequence[VersionLike], current: str | None) -> None:
        self._versions, self._current = list(versions), current
        self._lanes = lanes(self._versions)

    def row_of(self, version: str | None) -> int | None:
        """Where a version is."""
        found = (row for row, entry in enumerate(self._versions) if entry.id == version)
        return next(found, None)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of versions."""
        return 0 if parent is not None and parent.isValid() else len(self._versions)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What the delegate draws."""
        if not index.isValid():
            return None
        version = self._versions[index.row()]
        answers: dict[int, Callable[[], Any]] = {
            Qt.ItemDataRole.DisplayRole: lambda: version.name,
            Qt.ItemDataRole.EditRole: lambda: version.name,
            Qt.ItemDataRole.ToolTipRole: lambda: version_html(version, self._names()),
            Qt.ItemDataRole.AccessibleTextRole: lambda: (
                f"{version.name}, {version.what}, {main_measure(version.measures)}"
            ),
            VERSION: lambda: version,
            LANES: lambda: self._lanes[index.row()],
            CURRENT: lambda: version.id == self._current,
        }
        answer = answers.get(role)
        return None if answer is None else answer()

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Pass on what was typed."""
        version, text = self._versions[index.row()], str(value).strip()
        if not text or text == version.name:
            return False
        self.rename_asked.emit(version.id, text)
        return True

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """A version can be chosen and its name edited."""
        return super().flags(index) | Qt.ItemFlag.ItemIsEditable

    def _names(self) -> dict[str, str]:
        return {version.id: version.name for version in self._versions}


class VersionDelegate(QStyledItemDelegate):
    """Paints a row: branch line, name and measure, and below what it is and how old."""

    def __init__(self, model: VersionModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Two lines of text."""
        return QSize(200, max(_HEIGHT, 2 * option.fontMetrics.height() + 8))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw a row."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = option.palette.color(QPalette.ColorRole.WindowText)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if chosen or hovered:
            painter.fillRect(option.rect, _faded(ink, 45 if chosen else 18))
        self._draw_lanes(painter, option.rect, index, ink)
        self._draw_words(painter, option, index, ink)
        painter.restore()

    def _text_rect(self, option: QStyleOptionViewItem) -> QRect:
        left = 8 + _LANE * min(self._model.width, _MOST_LANES)
        return option.rect.adjusted(left, 4, -8, -4)

    def _draw_words(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex, ink: QColor
    ) -> None:
        version: VersionLike = index.data(VERSION)
        box, half = self._text_rect(option), option.fontMetrics.height()
        top = QRect(box.left(), box.top(), box.width(), half)
        low = QRect(box.left(), box.bottom() - half + 1, box.width(), half)
        # What the fit reached stays whole; a long name gives way.
        painter.setFont(option.font)
        painter.setPen(_faded(ink, 230 if version.measures else 120))
        rest = self._put(painter, top, main_measure(version.measures))
        font = QFont(option.font)
        font.setBold(index.data(CURRENT))
        painter.setFont(font)
        painter.setPen(ink)
        self._begin(painter, rest, version.name)
        painter.setFont(option.font)
        painter.setPen(_faded(ink, 150))
        rest = self._put(painter, low, ago(version.created))
        what = f"{version.what} · {plural(version.strokes, 'stroke')}"
        if index.data(CURRENT):
            what = f"current · {what}"
        self._begin(painter, rest, what)

    def _put(self, painter: QPainter, box: QRect, text: str) -> QRect:
        """Write at the right end, and tell what is left of the line."""
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, right, text)
        return box.adjusted(0, 0, -painter.fontMetrics().horizontalAdvance(text) - 8, 0)

    def _begin(self, painter: QPainter, box: QRect, text: str) -> None:
        """Write at the left end, shortened where there is no room."""
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        elided = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, left, elided)

    def _draw_lanes(self, painter: QPainter, rect: QRect, index: QModelIndex, ink: QColor) -> None:
        row: Lanes = index.data(LANES)
        middle = rect.center().y() + 0.5

        def x(lane: int) -> float:
            return rect.left() + 10 + _LANE * min(lane, _MOST_LANES - 1)

        solid, flat = Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap
        painter.setPen(QPen(_faded(ink, 110), 1.5, solid, flat))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        top, bottom = float(rect.top()), rect.bottom() + 1.0
        for lane in row.through:
            painter.drawLine(QPointF(x(lane), top), QPointF(x(lane), bottom))
        here = x(row.lane)
        if row.up:
            painter.drawLine(QPointF(here, top), QPointF(here, middle))
        if row.down:
            painter.drawLine(QPointF(here, middle), QPointF(here, bottom))
        for lane in row.joining:
            path = QPainterPath(QPointF(x(lane), top))
            path.cubicTo(QPointF(x(lane), middle), QPointF(x(lane), middle), QPointF(here, middle))
            painter.drawPath(path)
        self._draw_dot(painter, QPointF(here, middle), index.data(CURRENT), ink)

    def _draw_dot(self, painter: QPainter, at: QPointF, current: bool, ink: QColor) -> None:
        green = QColor(DEFAULT_COLORS[0])
        painter.setPen(QPen(green if current else _faded(ink, 200), 1.5))
        painter.setBrush(green if current else self._background())
        size = _DOT + 1.5 if current else _DOT
        painter.drawEllipse(at, size, size)

    def _background(self) -> QColor:
        parent = self.parent()
        assert isinstance(parent, QWidget)
        return parent.palette().color(QPalette.ColorRole.Window)

    # -- editing the name -------------------------------------------------------------------

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex
    ) -> QWidget:
        """A line for the name."""
        editor = QLineEdit(parent)
        editor.setText(index.data(Qt.ItemDataRole.EditRole))
        editor.selectAll()
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        """Nothing: the name was there at the start, and what is being typed must stay."""

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Over the name."""
        box = self._text_rect(option)
        height = min(option.rect.height(), editor.sizeHint().height())
        top = option.rect.top() + (option.rect.height() - height) // 2
        editor.setGeometry(QRect(box.left() - 4, top, box.width() + 8, height))


def _faded(color: QColor, alpha: int) -> QColor:
    faded = QColor(color)
    faded.setAlpha(alpha)
    return faded
