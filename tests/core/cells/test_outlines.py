"""Outlines of classes follow the edges of the photograph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.cells.outlines import labels_along_edges
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


def overhanging(image: Tensor) -> Tensor:
    """Pixels (C, h K, w K) of whole cells."""
    below, right = -image.shape[1] % K, -image.shape[2] % K
    return F.pad(image[None], (0, right, 0, below), mode="replicate")[0]


def cells(image: Tensor) -> Tensor:
    """Means (C, h, w) of cells, the last of which overhang the image."""
    return F.avg_pool2d(overhanging(image)[None], K)[0]


def refined(image: Tensor, disc: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of every pixel before and after; the classes of cells are the right ones."""
    share = cells(disc[None].float())[0]
    maps = torch.stack([1 - share, share])
    partition = Grid(*disc.shape, K)
    before = partition.largest(maps.flatten(1).T)
    guide, pixels = cells(pixel_colours(image[None])[0]), overhanging(image)
    after = labels_along_edges(maps, guide, lambda a, b: pixels[:, a:b], K)
    return before, after[: disc.shape[0], : disc.shape[1]]


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


def test_pixels_in_bytes_give_the_same_labels() -> None:
    image, disc = scene(160, 200)
    levels = (255 * image.clamp(0, 1)).round().to(torch.uint8)
    share = cells(disc[None].float())[0]
    maps, guide = torch.stack([1 - share, share]), cells(pixel_colours(levels[None] / 255)[0])
    of_levels = labels_along_edges(maps, guide, lambda a, b: levels[:, a:b], K)
    assert torch.equal(
        of_levels, labels_along_edges(maps, guide, lambda a, b: levels[:, a:b] / 255, K)
    )


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_labels_are_those_of_the_guided_filter(channels: int) -> None:
    """Written out in full: systems solved by LAPACK, coefficients interpolated by torch."""
    image, disc = scene(96, 120, channels)
    share = cells(disc[None].float())[0]
    maps = torch.stack([0.7 * (1 - share), 0.3 * (1 - share), share])
    guide = cells(pixel_colours(image[None])[0])
    found = labels_along_edges(maps, guide, lambda a, b: image[:, a:b], K)

    def around(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(values[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]

    mean, mean_guide = around(maps), around(guide)
    pairs = torch.stack(
        [around(guide * colour) - mean_guide * around(colour[None]) for colour in guide]
    )
    flat = 0.005 * guide.flatten(1).var(1).mean() * torch.eye(channels)
    cross = torch.stack([around(guide * m) - mean_guide * around(m[None]) for m in maps])
    slope = torch.linalg.solve(pairs.permute(2, 3, 0, 1) + flat, cross.permute(2, 3, 1, 0))
    slope = slope.permute(3, 2, 0, 1)
    offset = mean - (slope * mean_guide).sum(1)
    fine = [
        F.interpolate(around(v)[None], scale_factor=K, mode="bilinear")[0]
        for v in (slope.flatten(0, 1), offset)
    ]
    colours = pixel_colours(image[None])[0]
    values = (fine[0].unflatten(0, (3, channels)) * colours).sum(1) + fine[1]
    best = maps.argmax(0)
    near = F.max_pool2d(F.pad(F.one_hot(best).permute(2, 0, 1).float()[None], (1,) * 4), 3, 1)[0]
    mixed = (near.sum(0) > 1).repeat_interleave(K, 0).repeat_interleave(K, 1)
    of_cells = best.repeat_interleave(K, 0).repeat_interleave(K, 1)
    expected = torch.where(mixed, values.argmax(0), of_cells)
    assert mixed.any()
    assert not mixed.all()
    assert (found != expected).float().mean() < 1e-3


@pytest.mark.parametrize("noise", [0.5, 1.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_ground_without_edges_gets_no_class_that_is_not_there(noise: float, channels: int) -> None:
    """Colours of a camera that sees water: what varies is the last digits of the sums."""
    random = torch.Generator().manual_seed(0)
    level = 130 + noise * torch.randn(channels, 256, 256, generator=random)
    image = level.round().clamp(0, 255).to(torch.uint8)
    side = torch.arange(256 // K)[None].expand(256 // K, -1) < 256 // K // 2
    maps = torch.stack([torch.zeros_like(side), side, ~side]).float()
    guide = cells(pixel_colours(image[None])[0])
    found = labels_along_edges(maps, guide, lambda a, b: image[:, a:b], K)
    assert set(found.unique().tolist()) == {1, 2}


def test_one_class_alone_needs_no_pixels() -> None:
    maps = torch.stack([torch.full((4, 4), 0.9), torch.full((4, 4), 0.1)])

    def never(first: int, last: int) -> Tensor:
        raise AssertionError("pixels were read")

    assert not labels_along_edges(maps, torch.zeros(3, 4, 4), never, K).any()
