"""What unlabelled pixels can teach, as a person may switch it."""

from __future__ import annotations

from napari_gaussproto.core.base.config import TERM_WEIGHTS, USED_BY_DEFAULT

_TEXTS = {
    "soft_labels": (
        "Teacher's prototypes",
        "A running average of the model says how much of each prototype a pixel is",
    ),
    "pseudo_labels": (
        "Sure and familiar pixels",
        "Pixels of which the model is sure, and which are like labelled ones, count as labelled",
    ),
    "affinity": (
        "Pixels like the strokes",
        "Pixels that resemble the strokes of their own image take their class: measured to help "
        "on textures, and to harm on fields",
    ),
    "anchoring": (
        "Stay close to what is known",
        "Holds the model near the one that training began with, so that it forgets less",
    ),
}

# Names of the terms among the losses of a step.
_LOSSES = {
    "soft labels": "soft_labels",
    "pseudo-labels": "pseudo_labels",
    "affinity": "affinity",
    "anchoring": "anchoring",
}

TERMS = [(key, label, tip, key in USED_BY_DEFAULT) for key, (label, tip) in _TEXTS.items()]


def name_of_loss(loss: str) -> str:
    """What a loss is called where it can be switched; its own name if it always counts."""
    return _TEXTS[_LOSSES[loss]][0] if loss in _LOSSES else loss


def weights_of(switched: dict[str, bool]) -> dict[str, float]:
    """Weights of the terms that are on."""
    return {key: TERM_WEIGHTS[key] for key, on in switched.items() if on}
