"""What a person should know before they believe a segmentation, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from napari_gaussproto.core.imaging.patches import Patches
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.familiarity import FALSE_ALARMS

# Less of a picture than this holds data: it is mostly without.
_MOSTLY = 0.5
# Log-distances of two classes differ by this before one is called more unlike than the other.
_MORE = 0.5
# Patches are of colour photographs when their channels differ by more than this (of 255).
_COLOURED = 4


def is_unlike(photo_novelty: float | None) -> bool:
    """Whether a photograph of this novelty is called unlike the training photographs."""
    return photo_novelty is not None and photo_novelty >= 1 - FALSE_ALARMS


def remarks_of(
    data_share: float,
    photo_novelty: float | None,
    class_novelty: Mapping[str, float],
    *,
    lacks_colour: bool,
) -> list[str]:
    """Sentences, each with what follows from it; often none.

    Parameters
    ----------
    data_share : float
        Share of the pixels that hold data.
    photo_novelty : float or None
    class_novelty : mapping of str to float
        How far each class is from that of the training photographs, by name.
    lacks_colour : bool
        Whether the image is grey, and the model expects colour.
    """
    if not data_share:
        return [
            "Nothing can be told: the picture is constant or without data, so it has no classes."
        ]
    found = []
    if data_share < _MOSTLY:
        found.append(
            f"Mostly without data: classes and cover are those of {data_share:.0%} of the picture."
        )
    if lacks_colour:
        found.append(
            "The picture is grey, and the model expects colour: labels may be wrong. Choose a "
            "model for grey pictures, or train with a few strokes."
        )
    if is_unlike(photo_novelty):
        found.append(
            f"Unlike the photographs that the model has learned from{_which(class_novelty)}: "
            "labels may be wrong. Train with a few strokes."
        )
    return found


def reading_remarks(encoding: Encoding, learned: Collection[float]) -> list[str]:
    """Sentences about how integers of more than 8 bits were read; often none.

    Parameters
    ----------
    encoding : Encoding
        Of the image.
    learned : collection of float
        Full scales of the images that the model learned from, if they were such ones.
    """
    full_scale = encoding.full_scale
    if full_scale is None:
        return []
    found = []
    if encoding.is_cut_off:
        found.append(
            f"Values above {full_scale:.0f} were cut off, for a part of the picture tells its "
            "range: labels of bright places may be wrong. Scale the picture to 8 bits before."
        )
    scales = sorted({full_scale, *learned})
    if learned and len(scales) > 1:
        bits = " and ".join(str(int(scale).bit_length()) for scale in scales)
        found.append(
            "By their largest values, this picture and those that the model has learned from were "
            f"read as of {bits} bits: if one camera made them, some look darker to the model than "
            "they are. Scale them to 8 bits alike before."
        )
    return found


def are_coloured(patches: Sequence[Patches]) -> bool:
    """Whether patches (K, S, S, 3) of training photographs, of each prototype, are coloured."""
    known = [own for own in patches if len(own)]
    if not known:
        return False
    pixels = np.concatenate(known).astype(np.int16)
    return bool((pixels.max(-1) - pixels.min(-1)).mean() > _COLOURED)


def _which(class_novelty: Mapping[str, float]) -> str:
    """Which class is unlike more than which other one, where they differ."""
    if len(class_novelty) < 2:
        return ""
    least, *_, most = sorted(class_novelty, key=lambda name: class_novelty[name])
    differ = class_novelty[most] - class_novelty[least] > _MORE
    return f" (its {most} more than its {least})" if differ else ""
