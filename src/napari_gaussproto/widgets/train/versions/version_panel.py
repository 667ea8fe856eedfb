"""History of a model: its versions, what to do with one, and what two differ in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from qtpy.QtCore import QEvent, QItemSelectionModel, QPoint, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QHelpEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QMessageBox,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_gaussproto.widgets.shared.share_table import ShareBar, swatch
from napari_gaussproto.widgets.train.versions.version_list import VersionDelegate, VersionModel
from napari_gaussproto.widgets.train.versions.version_rows import VersionLike

_REFRESH_MS = 20_000
_MOST_ROWS, _BAR = 8, 36
# Rows that the list wants to show, and those that it needs.
_MOST, _FEWEST = 5, 2

Row = tuple[str, str, int, float]


@dataclass(frozen=True)
class _Action:
    """Something to do with a version; ``blocked`` says why the current one can't take it."""

    key: str
    text: str
    tip: str
    blocked: str | None = None


_ACTIONS = (
    _Action(
        "compare",
        "Compare",
        "Show what the chosen version and the current one label differently in this image",
        "This is the current version: choose another one to compare it with",
    ),
    _Action(
        "revert",
        "Revert to",
        "Make the chosen version the current one and go on from here, as a branch;\n"
        "newer versions stay",
        "This is the current version already",
    ),
    _Action("save", "Save model as…", "Save the chosen version as a model file"),
    _Action("rename", "Rename", "Give the chosen version another name (or double-click it)"),
    _Action(
        "delete",
        "Delete…",
        "Delete the chosen version for good",
        "The current version can't be deleted: revert to another one first",
    ),
)
_NOTHING = "Choose a version first"


class VersionPanel(QWidget):
    """Versions of a model, newest first.

    Signals
    -------
    compare_asked(str), revert_asked(str), save_asked(str), delete_asked(str)
        Id of a version. A deletion has been confirmed.
    rename_asked(str, str)
        Id and the new name.
    """

    compare_asked = Signal(str)
    revert_asked = Signal(str)
    rename_asked = Signal(str, str)
    save_asked = Signal(str)
    delete_asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.model = VersionModel()
        self.model.rename_asked.connect(self.rename_asked)
        self.view = VersionView(self.model)
        self.view.selectionModel().selectionChanged.connect(self._update_buttons)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.empty = QLabel("No versions yet: every fit and every fine-tune adds one.")
        self.empty.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        self.more = QToolButton()
        self.comparison = ComparisonTable()
        self._busy: str | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self.view.viewport().update)
        self._timer.start()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.empty)
        layout.addWidget(self.view, 1)
        layout.addLayout(self._button_row())
        layout.addWidget(self.comparison)
        layout.addStretch()
        self._show_any()

    def _button_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        for action in _ACTIONS[:3]:
            button = QPushButton(action.text.replace("Save model", "Save"))
            button.clicked.connect(lambda _, key=action.key: self._do(key))
            self.buttons[action.key] = button
            row.addWidget(button)
        self.more.setText("⋯")
        self.more.setToolTip("Rename or delete the chosen version")
        self.more.clicked.connect(self._on_more)
        row.addWidget(self.more)
        row.addStretch()
        return row

    # -- what is shown ----------------------------------------------------------------------

    def set_versions(self, versions: Sequence[VersionLike], current: str | None) -> None:
        """Show versions; the one that is chosen stays chosen.

        Parameters
        ----------
        versions : sequence of Version
            In the order in which they were made; they are shown newest first.
        current : str or None
            Id of the version that is in use.
        """
        chosen = self.selected()
        self.model.set_versions(versions[::-1], current)
        if self.selected() != chosen:
            self.select(chosen)
        self.view.fit_rows()
        self._show_any()

    def set_busy(self, reason: str | None) -> None:
        """Block everything but saving while a training runs; the reason is the tooltip."""
        self._busy = reason
        self._update_buttons()

    def selected(self) -> str | None:
        """Id of the chosen version."""
        rows = self.view.selectionModel().selectedIndexes()
        return self.model.versions[rows[0].row()].id if rows else None

    def select(self, version: str | None) -> None:
        """Choose a version; none when it is not there."""
        row = self.model.row_of(version)
        selection = self.view.selectionModel()
        if row is None:
            selection.clear()
        else:
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
            selection.setCurrentIndex(self.model.index(row), flags)
        self._update_buttons()

    def show_comparison(self, rows: Sequence[Row], title: str = "") -> None:
        """Show what two versions label differently.

        Parameters
        ----------
        rows : sequence of (color, text, pixels, share)
            For each move, such as "soil → weed", its pixels and their share of all. Empty
            when nothing differs.
        title : str
            What is compared; plain text.
        """
        self.comparison.show_rows(rows, title)

    def clear_comparison(self) -> None:
        """What was compared is not what is shown any more."""
        self.comparison.hide()

    def _show_any(self) -> None:
        some = self.model.rowCount() > 0
        self.empty.setVisible(not some)
        for widget in (self.view, self.more, *self.buttons.values()):
            widget.setVisible(some)
        self._update_buttons()

    @property
    def versions(self) -> list[VersionLike]:
        """Newest first."""
        return self.model.versions

    @property
    def has_versions(self) -> bool:
        """Whether there are any versions."""
        return bool(self.model.versions)

    # -- what can be done -------------------------------------------------------------------

    def _blocked(self, action: _Action) -> str | None:
        """Why an action can't be done with the chosen version."""
        chosen = self.selected()
        if chosen is None:
            return _NOTHING
        if self._busy is not None and action.key not in ("save", "rename"):
            return self._busy
        return action.blocked if chosen == self.model.current else None

    def _update_buttons(self) -> None:
        for action in _ACTIONS:
            if action.key in self.buttons:
                reason = self._blocked(action)
                self.buttons[action.key].setEnabled(reason is None)
                self.buttons[action.key].setToolTip(reason or action.tip)
        self.more.setEnabled(self.selected() is not None)

    def menu(self, keys: Sequence[str] | None = None) -> QMenu:
        """What can be done with the chosen version, all or some of it."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for action in _ACTIONS:
            if keys is not None and action.key not in keys:
                continue
            if action.key == "delete":
                menu.addSeparator()
            entry = menu.addAction(action.text)
            reason = self._blocked(action)
            entry.setEnabled(reason is None)
            entry.setToolTip(reason or action.tip)
            if action.key == "rename":
                entry.setShortcut(QKeySequence("F2"))
            entry.triggered.connect(lambda _, key=action.key: self._do(key))
        menu.aboutToHide.connect(menu.deleteLater)
        return menu

    def _on_menu(self, at: QPoint) -> None:
        index = self.view.indexAt(at)
        if index.isValid():
            self.view.setCurrentIndex(index)
            self.menu().popup(self.view.viewport().mapToGlobal(at))

    def _on_more(self) -> None:
        self.menu(("rename", "delete")).popup(self.more.mapToGlobal(QPoint(0, self.more.height())))

    def _do(self, key: str) -> None:
        chosen = self.selected()
        if chosen is None:
            return
        jobs: dict[str, Callable[[str], None]] = {
            "compare": self.compare_asked.emit,
            "revert": self.revert_asked.emit,
            "save": self.save_asked.emit,
            "rename": lambda _: self.view.edit(self.view.currentIndex()),
            "delete": self._ask_delete,
        }
        jobs[key](chosen)

    def _ask_delete(self, version: str) -> None:
        row = self.model.row_of(version)
        assert row is not None
        answer = QMessageBox.question(
            self,
            "Delete version",
            f"Delete {self.model.versions[row].name} for good? This can't be undone.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.delete_asked.emit(version)


class VersionView(QListView):
    """The list of versions."""

    def __init__(self, model: VersionModel) -> None:
        super().__init__()
        model.setParent(self)
        self.setModel(model)
        self.setItemDelegate(VersionDelegate(model, self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)  # for the row under the mouse
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { background: transparent; border: none; padding: 0; }")
        self.setAccessibleName("Versions")

    def fit_rows(self) -> None:
        """Be no higher than the rows are."""
        rows = max(1, self.model().rowCount())
        height = max(1, self.sizeHintForRow(0))
        self.setMinimumHeight(min(rows, _FEWEST) * height)
        self.setMaximumHeight(rows * height)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Room for a few rows."""
        rows = min(max(1, self.model().rowCount()), _MOST)
        return QSize(300, rows * max(1, self.sizeHintForRow(0)))

    def changeEvent(self, event: QEvent) -> None:
        """Rows are as high as the theme's letters."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.fit_rows()

    def viewportEvent(self, event: QEvent) -> bool:
        """No tooltip over the name that is being edited."""
        editing = self.state() == QAbstractItemView.State.EditingState
        if editing and isinstance(event, QHelpEvent):
            return True
        return bool(super().viewportEvent(event))


class ComparisonTable(QWidget):
    """What two versions label differently; hidden until there is something."""

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setWordWrap(True)
        self.close_button = QToolButton()
        self.close_button.setText("✕")
        self.close_button.setAutoRaise(True)
        self.close_button.setToolTip("Hide the comparison")
        self.close_button.clicked.connect(self.hide)
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(2)
        heading = QHBoxLayout()
        heading.addWidget(self.title, 1)
        heading.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(heading)
        layout.addLayout(self._grid)
        self.hide()

    def show_rows(self, rows: Sequence[Row], title: str) -> None:
        """Show moves of pixels; see `VersionPanel.show_comparison`."""
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        self.title.setText(title or "Pixels that another class is given")
        if not rows:
            self._grid.addWidget(QLabel("No pixel is labelled differently."), 0, 0, 1, 5)
        largest = max((share for *_, share in rows), default=0) or 1.0
        for line, (color, text, pixels, share) in enumerate(rows[:_MOST_ROWS]):
            mark = QLabel()
            mark.setPixmap(swatch(color))
            name = QElidingLabel(text)
            name.setTextFormat(Qt.TextFormat.PlainText)
            name.setToolTip(escape(text))
            bar = ShareBar(share / largest, color)
            bar.setFixedWidth(_BAR)
            bar.setToolTip(f"{share:.2%} of the image")
            self._grid.addWidget(mark, line, 0)
            self._grid.addWidget(name, line, 1)
            self._grid.addWidget(_right(f"{pixels:,} px"), line, 2)
            self._grid.addWidget(_right(_percent(share)), line, 3)
            self._grid.addWidget(bar, line, 4)
        if len(rows) > _MOST_ROWS:
            rest = rows[_MOST_ROWS:]
            text = f"and {len(rest)} more, {sum(pixels for _, _, pixels, _ in rest):,} px"
            self._grid.addWidget(QLabel(text), _MOST_ROWS, 1, 1, 4)
        self.show()


def _right(text: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return label


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"
