"""Versions of a model: the tree, what to do with a version, and what two differ in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QMenu,
    QMessageBox,
    QPushButton,
    QToolButton,
    QWidget,
)
from superqt import QElidingLabel

from napari_gaussproto.core.project.version import Version
from napari_gaussproto.widgets.shared.forms import (
    across,
    down,
    enable,
    fill,
    menu_button,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.share_table import ShareBar, percent_label, swatch
from napari_gaussproto.widgets.train.versions.version_tree import VersionTree

_MOST_ROWS, _BAR = 8, 36
_MORE, _NONE_CHOSEN = "Rename or delete the chosen version", "Choose a version first"

Row = tuple[str, str, int, float]

# What can be done with a version, what that means, and why the current one can't take it.
_ACTIONS = {
    "compare": (
        "Compare",
        "Show what the chosen version and the current one label differently in this image",
        "This is the current version: choose another one to compare it with",
    ),
    "revert": (
        "Revert to",
        "Make the chosen version the current one and go on from here, as a branch;\n"
        "newer versions stay",
        "This is the current version already",
    ),
    "save": ("Save model as…", "Save the chosen version as a model file", ""),
    "rename": ("Rename", "Give the chosen version another name (or double-click it)", ""),
    "delete": (
        "Delete…",
        "Delete the chosen version for good",
        "The current version can't be deleted: revert to another one first",
    ),
}


class VersionPanel(QWidget):
    """Versions of a model, newest first."""

    # With the id of a version; a deletion has been confirmed.
    compare_asked = Signal(str)
    revert_asked = Signal(str)
    rename_asked = Signal(str, str)  # and the new name
    save_asked = Signal(str)
    delete_asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._versions: dict[str, Version] = {}
        self._current: str | None = None
        self._busy: str | None = None
        self.tree = VersionTree()
        self.tree.rename_asked.connect(self.rename_asked)
        self.tree.itemSelectionChanged.connect(self._update_actions)
        self.tree.customContextMenuRequested.connect(self._on_menu)
        self.empty = wrapped_label("No versions yet: every fit and every fine-tune adds one.")
        self.coming = wrapped_label()
        self.comparison = ComparisonTable()
        self.actions_by_key = {key: QAction(text, self) for key, (text, _, _) in _ACTIONS.items()}
        for key, action in self.actions_by_key.items():
            action.triggered.connect(partial(self._do, key))
        rename = self.actions_by_key["rename"]
        rename.setShortcut(QKeySequence("F2"))  # to be shown; the tree itself heeds the key
        rename.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self.menu = self._menu(*self.actions_by_key)
        self.buttons = {key: self._button(key) for key in ("compare", "revert", "save")}
        self.more = menu_button("⋯", self._menu("rename", "delete"))
        row = across(*self.buttons.values(), self.more, None, spacing=4)
        parts = (self.coming, self.empty, (self.tree, 1), row, self.comparison, None)
        fill(self, down(*parts, spacing=4))
        self.set_versions([], None)
        self.announce("")

    def _menu(self, *keys: str) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for key in keys:
            if key == "delete":
                menu.addSeparator()
            menu.addAction(self.actions_by_key[key])
        return menu

    def _button(self, key: str) -> QPushButton:
        action = self.actions_by_key[key]
        button = QPushButton(action.text().replace("Save model", "Save"))
        button.clicked.connect(action.trigger)

        def update() -> None:
            tip = action.toolTip()
            enable(button, tip, "" if action.isEnabled() else tip)

        action.changed.connect(update)
        return button

    # -- what is shown ----------------------------------------------------------------------

    def set_versions(self, versions: Sequence[Version], current: str | None) -> None:
        """Show versions, given as they were made; the one that is chosen stays chosen.

        ``current`` is the id of the version that is in use.
        """
        self._versions = {version.id: version for version in versions}
        self._current = current
        self.tree.set_versions(versions, current)
        self.empty.setVisible(not versions)
        for widget in (self.tree, self.more, *self.buttons.values()):
            widget.setVisible(bool(versions))
        self._update_actions()

    def announce(self, sentence: str) -> None:
        """Say that a version is on its way into the list; nothing when it is there."""
        self.coming.setText(sentence)
        self.coming.setVisible(bool(sentence))

    def set_busy(self, reason: str | None) -> None:
        """Block everything but saving while a training runs; the reason is the tooltip."""
        self._busy = reason
        self._update_actions()

    @property
    def versions(self) -> list[Version]:
        """Newest first."""
        return list(self._versions.values())[::-1]

    # -- what can be done -------------------------------------------------------------------

    def _update_actions(self) -> None:
        chosen = self.tree.selected()
        for key, (_, tip, blocked) in _ACTIONS.items():
            reason = blocked if chosen == self._current else ""
            if self._busy is not None and key not in ("save", "rename"):
                reason = self._busy
            enable(
                self.actions_by_key[key],
                tip,
                _NONE_CHOSEN if chosen is None else reason,
            )
        enable(self.more, _MORE, "" if chosen is not None else _NONE_CHOSEN)

    def _on_menu(self, at: QPoint) -> None:
        item = self.tree.itemAt(at)
        if item is not None:
            self.tree.setCurrentItem(item)
            self.menu.popup(self.tree.viewport().mapToGlobal(at))

    def _do(self, key: str, checked: bool = False) -> None:
        chosen = self.tree.selected()
        if chosen is None:
            return
        if key == "rename":
            self.tree.editItem(self.tree.currentItem(), 0)
        elif key != "delete" or self._is_sure(chosen):
            getattr(self, f"{key}_asked").emit(chosen)

    def _is_sure(self, version: str) -> bool:
        name = self._versions[version].name
        sentence = f"Delete {name} for good? This can't be undone."
        answer = QMessageBox.question(self, "Delete version", sentence)
        return bool(answer == QMessageBox.StandardButton.Yes)


class ComparisonTable(QWidget):
    """What two versions label differently; hidden until there is something."""

    def __init__(self) -> None:
        super().__init__()
        self.title = wrapped_label()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.close_button = QToolButton(text="✕", autoRaise=True, toolTip="Hide the comparison")
        self.close_button.clicked.connect(self.hide)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        heading = across((self.title, 1), self.close_button)
        fill(self, down(heading, self._grid, spacing=2), 0, 4, 0, 0)
        self.hide()

    def show_rows(self, rows: Sequence[Row], title: str = "") -> None:
        """Show what two versions label differently.

        Parameters
        ----------
        rows : sequence of (color, text, pixels, share)
            For each move, such as "soil → weed", its pixels and their share of all. Empty
            when nothing differs.
        title : str
            What is compared; plain text.
        """
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        self.title.setText(title or "Pixels that another class is given")
        if not rows:
            self._grid.addWidget(QLabel("No pixel is labelled differently."), 0, 0, 1, 5)
        largest = max((share for *_, share in rows), default=0) or 1.0
        for line, (color, text, pixels, share) in enumerate(rows[:_MOST_ROWS]):
            name = QElidingLabel(text, textFormat=Qt.TextFormat.PlainText, toolTip=escape(text))
            bar = ShareBar(share / largest, color)
            bar.setFixedWidth(_BAR)
            bar.setToolTip(f"{share:.2%} of the image")
            percent = f"{share:.1%}" if share >= 0.001 else "<0.1%"
            figures = (percent_label(f"{pixels:,} px"), percent_label(percent))
            for column, cell in enumerate((QLabel(pixmap=swatch(color)), name, *figures, bar)):
                self._grid.addWidget(cell, line, column)
        if len(rows) > _MOST_ROWS:
            rest = rows[_MOST_ROWS:]
            text = f"and {len(rest)} more, {sum(pixels for _, _, pixels, _ in rest):,} px"
            self._grid.addWidget(QLabel(text), _MOST_ROWS, 1, 1, 4)
        self.show()
