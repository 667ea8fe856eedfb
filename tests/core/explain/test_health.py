"""Marks of prototypes, the gallery, and the picture of the latent space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.quantiles import QUANTILES
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.explain.gallery import gallery, strip
from napari_gaussproto.core.explain.health import health
from napari_gaussproto.core.explain.projection import project
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.core.builders import random_layer, tiny_model, two_tone


@pytest.fixture
def model() -> PrototypeSegmenter:
    """Four prototypes with nothing to blame."""
    model = tiny_model()
    layer = random_layer(8, (0, 0, 1, 1), seed=3)
    model.layer = layer
    for prototype in model.prototypes:
        prototype.usage, prototype.purity = 0.5, 1.0
        prototype.patch_labels = np.full(8, prototype.class_index)
        prototype.distance_quantiles = np.linspace(1, 30, QUANTILES).astype(np.float32)
    return model


def kinds(model: PrototypeSegmenter) -> list[list[str]]:
    return [[mark.kind for mark in marks] for marks in health(model)]


def test_a_healthy_model_has_no_marks(model: PrototypeSegmenter) -> None:
    assert kinds(model) == [[], [], [], []]


def test_what_was_not_measured_is_not_held_against_a_prototype() -> None:
    assert all(kind in ([], ["duplicate"]) for kind in kinds(tiny_model()))


def test_dead(model: PrototypeSegmenter) -> None:
    model.prototypes[1].usage = 0.009
    assert kinds(model)[1] == ["dead"]
    assert "0.9%" in health(model)[1][0].meaning


def test_duplicates_name_each_other(model: PrototypeSegmenter) -> None:
    with torch.no_grad():
        model.layer.mean[1] = model.layer.mean[0] + 0.01
        model.layer.raw_scale[1] = model.layer.raw_scale[0]
    found = health(model)
    assert found[0][0].title == "duplicate of soil 2"
    assert found[1][0].title == "duplicate of soil 1"
    assert kinds(edits.turn_off(model, 1))[:2] == [[], []]


def test_off_the_data(model: PrototypeSegmenter) -> None:
    # The median of the squared distance is 7.34 with eight degrees of freedom.
    model.prototypes[2].distance_quantiles = np.linspace(7.2, 30, QUANTILES).astype(np.float32)
    assert kinds(model)[2] == []
    model.prototypes[2].distance_quantiles += 0.2
    assert kinds(model)[2] == ["off the data"]


def test_impure(model: PrototypeSegmenter) -> None:
    model.prototypes[0].patch_labels = np.array([0, 0, 0, 0, 1, 1, 0, 0])
    model.prototypes[3].patch_labels = np.array([0, 0, 0, 0, 0, 0, 0, 0])
    found = health(model)
    assert found[0][0].title == "mixed patches"
    assert found[3][0].title == "its patches are soil"
    assert "8 of its 8 nearest training patches are labelled" in found[3][0].meaning
    model.prototypes[3].patch_labels = np.array([0])
    assert "1 of its 1 nearest training patches is labelled" in health(model)[3][0].meaning
    assert kinds(edits.reassign(model, 3, 0))[3] == []


def test_the_gallery_has_a_group_for_every_class(model: PrototypeSegmenter) -> None:
    model.prototypes[2].patches = np.zeros((8, 48, 48, 3), np.uint8)
    model.prototypes[2].name = "<leaf>"
    found = gallery(edits.turn_off(edits.turn_off(model, 0), 1))
    assert [group.entry.name for group in found.groups] == ["soil", "plant"]
    assert [[e.index for e in group.prototypes] for group in found.groups] == [[0, 1], [2, 3]]
    assert [e.active for e in found.groups[0].prototypes] == [False, False]
    assert [e.weight for e in found.groups[0].prototypes] == [0, 0]
    assert sum(e.weight for e in found.groups[1].prototypes) == pytest.approx(1)
    html = found._repr_html_()
    assert "&lt;leaf&gt;" in html and "data:image/png;base64," in html and "(off)" in html


def test_a_strip_shows_patches_side_by_side() -> None:
    patches = np.stack([np.full((48, 48, 3), value, np.uint8) for value in (10, 20, 30)])
    picture = strip(patches, 2)
    assert picture.shape == (48, 98, 4)
    assert picture[0, 47, 0] == 10 and picture[0, 48, 3] == 0 and picture[0, 50, 0] == 20
    assert strip(patches[:0], 2).shape == (48, 1, 4)


def three_classes() -> tuple[PrototypeSegmenter, torch.Tensor]:
    """A model of three classes, and cells drawn from its prototypes."""
    model = tiny_model(classes=["soil", "crop", "weed"], prototypes_per_class=1)
    generator = torch.Generator().manual_seed(0)
    mean = 4 * torch.eye(3, 8)
    model.layer.set_parameters(mean, torch.full((3, 8), 0.5))
    noise = 0.5 * torch.randn(3, 300, 8, generator=generator)
    return model, (mean[:, None] + noise).reshape(-1, 8)


def test_three_classes_are_told_apart_by_discriminant_directions() -> None:
    model, cells = three_classes()
    found = project(model, cells, sample=500)
    assert found.method == "discriminant"
    assert found.cells.shape == (500, 2) and found.means.shape == (3, 2)
    nearest = np.linalg.norm(found.cells[:, None] - found.means[None], axis=2).argmin(1)
    assert (nearest == found.cell_class).mean() > 0.99


def test_ellipses_are_the_spread_of_the_projected_cells() -> None:
    model, _ = three_classes()
    with torch.no_grad():
        scale = torch.linspace(0.3, 1, 8)
        model.layer.set_parameters(model.layer.mean, scale.expand(3, 8))
        noise = torch.randn(4000, 8, generator=torch.Generator().manual_seed(1))
        own = model.layer.mean[0] + scale * noise
    found = project(model, own, sample=4000)
    covariance = np.cov(found.cells.T)
    long, short, angle = found.ellipses[0]
    axis, across = (
        np.array(v) for v in ((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))
    )
    assert axis @ covariance @ axis == pytest.approx(long**2, rel=0.1)
    assert across @ covariance @ across == pytest.approx(short**2, rel=0.1)


def test_directions_do_not_depend_on_the_image() -> None:
    model, cells = three_classes()
    first, second = project(model, cells[:100]), project(model, cells[700:])
    np.testing.assert_array_equal(first.means, second.means)


def test_two_classes_are_shown_along_principal_components() -> None:
    model = tiny_model()
    latents = segment(two_tone()[0], model).encoding.latents
    found = project(model, latents)
    assert found.method == "principal"
    assert len(found.cells) == len(latents) == len(found.cell_class)
    assert np.isfinite(found.ellipses).all()
