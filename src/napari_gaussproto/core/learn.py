"""From strokes to a fine-tuned model, with an honest figure: what the Train dock does.

Some strokes are set aside before anything is fitted, the start of the fine-tune included, or
the start would know them already. The weights are chosen by those strokes. At last neck and
prototypes are fitted once more to all strokes, so that none is lost for the model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.encoded import EncodedImage, encode_pyramid_steps
from napari_gaussproto.core.fine_tune import fine_tune_steps, hold_out_strokes
from napari_gaussproto.core.image import ImageSource
from napari_gaussproto.core.quick import quick_fit_steps
from napari_gaussproto.core.segmenter import PrototypeSegmenter

Labels = npt.NDArray[np.uint8]
Encode = Callable[[PrototypeSegmenter, int], Generator[Any, None, EncodedImage]]


@dataclass(frozen=True)
class Learned:
    """A model that learned from strokes end to end.

    Attributes
    ----------
    model : PrototypeSegmenter
    held_out_miou : float or None
        Of the best weights, on strokes that they had not seen; None with too few strokes.
    steps : int
        Of the end-to-end training.
    """

    model: PrototypeSegmenter
    held_out_miou: float | None
    steps: int


def learn_steps(
    model: PrototypeSegmenter,
    sources: Sequence[ImageSource],
    labels: Sequence[Labels],
    *,
    scratch: bool = False,
    encode: Encode | None = None,
    seed: int = 0,
    **options: Any,
) -> Generator[Any, None, Learned]:
    """Hold strokes out, fit quickly, train end to end, and fit quickly to all strokes.

    Parameters
    ----------
    model : PrototypeSegmenter
        Where to start; it is not changed.
    sources : sequence of ImageSource
    labels : sequence of array
        Integers of each image's (H, W): 0 not labelled, else class index + 1.
    scratch : bool
        See `quick_fit_steps`.
    encode : callable, optional
        Gives the features of an image by its number, where some are kept already.
    seed : int
        Also of the choice which strokes are set aside.
    **options
        Of `fine_tune_steps`: unlabelled, training, semi_settings, minutes, checkpoint, stop.

    Yields
    ------
    Tile, QuickStep or TrainingStep

    Raises
    ------
    LabelError, ImageError
        See `quick_fit_steps` and `fine_tune_steps`.
    """

    def anew(by: PrototypeSegmenter, number: int) -> Generator[Any, None, EncodedImage]:
        return encode_pyramid_steps(sources[number], by)

    encode = encode or anew
    kept, held_out = hold_out_strokes(labels, seed=seed)
    encoded = yield from _all(encode, model, len(sources))
    start = yield from quick_fit_steps(encoded, kept, model, scratch=scratch, seed=seed)
    validation = None
    if held_out is not None:
        pairs = [(s, h) for s, h in zip(sources, held_out, strict=True) if h.any()]
        validation = ([s for s, _ in pairs], [h for _, h in pairs])
    tuned = yield from fine_tune_steps(
        start.model, sources, kept, validation=validation, seed=seed, **options
    )
    entry = tuned.card.history[-1]
    measure, steps = entry.get("validation_miou"), int(entry.get("steps", 0))
    if held_out is None:
        return Learned(tuned, None, steps)
    encoded = yield from _all(encode, tuned, len(sources))
    final = yield from quick_fit_steps(encoded, labels, tuned, seed=seed)
    return Learned(final.model, measure, steps)


def _all(
    encode: Encode, model: PrototypeSegmenter, count: int
) -> Generator[Any, None, list[EncodedImage]]:
    encoded: list[EncodedImage] = []
    for number in range(count):
        encoded += [(yield from encode(model, number))]
    return encoded
