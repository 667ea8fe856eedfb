"""What the Train dock asks of a thread after quick fits: whether another start suits better."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from napari_gaussproto.core.labels.strokes import count_strokes
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.comparison import (
    ENOUGH,
    Contender,
    StartComparison,
    compare_steps,
)
from napari_gaussproto.jobs.fit import base_of, encoded_plane, labelled_places
from napari_gaussproto.jobs.requests import CompareRequest

# Labelled planes that are looked at, so that the time has a bound.
_MOST_PLANES = 12


@dataclass(frozen=True)
class Compared:
    """What came of it, None with too few strokes, and the rival, to be compared again."""

    comparison: StartComparison | None
    rival: PrototypeSegmenter | None


def compare_job(request: CompareRequest) -> Generator[Any, None, Compared]:
    """Fit from both starts to parts of the strokes, and see which tells the others better."""
    planes = labelled_places(request.fit)[:_MOST_PLANES]
    labels = [mask for _, _, mask in planes]
    if sum(map(count_strokes, labels)) < ENOUGH:
        return Compared(None, None)  # nothing is encoded for it
    rival = replace(request.fit, start=request.rival, renamed={})
    contenders = []
    for asked in (request.fit, rival):
        model, scratch = base_of(asked)
        encoded = []
        for image, number, _ in planes:
            encoded.append((yield from encoded_plane(asked.cache, model, image, number)))
        contenders.append(Contender(model, scratch, encoded))
    first, second = contenders
    return Compared((yield from compare_steps(first, second, labels)), second.model)
