"""What the two ends of a map's scale mean, in words, and the map itself in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_gaussproto.core.model.maps import (
    DEPENDENCE,
    LIKELIHOOD,
    NOVELTY,
    OUTLINES,
    STACK,
    UNCERTAINTY,
    MapRole,
    Quantity,
)

if TYPE_CHECKING:
    from napari_gaussproto.core.model.stack import StackSegmentation

# With fewer strokes a fifth of what is familiar looks novel, or more; see
# benchmarks/results/few-strokes.md.
ENOUGH_STROKES = 12
_CELLS = "Each cell gets one answer. Zoom in where their outlines run into each other."


class Legend(NamedTuple):
    """Words at the two ends of a scale, the upper one first as on the scale."""

    high: str
    low: str


_QUANTITIES: dict[Quantity, Legend] = {
    "typicality": Legend("1: typical of the prototype", "0: unlike it"),
    "responsibility": Legend("1: the prototype is the answer", "0: it has no share in it"),
    "log-likelihood": Legend("high: like the prototype", "low: unlike it"),
}


def legend_of(role: MapRole, quantity: Quantity) -> Legend | None:
    """Words for a map; of the map that follows the chosen prototype, ``quantity`` is shown."""
    if role == NOVELTY:
        return Legend("1: unlike the training data", "0: like it")
    if role == UNCERTAINTY:
        return Legend("1: all classes as likely", "0: one class is sure")
    if role.is_probability:
        return Legend("1: surely this class", "0: surely another one")
    if role == DEPENDENCE:
        return Legend("1: the answer depends on it most", "0: hardly at all")
    if role == LIKELIHOOD:
        return _QUANTITIES[quantity]
    return _QUANTITIES[role.quantity] if role == STACK or role.is_pinned else None


def sentence_of(role: MapRole, segmentation: StackSegmentation, strokes: int | None) -> str:
    """What a map of a segmentation shows, besides those of prototypes; else nothing.

    Parameters
    ----------
    strokes : int or None
        That its model was fitted to, if that is known.
    """
    if role == NOVELTY:
        return _novelty(segmentation.compared_with, strokes)
    if role == UNCERTAINTY:
        return (
            "Uncertainty is 0 where one class is sure, and 1 where all are as likely. Strokes help "
            "most where it is high."
        )
    if role.is_probability and role.number is not None:
        name = segmentation.classes[role.number].name
        return f"How sure the model is that a place is {name}: 1 is surely {name}, 0 surely not."
    return _CELLS if role == OUTLINES else ""


def caution_of(strokes: int | None) -> str:
    """What to think of novelty and typicality after few strokes; after enough of them nothing.

    None stands for a model that was fitted to more than strokes.
    """
    if strokes is None or strokes >= ENOUGH_STROKES:
        return ""
    return (
        f"After {strokes} strokes, how novel and how typical a place is says little: they show a "
        "small part of each class, so that much of the rest looks novel. The order means "
        f"something, the values do from about {ENOUGH_STROKES} strokes on."
    )


def _novelty(compared_with: str, strokes: int | None) -> str:
    what = f"Novelty is the share of the {compared_with} that are more familiar than a place."
    if strokes is not None and strokes < ENOUGH_STROKES:
        return (
            f"{what} After {strokes} strokes only its order means something: the highest places "
            "are likely new, but many familiar ones are near 1, too; fewer are from about "
            f"{ENOUGH_STROKES} strokes on."
        )
    if compared_with == "training cells":
        return f"{what} This model's file does not tell classes apart here: rare ones look novel."
    return f"{what} Where it is near 1, little like it was learned: look there first."
