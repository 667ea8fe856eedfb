"""The overview picture: what it names, which prototypes it picks, and that it can be drawn."""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.overview import (
    most_responsible,
    overlay,
    overview_figure,
    thumbnail,
)
from tests.core.builders import tiny_model, two_tone

PHOTO = two_tone()[0]


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    model = tiny_model()
    for m, prototype in enumerate(model.prototypes):
        prototype.patches = np.full((3, 48, 48, 3), 50 * m + 20, np.uint8)
    return model


@pytest.fixture(scope="module")
def segmentation(model: PrototypeSegmenter) -> Segmentation:
    return segment(PHOTO, model)


def shown(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def drawn(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, dpi=40)
    return np.asarray(Image.open(file).convert("RGB"))


def test_the_picture_names_classes_cover_and_prototypes(segmentation: Segmentation) -> None:
    figure = overview_figure(PHOTO, segmentation, title="field 7 · tiny")
    assert isinstance(figure, Figure)
    texts = shown(figure)
    assert {"field 7 · tiny", "Photograph", "Classes", "typicality"} <= set(texts)
    for name, share in segmentation.cover().items():
        assert f"{name}  {share:.1%}" in texts
    share = segmentation.prototype_share()
    for m, prototype in enumerate(segmentation.prototypes):
        assert f"{prototype.name} · {share[m]:.0%} of the image" in texts


def test_the_picture_holds_photograph_labels_and_patches(segmentation: Segmentation) -> None:
    figure = overview_figure(PHOTO, segmentation)
    pictures = [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]
    assert any(np.allclose(picture, PHOTO / 255, atol=1e-5) for picture in pictures
               if picture.shape == PHOTO.shape)  # fmt: skip
    patches = [picture for picture in pictures if picture.shape == (48, 48, 3)]
    assert len(patches) == 3 * len(segmentation.prototypes)
    assert drawn(figure).std() > 20


def test_no_global_figure_is_left_behind(segmentation: Segmentation) -> None:
    from matplotlib import pyplot

    overview_figure(PHOTO, segmentation)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize(
    "photo",
    [
        PHOTO[..., 0],
        PHOTO[..., :1],
        PHOTO[..., :2],
        np.dstack([PHOTO, PHOTO[..., 0]]),
        PHOTO.astype(np.uint16) * 16,
        PHOTO.transpose(2, 0, 1) / 255,
    ],
    ids=["grey", "one channel", "grey and alpha", "RGBA", "12 bits", "channels first"],
)
def test_any_photograph_a_model_reads_is_drawn(
    model: PrototypeSegmenter, photo: np.ndarray
) -> None:
    segmentation = segment(photo, model)
    figure = overview_figure(photo, segmentation)
    assert figure.axes[0].images[0].get_array().shape == PHOTO.shape


def test_names_are_shown_as_they_are_written(segmentation: Segmentation) -> None:
    # Dollar signs start formulas in matplotlib, and a broken formula is an error.
    strange = copy.copy(segmentation)
    names = ("$\\frac$", "_soil $x$", "IMG_$1$^{")
    first, second = segmentation.classes
    strange.classes = [
        SegmentationClass(name=names[0], color=first.color),
        SegmentationClass(name=names[1], color=second.color),
    ]
    figure = overview_figure(PHOTO, strange, title=names[2])
    drawn(figure)
    texts = shown(figure)
    assert all(any(text.startswith(name) for text in texts) for name in names)


def test_every_class_is_shown_before_a_second_prototype_of_another(
    segmentation: Segmentation,
) -> None:
    share = segmentation.prototype_share()
    owners = [prototype.class_index for prototype in segmentation.prototypes]
    two = most_responsible(segmentation, 2)
    assert sorted(owners[m] for m in two) == [0, 1]
    for m in two:
        assert share[m] == max(s for s, c in zip(share, owners, strict=True) if c == owners[m])
    three = most_responsible(segmentation, 3)
    assert set(two) < set(three)
    assert share[(set(three) - set(two)).pop()] == max(
        share[m] for m in range(len(owners)) if m not in two
    )
    assert sorted(most_responsible(segmentation, 99)) == list(range(len(owners)))


@settings(max_examples=40)
@given(st.integers(1, 3500), st.integers(1, 3500), st.booleans())
def test_labels_lie_over_the_photograph_whatever_its_shape(
    height: int, width: int, narrow: bool
) -> None:
    height = min(height, 7) if narrow else min(height, 300)
    segmentation = _Painted(np.ones((height, width), np.uint8))
    small = thumbnail(np.zeros((height, width), np.uint8))
    assert max(small.shape[:2]) <= 1000
    assert overlay(small, segmentation).shape == small.shape


class _Painted:
    """As much of a segmentation as an overlay needs."""

    classes: tuple[SegmentationClass, ...] = (
        SegmentationClass(name="soil", color="#ff0000"),
        SegmentationClass(name="weed", color="#0000ff"),
    )

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels


def test_an_overlay_has_the_class_colours() -> None:
    labels = np.zeros((2400, 1200), np.uint8)
    labels[:800], labels[1600:] = 1, 2
    mixed = overlay(thumbnail(np.full((2400, 1200, 3), 128, np.uint8)), _Painted(labels))
    assert mixed.shape == (800, 400, 3)
    first, none, last = mixed[100, 50], mixed[400, 50], mixed[700, 50]
    assert first[0] > first[2] + 0.4 and last[2] > last[0] + 0.4
    assert np.ptp(none) < 1e-6


def test_drawing_warns_of_nothing(segmentation: Segmentation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(overview_figure(PHOTO, segmentation, columns=2, title="ä"))
