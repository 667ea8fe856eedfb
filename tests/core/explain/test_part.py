"""A place in a large image is explained by the tile that its label comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.explain.part import Part, part_steps
from napari_gaussproto.core.imaging.label_pyramid import NewLabels, open_pyramid
from napari_gaussproto.core.imaging.tiles import Focus
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stream import stream_steps
from tests.core.builders import tiny_model, two_tone

SIDE, SHAPE = 128, (400, 700)
IMAGE = two_tone(*SHAPE)[0]


@pytest.fixture(scope="module", params=["grid", "superpixel"])
def model(request: pytest.FixtureRequest) -> PrototypeSegmenter:
    made = tiny_model(partition=request.param)
    made.receptive_radius = 32
    return made


@pytest.fixture(scope="module")
def streamed(model: PrototypeSegmenter, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The labels of the whole image, as the Segment dock makes them."""
    new = NewLabels(SHAPE, model.classes, {"image": "a"}, SIDE)
    folder: Path = tmp_path_factory.mktemp("labels")
    labels = open_pyramid(folder, "field", new)
    run(stream_steps(lambda number: as_source(IMAGE, model), model, labels, Focus()))
    found = np.asarray(labels.levels[0][:])
    labels.close()
    return found


def part_at(model: PrototypeSegmenter, y: int, x: int) -> Part:
    return run(part_steps(as_source(IMAGE, model), model, SIDE, y, x))


@pytest.mark.parametrize("place", [(0, 0), (127, 128), (200, 300), (399, 699)])
def test_its_labels_are_the_streamed_ones(
    model: PrototypeSegmenter, streamed: np.ndarray, place: tuple[int, int]
) -> None:
    part = part_at(model, *place)
    y0, x0, y1, x1 = part.area
    assert part.holds(*place) and (y0 % SIDE, x0 % SIDE) == (0, 0)
    inside = part.segmentation.labels[
        y0 - part.top : y1 - part.top, x0 - part.left : x1 - part.left
    ]
    np.testing.assert_array_equal(inside, streamed[y0:y1, x0:x1])
    found = part.explain(*place)
    assert (found.y, found.x) == place and found.label + 1 == streamed[place]
    assert found.mask[place[0] - found.top, place[1] - found.left]


def test_a_component_ends_at_the_tile_and_says_so(
    model: PrototypeSegmenter, streamed: np.ndarray
) -> None:
    part = part_at(model, 200, 300)
    y0, x0, y1, x1 = part.area
    for y, x in ((y0, x0), (y1 - 1, x1 - 1), (200, 300)):
        found = part.explain_component(y, x)
        height, width = found.mask.shape
        assert y0 <= found.top and found.top + height <= y1
        assert x0 <= found.left and found.left + width <= x1
        own = streamed[found.top : found.top + height, found.left : found.left + width]
        assert set(own[found.mask]) == {streamed[y, x]}
        inner = y0 < found.top and found.top + height < y1
        inner &= x0 < found.left and found.left + width < x1
        assert found.is_cut is not inner
        assert ("goes on beyond the tile" in found.remark) is found.is_cut


def test_the_border_of_the_image_cuts_nothing(model: PrototypeSegmenter) -> None:
    image = np.full((100, 90, 3), 90, np.uint8)
    image[10:40, 20:50, 0] = 200
    part = run(part_steps(as_source(image, model), model, SIDE, 99, 89))
    assert part.area == (0, 0, 100, 90)
    assert not part.explain_component(99, 89).is_cut


def test_what_an_answer_depends_on_lies_around_the_place(model: PrototypeSegmenter) -> None:
    source = as_source(IMAGE, model)
    part = part_at(model, 200, 300)
    found = run(part.dependence_steps(source, model, 200, 300))
    assert abs(found.y - 200) <= 16 and abs(found.x - 300) <= 16
    height, width = (found.pixel_size * n for n in found.share.shape)
    assert found.top <= 200 < found.top + height and found.left <= 300 < found.left + width
    assert found.share.sum() == pytest.approx(1, abs=1e-4)


def test_places_elsewhere_are_refused(model: PrototypeSegmenter) -> None:
    part = part_at(model, 200, 300)
    with pytest.raises(ImageError, match="another part"):
        part.explain(0, 0)
    with pytest.raises(ImageError, match="click inside"):
        part_at(model, 400, 0)
