"""What a fit is, and what is known once its result is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_gaussproto.jobs.fit import FitResult

Kind = Literal["quick fit", "fine-tune", "prediction"]
Phase = Literal["idle", "fitting", "running", "paused", "finishing"]


@dataclass(frozen=True)
class Fitted:
    """A fit that is shown now; a live one came by itself, after a stroke."""

    kind: Kind
    result: FitResult
    live: bool

    @property
    def made(self) -> Kind:
        """What the model is: a fine-tune that was no better leaves a quick fit."""
        left = self.kind == "fine-tune" and not self.result.trained
        return "quick fit" if left else self.kind
