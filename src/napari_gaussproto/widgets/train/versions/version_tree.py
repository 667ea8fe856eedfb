"""The versions of a project as a tree: lines of fits, and branches below where they began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, QPointF, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPalette, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_gaussproto.core.base.config import DEFAULT_COLORS
from napari_gaussproto.core.project.version import Version
from napari_gaussproto.widgets.train.fitting.sentences import counted
from napari_gaussproto.widgets.train.versions.version_words import (
    Row,
    ago,
    beside,
    folded,
    starts_informed,
    version_html,
)

_REFRESH_MS = 20_000
_DOT, _HEIGHT, _INDENTATION = 4, 42, 14
# Rows that the tree wants to show, and those that it needs.
_MOST, _FEWEST = 5, 2


class VersionItem(QTreeWidgetItem):
    """A version in the tree, which may stand for several live fits."""

    def __init__(self, row: Row, known: dict[str, Version], current: bool) -> None:
        version = row.version
        super().__init__([version.name])
        self.version, self.live, self.current = version, row.live, current
        self.setToolTip(0, version_html(version, known))
        self.measure = beside(version, informed=starts_informed(version, known))
        self.setFlags(self.flags() | Qt.ItemFlag.ItemIsEditable)
        spoken = f"{version.name}, {self.made}, {self.measure}"
        self.setData(0, Qt.ItemDataRole.AccessibleTextRole, spoken)

    @property
    def made(self) -> str:
        """How it came about."""
        what = f"last of {self.live} live fits" if self.live > 1 else self.version.what
        made = f"{what} · {counted(self.version.strokes, 'stroke')}"
        return f"current · {made}" if self.current else made

    def goes_on(self, up: bool) -> bool:
        """Whether the row above was made of this one; if not ``up``, this of the one below."""
        siblings = self.parent() or self.treeWidget().invisibleRootItem()
        other = siblings.child(siblings.indexOfChild(self) + (-1 if up else 1))
        newer, older = (other, self) if up else (self, other)
        return other is not None and newer.version.parent == older.version.id


class VersionTree(QTreeWidget):
    """Versions, newest first.

    What led to the newest version is one line of rows. Every other branch is a line of its own
    below the version that it began at. A version whose parent is not there begins a line.
    """

    rename_asked = Signal(str, str)  # id of a version, and what was typed; not changed here

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, VersionItem] = {}
        self._late: tuple[Sequence[Version], str | None] | None = None
        self.clock = QTimer(self, interval=_REFRESH_MS)
        self.clock.timeout.connect(self.viewport().update)  # times grow older
        self.clock.start()
        delegate = _RowDelegate(self)
        delegate.typed.connect(self._on_typed)
        # After the editor has gone.
        delegate.closeEditor.connect(self._catch_up, Qt.ConnectionType.QueuedConnection)
        self.setItemDelegate(delegate)
        self.setHeaderHidden(True)
        self.setIndentation(_INDENTATION)
        self.setItemsExpandable(False)
        self.setUniformRowHeights(True)
        self.setMouseTracking(True)  # for the row under the mouse
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QTreeView { background: transparent; border: none; padding: 0; }")
        self.setAccessibleName("Versions")

    # -- versions ---------------------------------------------------------------------------

    def set_versions(self, versions: Sequence[Version], current: str | None) -> None:
        """As `VersionPanel.set_versions`; while a name is being typed, that waits."""
        if self.state() == QAbstractItemView.State.EditingState:
            self._late = (versions, current)
            return
        chosen, place = self.selected(), self.verticalScrollBar().value()
        known = {version.id: version for version in versions}
        rows = folded(versions, current)
        versions = [row.version for row in rows]
        self.blockSignals(True)  # until the choice is what it was
        self.clear()
        self._items = {
            row.version.id: VersionItem(row, known, row.version.id == current) for row in rows
        }
        self._plant(versions)
        self.expandAll()
        self.clearSelection()
        self.setCurrentItem(self._items.get(chosen or ""))
        self.blockSignals(False)
        self.itemSelectionChanged.emit()
        self.verticalScrollBar().setValue(place)
        self.fit_rows()

    def _plant(self, versions: Sequence[Version]) -> None:
        """Put all items where they belong."""
        # Of each version, the newest one that came of it; and what was made of it directly.
        newest = {version.id: number for number, version in enumerate(versions)}
        made_of: dict[str | None, list[str]] = {}
        for version in reversed(versions):
            parent = version.parent if version.parent in newest else None
            if parent is not None:
                newest[parent] = max(newest[parent], newest[version.id])
            made_of.setdefault(parent, []).append(version.id)
        waiting = [(self.invisibleRootItem(), made_of.get(None, []))]
        while waiting:
            trunk, begun = waiting.pop()
            for version_id in sorted(begun, key=lambda v: newest[v], reverse=True):
                line = [version_id]
                while following := made_of.get(line[-1]):
                    main, *others = sorted(following, key=lambda v: newest[v], reverse=True)
                    waiting.append((self._items[line[-1]], others))
                    line.append(main)
                trunk.addChildren([self._items[entry] for entry in reversed(line)])

    def selected(self) -> str | None:
        """Id of the chosen version."""
        chosen = self.selectedItems()
        return chosen[0].version.id if chosen else None

    def ids(self) -> list[str]:
        """Ids of the versions that have a row, as they were made."""
        return list(self._items)

    def item_of(self, version: str) -> VersionItem:
        """Row of a version."""
        return self._items[version]

    # -- names ------------------------------------------------------------------------------

    def _on_typed(self, index: QModelIndex, text: str) -> None:
        version = self.itemFromIndex(index).version
        if text and text != version.name:
            self.rename_asked.emit(version.id, text)

    def _catch_up(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            self.set_versions(*late)

    def viewportEvent(self, event: QEvent) -> bool:
        """No tooltip over the name that is being edited."""
        editing = self.state() == QAbstractItemView.State.EditingState
        if editing and event.type() == QEvent.Type.ToolTip:
            return True
        return bool(super().viewportEvent(event))

    # -- how it looks -----------------------------------------------------------------------

    def fit_rows(self) -> None:
        """Be no higher than the rows are."""
        rows, height = max(1, len(self._items)), max(1, self.sizeHintForRow(0))
        self.setMinimumHeight(min(rows, _FEWEST) * height)
        self.setMaximumHeight(rows * height)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Room for a few rows."""
        rows = min(max(1, len(self._items)), _MOST)
        return QSize(300, rows * max(1, self.sizeHintForRow(0)))

    def changeEvent(self, event: QEvent) -> None:
        """Rows are as high as the theme's letters."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.fit_rows()

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """Draw the line of a version with its mark, and the lines that pass by."""
        item, ink = self.itemFromIndex(index), self.palette().color(QPalette.ColorRole.WindowText)
        x, middle = rect.right() - _INDENTATION / 2 + 2, rect.center().y() + 0.5
        top, bottom = float(rect.top()), rect.bottom() + 1.0
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Without names: those of PySide6 and PyQt6 differ.
        style, cap = Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap
        painter.setPen(QPen(_faded(ink, 110), 1.5, style, cap))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if item.goes_on(up=True):
            painter.drawLine(QPointF(x, top), QPointF(x, middle))
        elif item.parent() is not None:
            path = QPainterPath(QPointF(x - _INDENTATION, top))
            path.cubicTo(QPointF(x, top), QPointF(x, top), QPointF(x, middle))
            painter.drawPath(path)
        if item.goes_on(up=False):
            painter.drawLine(QPointF(x, middle), QPointF(x, bottom))
        passing, at = item.parent(), x - _INDENTATION
        while passing is not None:
            if passing.goes_on(up=False):
                painter.drawLine(QPointF(at, top), QPointF(at, bottom))
            passing, at = passing.parent(), at - _INDENTATION
        green = QColor(DEFAULT_COLORS[0])
        painter.setPen(QPen(green if item.current else _faded(ink, 200), 1.5))
        window = self.palette().color(QPalette.ColorRole.Window)
        painter.setBrush(green if item.current else window)
        size = _DOT + 1.5 if item.current else _DOT
        painter.drawEllipse(QPointF(x, middle), size, size)
        painter.restore()


class _RowDelegate(QStyledItemDelegate):
    """Paints a row in two lines of text, and edits the name."""

    typed = Signal(QModelIndex, str)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Two lines of text."""
        return QSize(200, max(_HEIGHT, 2 * option.fontMetrics.height() + 8))

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Without the name, which `paint` writes."""
        super().initStyleOption(option, index)
        option.text = ""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Write name and measure, and below how and when it was made."""
        super().paint(painter, option, index)
        item = self.parent().itemFromIndex(index)
        version, ink = item.version, option.palette.color(QPalette.ColorRole.WindowText)
        box = option.rect.adjusted(4, 3, -8, -3)
        half = box.height() // 2
        bold = option.font
        bold.setBold(item.current)
        painter.save()
        upper = (0, version.name, item.measure, 255)
        lower = (1, item.made, ago(version.created), 150)
        for row, left, right, alpha in (upper, lower):
            line = QRect(box.left(), box.top() + row * half, box.width(), half)
            painter.setPen(_faded(ink, alpha))
            # What is on the right stays whole; a long name gives way.
            painter.setFont(self.parent().font())
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | _MIDDLE, right)
            room = line.width() - painter.fontMetrics().horizontalAdvance(right) - 8
            if row == 0:
                painter.setFont(bold)
            text = painter.fontMetrics().elidedText(left, Qt.TextElideMode.ElideRight, room)
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft | _MIDDLE, text)
        painter.restore()

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex
    ) -> QWidget:
        """A line for the name."""
        editor = QLineEdit(index.data(), parent)
        editor.selectAll()
        return editor

    def setModelData(self, editor: QWidget, model: Any, index: QModelIndex) -> None:
        """Leave the change to the owner of the versions."""
        self.typed.emit(index, editor.text().strip())


_MIDDLE = Qt.AlignmentFlag.AlignVCenter


def _faded(color: QColor, alpha: int) -> QColor:
    faded = QColor(color)
    faded.setAlpha(alpha)
    return faded
