"""Undo and redo over a person's edits."""

from __future__ import annotations

from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.extractor import Extractor


class EditHistory:
    """The models before and after each edit; undo is exact, because edits change no model.

    Versions share their extractor, so a hundred of them take a few megabytes.
    """

    def __init__(self, model: PrototypeSegmenter) -> None:
        self._models = [model]
        self._position = 0

    def with_extractor(self, extractor: Extractor) -> EditHistory:
        """The same edits of a copy of the model, which has this extractor on another device."""
        other = EditHistory(self.start)
        other._models = [model.with_extractor(extractor) for model in self._models]
        other._position = self._position
        return other

    @property
    def model(self) -> PrototypeSegmenter:
        """The current version."""
        return self._models[self._position]

    @property
    def start(self) -> PrototypeSegmenter:
        """The model before the first edit."""
        return self._models[0]

    def push(self, edited: PrototypeSegmenter) -> None:
        """Make an edited model the current one; what was undone before is given up."""
        del self._models[self._position + 1 :]
        self._models.append(edited)
        self._position += 1

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self._position > 0

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back."""
        return self._position + 1 < len(self._models)

    @property
    def undo_name(self) -> str:
        """What `undo` would take back, for example “merge weed 1, weed 2”; or empty."""
        return self.model.card.last_entry.title if self.can_undo else ""

    @property
    def redo_name(self) -> str:
        """What `redo` would do again; or empty."""
        return self.redone.card.last_entry.title if self.redone else ""

    @property
    def undone(self) -> PrototypeSegmenter | None:
        """The model that `undo` would return."""
        return self._models[self._position - 1] if self.can_undo else None

    @property
    def redone(self) -> PrototypeSegmenter | None:
        """The model that `redo` would return."""
        return self._models[self._position + 1] if self.can_redo else None

    @property
    def names(self) -> list[str]:
        """The edits in force, the first one first."""
        return [model.card.last_entry.title for model in self._models[1 : self._position + 1]]

    def undo(self) -> PrototypeSegmenter:
        """Take the last edit back and return the model as it was.

        Raises
        ------
        EditError
            When there is none.
        """
        if not self.can_undo:
            raise EditError("There is no edit to undo: this is the model before the first one.")
        self._position -= 1
        return self.model

    def redo(self) -> PrototypeSegmenter:
        """Do again what was taken back.

        Raises
        ------
        EditError
            When nothing was.
        """
        if not self.can_redo:
            raise EditError("There is no edit to redo: undo one first.")
        self._position += 1
        return self.model
