"""Arrays of every kind by the library: the right result or a sentence, and nothing is changed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError
from napari_gaussproto.core.model import encode
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.training.quick_fit import quick_fit
from tests.reliability.inputs.arrays import (
    ARRAYS,
    FLOAT,
    GREY,
    PHOTO,
    Case,
    bands,
    check_labels,
    check_sentence,
    expected,
    fingerprint,
    model_for,
    right,
)


@pytest.mark.parametrize("name", ARRAYS)
def test_segment(name: str, tmp_path: Path) -> None:
    case = ARRAYS[name]
    given = case.make(tmp_path)
    before = fingerprint(given)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        if case.says:
            with pytest.raises(GaussProtoError) as caught:
                segment(given, model_for(case.channels))
            check_sentence(case, str(caught.value))
        else:
            check_labels(case, segment(given, model_for(case.channels)).labels)
    assert fingerprint(given) == before


def strokes(case: Case) -> Any:
    """Labels of both classes, over pixels with data, where there are two pixels for that."""
    height, width = (16, 16) if case.like is None else case.like.shape[:2]
    labels = np.zeros((height, width), np.uint8)
    labels[:, : (width + 1) // 2], labels[:, (width + 1) // 2 :] = 1, 2
    if width == 1:
        labels[(height + 1) // 2 :] = 2
    labels[3:-3:2] = 0
    return labels


# What a fit is given as "images" in a list is several of them; of stacks it takes each plane.
OTHERWISE = ("rows in lists", "ragged rows", "levels in a list", "a stack of photographs")
FITTED = [name for name in ARRAYS if name not in OTHERWISE]


@pytest.mark.parametrize("name", FITTED)
def test_quick_fit(name: str, tmp_path: Path) -> None:
    case = ARRAYS[name]
    given, labels = case.make(tmp_path), strokes(case)
    before, drawn = fingerprint(given), labels.copy()
    model = model_for(case.channels)
    nothing = case.like is not None and not expected(case).any()
    if case.says or nothing or (labels == 2).sum() == 0:
        with pytest.raises(GaussProtoError) as caught:
            quick_fit(given, labels, model, device="cpu")
        says = "Only pixels without data .*: label others" if nothing else "draw a stroke of"
        says = f"{case.says or says}|the image has .*: choose|is no image: choose"
        check_sentence(Case(case.make, says=says), str(caught.value))
    else:
        fitted = quick_fit(given, labels, model, device="cpu")
        axis = 2 if case.like.ndim == 3 else None
        plain = quick_fit(case.like, labels, model, device="cpu")
        found = [segment(case.like, by, channel_axis=axis).labels for by in (fitted, plain)]
        assert (found[0] == found[1]).mean() >= min(case.share, 0.99)
    assert fingerprint(given) == before and np.array_equal(labels, drawn)


OTHER_PIXELS = {
    "turned": PHOTO[::-1],
    "other colours": PHOTO[..., ::-1],
    "grey": GREY,
    "darker": PHOTO // 8,
    "half the float": FLOAT / 2,
}


@pytest.mark.parametrize("name", OTHER_PIXELS)
def test_other_pixels_are_seen(name: str) -> None:
    """So a right result means something."""
    with pytest.raises(AssertionError, match="of the pixels are right"):
        check_labels(right(PHOTO), segment(OTHER_PIXELS[name], model_for(3)).labels)


@pytest.mark.parametrize("channels", [2, 5, 12])
def test_other_channels_are_seen(channels: int) -> None:
    case = right(None, bands(channels), channels=channels)
    other = segment(bands(channels)[..., ::-1], model_for(channels), channel_axis=2).labels
    with pytest.raises(AssertionError, match="of the pixels are right"):
        check_labels(case, other)


def test_what_is_larger_than_memory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the machine had one gigabyte: whatever it has, it is not asked for more."""
    monkeypatch.setattr(encode, "free_memory", lambda device: 1 << 30)
    about = {"shape": (100_000, 100_000), "chunks": (1000, 1000), "dtype": "u1"}
    huge = zarr.create_array(store=str(tmp_path / "huge.zarr"), **about)
    with pytest.raises(ConfigError, match=r"take \d+ GB of memory, .*: use segment_to_zarr"):
        segment(huge, model_for(3))
