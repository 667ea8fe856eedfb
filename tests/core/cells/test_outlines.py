"""Outlines of classes follow the edges of the photograph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.cells.outlines import refine_outlines
from napari_gaussproto.core.cells.partition import Grid
from napari_gaussproto.core.network.local import pixel_colours

K = 8


def scene(height: int, width: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Pixels (C, H, W) of a disc on a ground, and where the disc is (H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = (y - 0.45 * height) ** 2 + (x - 0.55 * width) ** 2 < (0.3 * height) ** 2
    ground = torch.linspace(0.2, 0.8, channels)[:, None, None]
    noise = 0.02 * torch.randn(channels, height, width, generator=torch.Generator().manual_seed(0))
    return torch.where(disc, 1 - ground, ground) + noise, disc


def cells(image: Tensor) -> Tensor:
    """Means (C, h, w) of cells, the last of which overhang the image."""
    below, right = -image.shape[1] % K, -image.shape[2] % K
    return F.avg_pool2d(F.pad(image[None], (0, right, 0, below), mode="replicate"), K)[0]


def refined(image: Tensor, disc: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of every pixel before and after; the classes of cells are the right ones."""
    share = cells(disc[None].float())[0]
    maps = torch.stack([1 - share, share])
    partition = Grid(*disc.shape, K)
    before = partition.largest(maps.flatten(1).T)
    after = before.clone()
    guide = cells(pixel_colours(image[None])[0])
    refine_outlines(after, maps, guide, lambda a, b: image[:, a:b], K)
    return before, after


@pytest.mark.parametrize(("size", "channels"), [((160, 200), 3), ((150, 190), 3), ((160, 200), 5)])
def test_a_border_moves_to_the_edge(size: tuple[int, int], channels: int) -> None:
    image, disc = scene(*size, channels)
    before, after = refined(image, disc)
    wrong_before, wrong_after = ((labels != disc).sum() for labels in (before, after))
    assert wrong_before > 60
    assert wrong_after < 0.5 * wrong_before


def test_what_is_not_near_a_border_stays() -> None:
    image, disc = scene(160, 200)
    image[:, 10:20, 10:20] = image[:, 70:80, 105:115]  # the colour of the disc, in the ground
    before, after = refined(image, disc)
    assert torch.equal(before[:40, :40], after[:40, :40])


def test_one_class_alone_needs_no_pixels() -> None:
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    maps = torch.stack([torch.full((4, 4), 0.9), torch.full((4, 4), 0.1)])

    def never(first: int, last: int) -> Tensor:
        raise AssertionError("pixels were read")

    refine_outlines(labels, maps, torch.zeros(3, 4, 4), never, K)
    assert not labels.any()
