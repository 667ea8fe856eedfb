"""What an answer depends on, by a network that is known to look at one place beside each cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_gaussproto import dependence, segment
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.explain.dependence import Dependence, dependence_steps
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.neck import normalise
from napari_gaussproto.core.network.stride import shrink
from tests.core.builders import tiny_model, two_tone

# Pixels to the right of a cell that the network looks at, and of a latent position.
BESIDE, STRIDE = 24, 4
REGIONS = {"partition": "superpixel", "region_size": 8}


class Sideways(nn.Module):
    """Latents that say how bright the image is, not here but farther right."""

    alignment = context_stride = 16
    has_local = False

    def forward(self, image: Tensor) -> Tensor:
        bright = shrink(image, STRIDE).mean(1, keepdim=True)
        return latents_of(bright.roll(-BESIDE // STRIDE, 3))

    def maps_and_context(self, image: Tensor) -> list[Tensor]:
        return [self(image), shrink(image, self.context_stride)]


def latents_of(bright: Tensor) -> Tensor:
    """Brightness (B, 1, h, w) as latents (B, 8, h, w)."""
    rest = [torch.ones_like(bright), *[torch.zeros_like(bright)] * 5]
    return normalise(torch.cat([bright, 1 - bright, *rest], 1))


def sideways(**changes: Any) -> PrototypeSegmenter:
    """A model of dark and bright that looks sideways."""
    model = tiny_model(**changes)
    model.extractor = Sideways().eval()
    model.receptive_radius = 64
    mean = latents_of(torch.tensor([0.1, 0.3, 0.7, 0.9]).view(4, 1, 1, 1))[..., 0, 0]
    model.layer.set_parameters(mean, torch.full_like(mean, 0.5))
    return model.eval()


def picture() -> npt.NDArray[np.uint8]:
    """Dark noise with a bright square of 16 pixels; its middle is (64, 88)."""
    image = np.random.default_rng(0).integers(20, 60, (128, 160, 3), dtype=np.uint8)
    image[56:72, 80:96] = 240
    return image


@pytest.fixture(scope="module", params=[{}, REGIONS], ids=["grid", "superpixels"])
def model(request: Any) -> PrototypeSegmenter:
    return sideways(**request.param)


@pytest.fixture(scope="module")
def found(model: PrototypeSegmenter) -> Dependence:
    return dependence(picture(), model, segment(picture(), model), 65, 65)


def test_the_place_that_the_network_looks_at_is_found(
    model: PrototypeSegmenter, found: Dependence
) -> None:
    assert found.class_index == 1  # dark itself, but bright beside it
    assert abs(found.y - 65) <= 5 and abs(found.x - 65) <= 5
    assert found.share.sum() == pytest.approx(1, abs=1e-5)
    rows = found.top + found.pixel_size * (np.arange(found.share.shape[0]) + 0.5)
    columns = found.left + found.pixel_size * (np.arange(found.share.shape[1]) + 0.5)
    near = 4 if not model.config.has_regions else 10
    beside = np.hypot(rows[:, None] - found.y, columns - found.x - BESIDE) <= near + 4
    assert found.share[beside].sum() > 0.95
    assert abs(found.radius(0.5) - BESIDE) <= near
    assert found.radius(0.1) > BESIDE - 2 * near and found.radius(0.9) < BESIDE + 2 * near
    assert beside[found.levels > 0.1].all() and (found.levels > 0.5).any()


def test_levels_say_which_elements_hold_a_part(found: Dependence) -> None:
    assert found.levels.max() == 1 and found.levels.min() >= 0
    for level in (0.5, 0.1):
        held = found.share[found.levels > level].sum()
        assert held >= 1 - level - 1e-5
        # Without the least of them they would hold less than that.
        inside = found.share[found.levels > level]
        assert held - inside[inside == inside.min()].sum() <= 1 - level + 1e-5
    assert found.sentence.startswith("Half of what this answer depends on lies within about 20 px,")


def test_a_real_network_near_the_border(model: PrototypeSegmenter) -> None:
    changes = REGIONS if model.config.has_regions else {}
    real, image = tiny_model(**changes), two_tone(70, 101)[0]
    found = dependence(image, real, segment(image, real), 69, 0)
    assert found.share.sum() == pytest.approx(1, abs=1e-5) and (found.share >= 0).all()
    # The map covers what of the image the cell sees, and hardly more.
    size = found.pixel_size
    ends = (found.top + size * found.share.shape[0], found.left + size * found.share.shape[1])
    assert -size < found.left <= 0 and 70 <= ends[0] < 70 + size


def test_every_pass_is_a_step_and_one_can_stop(model: PrototypeSegmenter) -> None:
    segmentation = segment(picture(), model)
    steps: list[Any] = []
    again = dependence(picture(), model, segmentation, 65, 65, steps.append)
    assert [step.index for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.index <= step.total for step in steps)
    work = WithValue(dependence_steps(picture(), model, segmentation, 65, 65))
    for step in work:
        if step.index == 3:
            break
    assert not hasattr(work, "value") and again.share.sum() > 0


def test_an_answer_that_nothing_changes() -> None:
    model = sideways()
    without = edits.turn_off(edits.turn_off(model, 0), 1)
    segmentation = without.decode(segment(picture(), model).encoding)
    found = dependence(picture(), without, segmentation, 65, 65)
    assert not found.share.any() and not found.levels.any() and np.isnan(found.radius())
    assert found.sentence == "Nothing around this place changes its answer."


def test_what_cannot_be_asked_is_told(model: PrototypeSegmenter) -> None:
    segmentation = segment(picture(), model)
    with pytest.raises(ImageError, match="outside the image of 128 x 160"):
        dependence(picture(), model, segmentation, 128, 3)
    with pytest.raises(ImageError, match="give the image that was segmented"):
        dependence(picture()[:100], model, segmentation, 65, 65)
