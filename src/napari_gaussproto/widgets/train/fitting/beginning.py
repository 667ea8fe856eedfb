"""Where the next fit begins: one value, and what each event makes of it. No part of the screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_gaussproto.jobs.requests import Start

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.labels.class_table import TableChange
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

    Table = tuple[SegmentationClass, ...]


@dataclass(frozen=True)
class Beginning:
    """Where the next fit begins; every event gives another one.

    A quick fit begins with the model that was there before the first one, and takes all strokes:
    so what comes out depends on the strokes alone, not on the order of the fits. Where the
    prototypes of the fitted model were edited since, the edited model is the beginning.

    Attributes
    ----------
    chosen : Start
        What the person chose: a new model or a file, and the device.
    base : PrototypeSegmenter or None
        What fits begin with, once there was one or a version was gone back to.
    made : PrototypeSegmenter or None
        What the last fit made.
    table : tuple of SegmentationClass
        The class table that the beginning knows.
    changes : tuple of (TableChange, bool)
        What happened to the table since; False for a change that was taken back.
    own : bool
        Whether ``base`` is a model that was there already, and not what the choice gives.
    """

    chosen: Start
    base: PrototypeSegmenter | None = None
    made: PrototypeSegmenter | None = None
    table: Table = ()
    changes: tuple[tuple[TableChange, bool], ...] = ()
    own: bool = False

    # -- events ------------------------------------------------------------------------------

    def with_choice(self, start: Start, table: Table) -> Beginning:
        """The person chose a start, under this class table: earlier fits do not count."""
        return Beginning(start, table=table)

    def on_device(self, device: str) -> Beginning:
        """The person chose a device: only where to compute changes."""
        return replace(self, chosen=replace(self.chosen, device=device))

    def as_chosen(self, start: Start) -> Beginning:
        """The next fit begins with a choice again; the fitted model stays the one in use."""
        return replace(self, chosen=start, base=None, own=False)

    def with_model(self, model: PrototypeSegmenter, table: Table) -> Beginning:
        """A model that exists is to go on from, under this class table."""
        return Beginning(self.chosen, model, model, table, own=True)

    def launched(self, in_use: PrototypeSegmenter | None) -> Beginning:
        """A fit begins now: where the model was edited since, it goes on from that one."""
        return replace(self, own=self.going_on(in_use) is not None)

    def with_change(self, change: TableChange, done: bool) -> Beginning:
        """The class table changed, or a change of it was taken back."""
        return replace(self, changes=(*self.changes, (change, done)))

    def with_fit(
        self,
        base: PrototypeSegmenter,
        made: PrototypeSegmenter,
        launched: Beginning,
        table: Table,
    ) -> Beginning:
        """A fit ended that was launched with an earlier beginning, under this class table."""
        late = self.changes[len(launched.changes) :]
        return Beginning(self.chosen, base, made, table, late, launched.own or base is made)

    # -- what follows from it ----------------------------------------------------------------

    def model(self, in_use: PrototypeSegmenter | None) -> PrototypeSegmenter | None:
        """The fitted model with the edits made since; None before any fit.

        What is ``in_use`` may be an edited version of the fitted model, or another one.
        """
        made = self.made
        if made is not None and in_use is not None and in_use.extractor is made.extractor:
            return in_use
        return made

    def start(self, in_use: PrototypeSegmenter | None) -> Start:
        """Where a fit begins now."""
        model = self.model(in_use)
        if model is self.made:
            model = self.base
        if model is None:
            return self.chosen
        new = self.chosen.new if model is self.base and not self.own else None
        return Start(model=model, new=new, device=self.chosen.device)

    def going_on(self, in_use: PrototypeSegmenter | None) -> PrototypeSegmenter | None:
        """The model that the next fit goes on from; None where it begins as was chosen."""
        model = self.start(in_use).model
        return model if self.own or model is not self.base else None

    def renamed(self) -> dict[str, int | None]:
        """Place, by former name, of each class that the beginning knows; None where it is gone.

        Empty when the table did not change: then names alone tell.
        """
        places: dict[str, int | None] = {}
        for place, entry in enumerate(self.table if self.changes else ()):
            value = place + 1
            for change, done in self.changes:
                value = change.value_of(value, back=not done)
            places[entry.name] = value - 1 if value else None
        return places
