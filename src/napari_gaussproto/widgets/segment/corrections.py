"""The box by which what was drawn in the open project overrules predictions."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox

from napari_gaussproto.widgets.shared.forms import check_box, enable
from napari_gaussproto.widgets.shared.state import OpenProject

NO_PROJECT = "No project with labels is open: draw in the Train dock, or open one there"


def corrections_box(what: str) -> QCheckBox:
    """The box, checked: what a person drew counts unless a person says otherwise.

    It says what is done with corrections.
    """
    box = check_box(f"{what} with corrections", NO_PROJECT)
    box.setChecked(True)
    return box


def offer_corrections(box: QCheckBox, project: OpenProject | None) -> None:
    """Say which project it speaks of, or why it has no effect."""
    what = "" if project is None else f"What is drawn in “{project.name}” overrules the prediction"
    enable(box, what, "" if project is not None else NO_PROJECT)
