"""Hidden surroundings, averaged coarse levels, and regions asked about alone, on tiny models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.quality.averaged import FINE, AveragedExtractor, averaged
from benchmarks.quality.hidden import alone, class_alone, hide
from benchmarks.quality.shown import like, markdown
from benchmarks.quality.surroundings import VARIANTS, changed, drawn, look_alone, regions_alone
from napari_gaussproto import PrototypeSegmenter, segment
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.slic import SlicSettings, region_map_steps
from napari_gaussproto.core.imaging.source import ImageSource
from recipes.shipped.views import View
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return tiny_model(partition="superpixel")


def test_what_is_hidden_has_one_colour_and_no_labels() -> None:
    images, labels = torch.rand(2, 3, 320, 320), torch.ones(2, 320, 320, dtype=torch.uint8)
    seen, known = hide(images, labels, np.random.default_rng(0), 1.0)
    for before, after, own in zip(images, seen, known, strict=True):
        hidden = own == 0
        assert 0.1 < float(hidden.float().mean()) < 0.95
        assert torch.equal(after[:, ~hidden], before[:, ~hidden])
        assert len(after[:, hidden].unique(dim=1).T) == 1
    same, kept = hide(images, labels, np.random.default_rng(0), 0.0)
    assert torch.equal(same, images) and torch.equal(kept, labels)


def test_variants_mix_and_hide() -> None:
    images, labels = torch.rand(9, 3, 320, 320), torch.ones(9, 320, 320, dtype=torch.uint8)
    plain = VARIANTS["plain"].change(images, labels, np.random.default_rng(0))
    assert torch.equal(plain[0], images) and torch.equal(plain[1], labels)
    mixed = VARIANTS["mixed"].change(images, labels, np.random.default_rng(0))
    assert not torch.equal(mixed[0], images) and bool((mixed[1] == 1).all())
    hidden = VARIANTS["hidden"].change(images, labels, np.random.default_rng(0))
    assert bool((hidden[1] == 0).any())


def test_views_are_changed_by_eights() -> None:
    rng = np.random.default_rng(1)
    views = [
        View(rng.integers(0, 256, (320, 320, 3), np.uint8), np.ones((320, 320), np.uint8), number)
        for number in range(11)
    ]
    same = list(changed(iter(views), VARIANTS["plain"]))
    assert [view.number for view in same] == list(range(11))
    for before, after in zip(views, same, strict=True):
        assert np.array_equal(before.image, after.image)
        assert np.array_equal(before.labels, after.labels)
    hidden = list(changed(iter(views), VARIANTS["hidden"]))
    some = [bool((view.labels == 0).any()) for view in hidden]
    assert 0 < sum(some) < 11


def test_a_region_alone_is_what_it_was_and_the_rest_is_the_mean_of_it(
    model: PrototypeSegmenter,
) -> None:
    image, _ = two_tone()
    partition = segment(image, model).encoding.partition
    cell = partition.cell_at(40, 60)
    seen, window = alone(image, partition, cell, 8)
    top, left, mask = partition.cell_mask(cell)
    own = np.zeros(image.shape[:2], bool)
    own[top : top + len(mask), left : left + mask.shape[1]] = mask
    assert np.array_equal(seen[own], image[own].astype(np.float32) / 255)
    outside = np.ones(image.shape[:2], bool)
    outside[window] = False
    assert outside.any() and len(np.unique(seen[outside], axis=0)) == 1
    np.testing.assert_allclose(seen.mean((0, 1), dtype=np.float64), seen[outside][0], atol=1e-5)


def test_a_region_alone_has_the_class_of_its_whole_hidden_photograph(
    model: PrototypeSegmenter,
) -> None:
    image, _ = two_tone()
    partition = segment(image, model).encoding.partition
    for cell in range(0, partition.n_cells, 7):
        seen, _ = alone(image, partition, cell, 400)  # hides nothing
        pixels = torch.from_numpy(seen).permute(2, 0, 1)[None]
        beyond = (0, -image.shape[1] % model.alignment, 0, -image.shape[0] % model.alignment)
        with torch.no_grad():
            latents = model.extract(F.pad(pixels, beyond, mode="replicate"))[0]
            wanted = model.layer(model.cells_of(latents, partition)[[cell]]).argmax()
        assert class_alone(model, image, partition, cell, 400) == int(wanted)


def test_regions_of_an_averaged_image_have_one_colour() -> None:
    image = torch.from_numpy(two_tone(64, 64)[0]).permute(2, 0, 1) / 255
    settings = SlicSettings(6, 10.0, 1)
    flat = averaged(image[None], settings)[0]
    source = ImageSource.from_array(image.permute(1, 2, 0).numpy(), 3, 2, (0.0, 1.0))
    regions = torch.from_numpy(run(region_map_steps(source, settings)))
    for region in range(int(regions.max()) + 1):
        own = regions == region
        wanted = image[:, own].mean(1, keepdim=True).expand_as(flat[:, own])
        torch.testing.assert_close(flat[:, own], wanted)


@torch.no_grad()
def test_only_coarse_levels_see_the_averaged_image(model: PrototypeSegmenter) -> None:
    image = torch.rand(1, 3, 128, 128)
    plain, changed = model.extractor, AveragedExtractor.of(model.extractor, model.config)
    flat = averaged(image, changed.settings)
    levels = zip(plain.pyramid(image), plain.pyramid(flat), changed.pyramid(image), strict=True)
    strides = plain.strides
    assert min(strides) <= FINE < max(strides)
    for stride, (before, of_flat, found) in zip(strides, levels, strict=True):
        torch.testing.assert_close(found, of_flat if stride > FINE else before)


def test_drawn_regions_count_for_all_of_their_class() -> None:
    classes, labelled = np.array([0] * 30 + [1] * 4 + [2] * 6), np.arange(40) < 36
    shares = list(drawn(classes, labelled, 5, np.random.default_rng(0)))
    totals = [sum(share for cell, share in shares if classes[cell] == c) for c in range(3)]
    assert totals == pytest.approx([30, 4, 2]) and len(shares) == 5 + 4 + 2
    assert all(labelled[cell] for cell, _ in shares)


def test_answers_about_regions_alone(model: PrototypeSegmenter) -> None:
    image, labels = two_tone()
    asked = regions_alone(model, [image], [labels], 200, [400])
    # All regions are drawn, and nothing is hidden.
    assert asked[None] == pytest.approx(asked[400], abs=0.05) and asked[None] > 0.5
    row = look_alone(model, [image], [labels], 1, 16)
    assert row["places"] == 2 and row["most"] <= 16 + 4 * model.config.region_size


def test_a_row_about_prototypes() -> None:
    model = tiny_model()
    for prototype, use in zip(model.prototypes, (0.7, 0.3, 0.4, 0.6), strict=True):
        prototype.usage = use
        prototype.patch_labels = np.array([prototype.class_index] * 9 + [0])
    found = like(model) | {"miou": 0.5, "iou": {"soil": 0.6, "plant": 0.4}}
    assert found["least purity"] == 0.9 and found["least use"] == 0.3
    wanted = "| tiny | 0.500 | 0.600 | 0.400 | 0.9 | 30.0% | 2: 70%, 30% | 2: 60%, 40% |"
    assert wanted in markdown({"tiny": found})
