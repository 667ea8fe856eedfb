"""Maps of a segmentation, and the roles by which they are told apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Segmentation
    from napari_gaussproto.core.model.stack import StackSegmentation

Quantity = Literal["typicality", "responsibility", "log-likelihood"]
QUANTITIES: tuple[Quantity, ...] = ("typicality", "responsibility", "log-likelihood")

_PINNED, _PROBABILITY = "pinned", "probability"


@dataclass(frozen=True)
class MapRole:
    """What a layer shows of an image.

    Its text form stands in the layers' metadata: "likelihood", "probability 1", "pinned 3",
    "pinned responsibility 3".

    Attributes
    ----------
    kind : str
        Such as "novelty"; "likelihood" is the one map that follows the chosen prototype.
    number : int or None
        The prototype of a pinned map, or the class of a probability.
    quantity : str
        What a pinned map shows of its prototype.
    """

    kind: str
    number: int | None = None
    quantity: Quantity = "typicality"

    @classmethod
    def pinned(cls, m: int, quantity: Quantity = "typicality") -> MapRole:
        """A map that stays with one prototype."""
        return cls(_PINNED, m, quantity)

    @classmethod
    def probability(cls, c: int) -> MapRole:
        """The probability of one class."""
        return cls(_PROBABILITY, c)

    @classmethod
    def parse(cls, text: str) -> MapRole:
        """The role that a text form stands for."""
        words = text.split()
        if words[0] not in (_PINNED, _PROBABILITY) or not words[-1].isdigit():
            return cls(text)
        quantity = next((q for q in QUANTITIES if [q] == words[1:-1]), QUANTITIES[0])
        return cls(words[0], int(words[-1]), quantity)

    def __str__(self) -> str:
        quantity = None if self.quantity == QUANTITIES[0] else self.quantity
        return " ".join(
            str(part) for part in (self.kind, quantity, self.number) if part is not None
        )

    @property
    def is_pinned(self) -> bool:
        """Whether it stays with one prototype."""
        return self.kind == _PINNED

    @property
    def is_probability(self) -> bool:
        """Whether it shows the probability of one class."""
        return self.kind == _PROBABILITY


LABELS = MapRole("labels")
LIKELIHOOD = MapRole("likelihood")
STACK = MapRole("stack")
NOVELTY = MapRole("novelty")
UNCERTAINTY = MapRole("uncertainty")
OUTLINES = MapRole("outlines")
DEPENDENCE = MapRole("dependence")

Maps = dict[MapRole, npt.NDArray[np.float32]]


def values_of(
    segmentation: Segmentation | StackSegmentation, m: int, quantity: Quantity
) -> npt.NDArray[np.float32]:
    """Map (..., h, w) of a prototype; typicality and responsibility lie in [0, 1]."""
    if quantity == "responsibility":
        return segmentation.responsibility(m)
    if quantity == "log-likelihood":
        # An inactive prototype has no finite one.
        return segmentation.log_likelihood(m).clip(min=segmentation.log_likelihood_limits()[0])
    return segmentation.likelihood(m)


def limits_of(
    segmentation: Segmentation | StackSegmentation, quantity: Quantity
) -> tuple[float, float]:
    """Contrast limits that are the same for every prototype, so that maps can be compared."""
    return segmentation.log_likelihood_limits() if quantity == "log-likelihood" else (0.0, 1.0)


def likelihoods(segmentation: StackSegmentation) -> npt.NDArray[np.float32]:
    """Typicality of every cell for all M prototypes: (M, h, w), of a stack (M, ..., h, w)."""
    return np.stack([segmentation.likelihood(m) for m in range(len(segmentation.prototypes))])


def maps_of(
    segmentation: StackSegmentation, roles: Iterable[MapRole], *, pinned: bool = False
) -> Maps:
    """Values (..., h, w) of those roles that are maps of a segmentation; (M, h, w) of a stack.

    Left out are the likelihood, for which a prototype must be chosen, classes that the
    segmentation does not have, and pinned maps unless they are wanted: their numbers name other
    prototypes in an edited model.
    """
    maps: Maps = {}
    for role in roles:
        if role == NOVELTY:
            maps[role] = segmentation.novelty()
        elif role == UNCERTAINTY:
            maps[role] = segmentation.uncertainty()
        elif role == STACK and not segmentation.leading:
            maps[role] = likelihoods(segmentation)
        elif role.number is None:
            continue
        elif role.is_probability and role.number < len(segmentation.classes):
            maps[role] = segmentation.class_probability(role.number)
        elif role.is_pinned and pinned:
            maps[role] = values_of(segmentation, role.number, role.quantity)
    return maps
