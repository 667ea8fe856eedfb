"""What a fit is, and what the Train dock says of it and its images, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_gaussproto.jobs.closed_images import lost_sentence

if TYPE_CHECKING:
    from napari_gaussproto.jobs.fit import FitResult, Judgement

Kind = Literal["quick fit", "fine-tune", "prediction"]
Phase = Literal["idle", "fitting", "running", "paused", "finishing"]

_KEPT = "the quick fit is kept"
# What the strokes or photographs that were set aside say, and what a person may do about it.
JUDGEMENTS: dict[Judgement, str] = {
    "too few strokes": "There are too few strokes to set some aside: no IoU can be given, and the "
    "last weights are kept. Draw at least two strokes of a class.",
    "no gain": "Fine-tuning made labels that were set aside no better, or changed what the quick "
    f"fit was sure of, so {_KEPT}. More strokes, on more images, help.",
    "stopped": f"It was stopped before labels that were set aside were any better, so {_KEPT}.",
    "stopped at once": "It was stopped before the training began, so the model is as it was.",
    "astray": "Training went astray and was ended; what was good before is kept. Labels that "
    "contradict each other lead to this: look them through.",
    "right already": "Labels that were set aside were right without it, so "
    f"{_KEPT}. Paint where it is wrong, then fine-tune.",
}
_STOPPED = " It was stopped; what it had learned is kept."
_NOT_JUDGED = (
    " How right it is elsewhere can be said with eight strokes or more, two of each class."
)
_DONE = {"quick fit": "Fitted", "fine-tune": "Fine-tuned", "prediction": "Segmented"}


@dataclass(frozen=True)
class Fitted:
    """A fit that is shown now; a live one came by itself, after a stroke.

    ``away`` names the image that it is shown on where that one is out of view.
    """

    kind: Kind
    result: FitResult
    live: bool
    away: str = ""

    @property
    def made(self) -> Kind:
        """What the model is: a fine-tune that was no better leaves a quick fit."""
        left = self.kind == "fine-tune" and not self.result.trained
        return "quick fit" if left else self.kind


def counted(count: int, noun: str) -> str:
    """A number of things: "1 image" or "3 images"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def begins_with(name: str | None, *, kept: bool) -> str:
    """That the next fit begins with a model of that name, or with a new one."""
    start = "a new model" if name is None else f"“{name}”"
    versions = " What was fitted before is kept in Versions." if kept else ""
    return f"The next fit begins with {start}.{versions}"


def judged_sentence(result: FitResult) -> str:
    """What labels that were set aside say about a fine-tune; empty where it gained."""
    said = JUDGEMENTS[result.judgement] if result.judgement else ""
    return said.replace(_KEPT, "the model in use stays") if result.kept else said


def fitted_sentence(fitted: Fitted) -> str:
    """What was done, what came of it, and what a person may do about it."""
    result = fitted.result
    # The figure of a trial that was stopped at once would be read as that of what is kept.
    shown = {} if result.judgement == "stopped" else result.measures
    measures = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
    told = f"{result.seconds:.1f} s" + _learned_from(result.strokes, result.images)
    told += f": {measures}." if measures else "."
    at_once = result.judgement == "stopped at once"
    told += "" if result.measures or at_once or fitted.made != "quick fit" else _NOT_JUDGED
    done = f"{_DONE[fitted.kind]} in {told}"
    judged = f" {judged_sentence(result)}" if result.judgement else ""
    if fitted.made != fitted.kind:
        # It led to nothing: what a person must know comes first.
        done, judged = judged.strip(), f" It took {told}"
    return (
        done
        + (_STOPPED if result.stopped and fitted.made == "fine-tune" else "")
        + judged
        # Labels that came after a fit do not make a prediction know their class.
        + ("" if fitted.kind == "prediction" else _unknown_sentence(result.view.unknown))
        + lost_sentence(result.lost)
        + (f" It is shown on “{fitted.away}”: choose that to see it." if fitted.away else "")
    )


def _learned_from(strokes: int, images: int) -> str:
    """What a fit learned from, to go on with after "Fitted"; empty for no fit."""
    if not strokes:
        return ""
    what = "1 stroke" if strokes == 1 else f"{strokes:,} strokes"
    return f" on {what} of {counted(images, 'image')}"


def _unknown_sentence(names: Sequence[str]) -> str:
    """What to do about classes that nothing is known of; empty without any."""
    if not names:
        return ""
    shown = " and ".join(f"“{name}”" for name in names[:2])
    if len(names) > 2:
        shown = f"{len(names)} classes"
    return (
        f" Nothing is known of {shown} yet: draw strokes of {'it' if len(names) == 1 else 'them'}."
    )
