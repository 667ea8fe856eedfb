"""Explanations of pixels and regions, and places to look at next."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.quantiles import quantiles_of
from napari_gaussproto.core.cells.partition import cell_weights, cells_inside
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.explain.explain import explain, explain_mask
from napari_gaussproto.core.explain.places import most_novel_places, most_uncertain_places
from napari_gaussproto.core.imaging.masks import component_at, outline
from napari_gaussproto.core.mixture.layer import MixtureScores
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model()


@pytest.fixture(scope="module")
def encoding(model: PrototypeSegmenter) -> Encoding:
    return segment(two_tone(70, 101)[0], model).encoding


@pytest.fixture(scope="module")
def segmentation(model: PrototypeSegmenter, encoding: Encoding) -> Segmentation:
    return model.decode(encoding)


def test_shares_sum_to_one_and_are_ranked(segmentation: Segmentation) -> None:
    for y, x in ((0, 0), (69, 100), (33, 47)):
        found = explain(segmentation, y, x)
        shares = [r.responsibility for r in found.responsible]
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert shares == sorted(shares, reverse=True)
        assert found.class_probability.sum() == pytest.approx(1, abs=1e-5)


def test_a_cell_takes_no_time_for_the_others(
    model: PrototypeSegmenter, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmentation = model.decode(encoding)
    assert segmentation.labels.any()  # as they are when a person asks
    shapes: list[int] = []

    def noted(scores: MixtureScores) -> torch.Tensor:
        shapes.append(len(scores.mahalanobis))
        return torch.zeros_like(scores.mahalanobis)

    monkeypatch.setattr(MixtureScores, "log_responsibility", property(noted))
    explain(segmentation, 33, 47)
    assert shapes == [1]


def test_an_explanation_agrees_with_the_maps(segmentation: Segmentation) -> None:
    found = explain(segmentation, 33, 47)
    row, column = 33 // 4, 47 // 4
    for part in found.responsible:
        expected = segmentation.responsibility(part.index, cells=True)[row, column]
        assert part.responsibility == pytest.approx(expected, abs=1e-5)
        typicality = segmentation.likelihood(part.index, cells=True)[row, column]
        assert part.typicality == pytest.approx(typicality, abs=1e-5)
        assert part.name == segmentation.prototypes[part.index].name
    expected = segmentation.class_probabilities(cells=True)[:, row, column]
    np.testing.assert_allclose(found.class_probability, expected, atol=1e-5)
    assert found.novelty == pytest.approx(segmentation.novelty(cells=True)[row, column], abs=1e-5)
    assert found.label == segmentation.labels[33, 47] - 1


@pytest.mark.parametrize("temperature", [1.0, 6.0])
def test_shares_of_a_class_sum_to_its_probability(encoding: Encoding, temperature: float) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.layer.log_temperature.fill_(np.log(temperature))
    segmentation = model.decode(encoding)
    mask = np.zeros((70, 101), dtype=bool)
    mask[10:30, 22:61] = True
    for found in (explain(segmentation, 33, 47), explain_mask(segmentation, mask)):
        for c in range(2):
            own = [r.responsibility for r in found.responsible if r.class_index == c]
            assert sum(own) == pytest.approx(found.class_probability[c], abs=1e-5)
        assert {r.class_index for r in found.reasons} == {found.label}
        assert found.label not in {r.class_index for r in found.objections}
        mixed = found.class_probability[found.label] <= 0.75
        assert found.is_mixture == mixed == (found.rival is not None)


def test_the_best_of_a_bad_lot_is_told(model: PrototypeSegmenter, encoding: Encoding) -> None:
    segmentation = with_odd_cells(model, encoding)
    odd = explain(segmentation, 14, 86)
    assert odd.reasons[0].closeness.startswith("unlike it: less typical than 100%")
    assert odd.reasons[0].name in odd.remark and "the best of a bad lot" in odd.remark
    fine = max(
        (explain(segmentation, y, x) for y in range(2, 70, 16) for x in range(2, 70, 16)),
        key=lambda found: found.reasons[0].typicality,
    )
    assert "bad lot" not in fine.remark
    assert "more typical than 100% of its own examples" in fine.reasons[0].closeness


def test_the_cell_is_outlined(segmentation: Segmentation) -> None:
    found = explain(segmentation, 33, 47)
    assert (found.top, found.left, found.mask.shape) == (32, 44, (4, 4))
    (polygon,) = found.outlines
    np.testing.assert_array_equal(polygon.min(0), [31.5, 43.5])
    np.testing.assert_array_equal(polygon.max(0), [35.5, 47.5])
    overhanging = explain(segmentation, 69, 100)
    assert overhanging.mask.shape == (2, 1)


def test_a_masked_prototype_is_never_named(model: PrototypeSegmenter, encoding: Encoding) -> None:
    for m in range(4):
        segmentation = edits.turn_off(model, m).decode(encoding)
        whole = np.ones(segmentation.shape, dtype=bool)
        for found in (explain(segmentation, 33, 47), explain_mask(segmentation, whole)):
            assert m not in [r.index for r in found.responsible]
            assert sum(r.responsibility for r in found.responsible) == pytest.approx(1, abs=1e-6)


def test_novelty_is_told_as_a_percentile(encoding: Encoding) -> None:
    model = tiny_model()
    assert "% of the cells of this image" in explain(model.decode(encoding), 33, 47).familiarity
    cell = encoding.partition.cell_at(33, 47)
    with torch.no_grad():
        density = model.layer.scores(encoding.latents).log_density
    # Training cells of which 98% lie nearer to the prototypes than this one does.
    levels = torch.linspace(-2, 98, 1001) + density[cell]
    model.density_quantiles = quantiles_of(levels)
    found = explain(model.decode(encoding), 33, 47)
    assert found.familiarity == "Farther from every prototype than 98% of the training cells."
    model.density_quantiles = quantiles_of(levels + 500)
    found = explain(model.decode(encoding), 33, 47)
    assert "than any of the training cells" in found.familiarity


def test_leaves_are_compared_with_leaves(encoding: Encoding) -> None:
    model = tiny_model()
    plain = model.decode(encoding)
    given = plain.class_probabilities(cells=True).argmax(0)
    with torch.no_grad():
        likelihood = model.layer.scores(encoding.latents).class_log_likelihood
    # One class was like these cells, the other was nearer to its prototypes, always.
    levels = torch.linspace(0, 1, 101)
    own = likelihood[given.ravel() == 0, 0]
    model.density_quantiles = quantiles_of(likelihood[:, 0])
    model.class_quantiles = np.stack(
        [quantiles_of(own), (levels + likelihood[:, 1].max() + 1).numpy()]
    )
    segmentation = model.decode(encoding)
    novelty = segmentation.novelty(cells=True)
    assert novelty[given == 0].mean() == pytest.approx(0.5, abs=0.03)
    assert (novelty[given == 1] == 1).all()
    assert explain(segmentation, 33, 47).familiarity.endswith("training cells of its class.")
    # Of a class of which nothing is known, all training cells are asked.
    model.class_quantiles[1] = np.nan
    mixed = model.decode(encoding).novelty(cells=True)
    model.class_quantiles = None
    assert np.array_equal(mixed[given == 1], model.decode(encoding).novelty(cells=True)[given == 1])


def test_a_pixel_outside_is_refused_with_a_sentence(segmentation: Segmentation) -> None:
    for y, x in ((-1, 0), (70, 0), (0, 101)):
        with pytest.raises(ImageError, match="outside the image of 70 x 101"):
            explain(segmentation, y, x)


def test_a_region_is_explained_by_mean_responsibilities(segmentation: Segmentation) -> None:
    mask = np.zeros((70, 101), dtype=bool)
    mask[10:30, 22:61] = True  # cuts through cells
    found = explain_mask(segmentation, mask)
    weight = np.zeros((18, 26))
    for y, x in np.argwhere(mask):
        weight[y // 4, x // 4] += 1
    weight /= weight.sum()
    for part in found.responsible:
        expected = (weight * segmentation.responsibility(part.index, cells=True)).sum()
        assert part.responsibility == pytest.approx(expected, abs=1e-5)
    assert found.novelty == pytest.approx(
        (weight * segmentation.novelty(cells=True)).sum(), abs=1e-5
    )
    assert found.is_mask and found.familiarity.startswith("On average")
    assert (found.top, found.left, found.mask.shape) == (10, 22, (20, 39))
    assert mask[found.y, found.x]


@pytest.mark.parametrize("cells", [{}, {"partition": "superpixel", "region_size": 8}])
def test_the_whole_image_is_explained_by_the_shares_of_the_prototypes(
    cells: dict[str, object],
) -> None:
    model = tiny_model(**cells)
    whole = segment(two_tone(70, 101)[0], model)
    found = explain_mask(whole, np.ones(whole.shape, bool))
    share = whole.prototype_share()
    assert share.sum() == pytest.approx(1, abs=1e-5)
    for part in found.responsible:
        assert part.responsibility == pytest.approx(share[part.index], abs=1e-5)
    # Cells differ in size here, or this would say nothing.
    unweighted = whole.at(range(whole.encoding.partition.n_cells)).responsibility.mean(0)
    assert np.abs(unweighted - share).max() > 1e-4


def test_regions_that_make_no_sense_are_refused(segmentation: Segmentation) -> None:
    with pytest.raises(ImageError, match="empty"):
        explain_mask(segmentation, np.zeros((70, 101), dtype=bool))
    with pytest.raises(ImageError, match="region of this image"):
        explain_mask(segmentation, np.ones((7, 10), dtype=bool))


def test_a_component_is_connected_and_of_one_label() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 2, 2, 1], [2, 2, 1, 1], [2, 1, 2, 1]])
    mask = component_at(labels, 0, 0)
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4])
    assert component_at(labels, 3, 1).sum() == 5  # connected by a corner
    assert component_at(labels, 3, 2).sum() == 8


def test_cells_inside_a_region(segmentation: Segmentation) -> None:
    partition = segmentation.encoding.partition
    mask = np.zeros((70, 101), dtype=bool)
    mask[4:12, 0:6] = True  # two whole cells, and two halves
    assert cells_inside(partition, mask).tolist() == [26, 27, 52, 53]
    mask[:, 5] = False
    assert cells_inside(partition, mask).tolist() == [26, 52]
    speck = np.zeros((70, 101), dtype=bool)
    speck[5, 5] = True
    assert cells_inside(partition, speck).tolist() == [27]
    assert cells_inside(partition, speck & False).tolist() == []
    assert cell_weights(partition, speck)[27] == pytest.approx(1)


def test_an_outline_encloses_exactly_its_pixels() -> None:
    from matplotlib.path import Path

    rng = np.random.default_rng(0)
    mask = rng.random((12, 9)) < 0.6
    inside = np.zeros((12, 9), dtype=int)
    points = np.argwhere(np.ones((12, 9), dtype=bool))
    for polygon in outline(mask, 3, 5):
        inside += Path(polygon - (3, 5)).contains_points(points).reshape(12, 9)
    np.testing.assert_array_equal(inside % 2 == 1, mask)  # holes are outlined as well


def with_odd_cells(model: PrototypeSegmenter, encoding: Encoding) -> Segmentation:
    """A patch of cells at rows 2 to 4, columns 20 to 22 that nothing explains."""
    latents = encoding.latents.clone().reshape(18, 26, -1)
    latents[2:5, 20:23] += 9
    return model.decode(Encoding(latents.reshape(18 * 26, -1), encoding.partition))


def test_the_most_novel_place_comes_first(model: PrototypeSegmenter, encoding: Encoding) -> None:
    places = most_novel_places(with_odd_cells(model, encoding), 4, distance=16)
    assert 8 <= places[0].y < 20 and 80 <= places[0].x < 92
    assert len(places) == 4
    values = [place.value for place in places]
    assert values == sorted(values, reverse=True) and 0 <= values[-1] <= values[0] <= 1
    for i, a in enumerate(places):
        for b in places[:i]:  # suppressed around stronger ones
            assert max(abs(a.y - b.y), abs(a.x - b.x)) >= 16


def test_the_most_uncertain_place_is_where_the_classes_are_a_close_call(
    segmentation: Segmentation,
) -> None:
    uncertainty = segmentation.uncertainty(cells=True)
    places = most_uncertain_places(segmentation, 3, distance=4)
    values = [uncertainty[p.y // 4, p.x // 4] for p in places]
    assert min(values) > np.median(uncertainty)
    assert [p.value for p in places] == pytest.approx(values, abs=0.01)
    assert places[0].value == max(p.value for p in places)


def test_a_region_within_one_cell_is_no_pixel(segmentation: Segmentation) -> None:
    mask = np.zeros((70, 101), dtype=bool)
    mask[33, 47] = True
    found = explain_mask(segmentation, mask)
    assert found.n_cells == 1 and found.is_mask
    assert "This pixel" not in found.remark and not explain(segmentation, 33, 47).is_mask
