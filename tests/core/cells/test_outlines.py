"""Outlines that follow the photograph: the walk between cells, and the filter to pixels."""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve

from napari_gaussproto.core.cells.outlines import (
    Edges,
    grid_edges,
    guided_labels,
    guided_rows,
    region_edges,
    walk,
)

ROWS, COLUMNS = 12, 15


def halves() -> torch.Tensor:
    """Colours (N, 3) of a grid whose right part, from column 8 on, is another colour."""
    colour = torch.zeros(ROWS, COLUMNS, 3)
    colour[:, 8:] = 1.0
    return colour.flatten(0, 1)


def noisy(seed: int = 0) -> torch.Tensor:
    """Probabilities (N, 3) that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(ROWS * COLUMNS, 3, generator=generator).softmax(1)


def test_probabilities_stay_probabilities() -> None:
    after = walk(noisy(), halves(), noisy(1), grid_edges(ROWS, COLUMNS))
    torch.testing.assert_close(after.sum(1), torch.ones(ROWS * COLUMNS))
    assert float(after.min()) >= 0


def test_what_is_the_same_everywhere_stays() -> None:
    same = torch.tensor([[0.2, 0.5, 0.3]]).expand(ROWS * COLUMNS, 3)
    torch.testing.assert_close(walk(same, halves(), None, grid_edges(ROWS, COLUMNS)), same)


def test_it_solves_the_equations() -> None:
    edges, colours, start = grid_edges(ROWS, COLUMNS), torch.rand(ROWS * COLUMNS, 3), noisy()
    points = (colours / colours.std(0).max()).numpy()
    distance = np.square(points[edges.first] - points[edges.second]).sum(1)
    size = (ROWS * COLUMNS,) * 2
    half = coo_array((50 * np.exp(-distance / 0.18), (edges.first, edges.second)), shape=size)
    linked = half + half.T
    system = diags_array(1 + linked.sum(1)) - linked
    exact = spsolve(system.tocsc(), start.numpy().astype(float))
    after = walk(start, colours, None, edges)
    np.testing.assert_allclose(after.numpy(), exact, atol=0.01)


def test_noise_goes_and_the_border_moves_to_the_edge() -> None:
    """The border was found a cell too far to the right, and is unsure there."""
    truth = (torch.arange(COLUMNS) >= 8).expand(ROWS, COLUMNS)
    found = (torch.arange(COLUMNS) >= 9).expand(ROWS, COLUMNS).float().clone()
    found[5, 3] = 1.0
    posterior = torch.stack([1 - found, found], -1).flatten(0, 1) * 0.8 + 0.1
    after = walk(posterior, halves(), None, grid_edges(ROWS, COLUMNS))
    assert (after.argmax(1).view(ROWS, COLUMNS) == truth).all()


def test_latents_hold_what_has_one_colour_apart() -> None:
    found = (torch.arange(COLUMNS) >= 8).expand(ROWS, COLUMNS).float().flatten()
    posterior = torch.stack([1 - found, found], -1)
    even = torch.rand(ROWS * COLUMNS, 3) * 0.01
    latents = found[:, None].expand(-1, 16) + 0.01 * torch.randn(ROWS * COLUMNS, 16)
    edges = grid_edges(ROWS, COLUMNS)
    beside = 6 * COLUMNS + 8
    with_latents = walk(posterior, even, latents, edges)[beside, 1]
    without = walk(posterior, even + halves() * 0, None, edges)[beside, 1]
    assert with_latents > 0.98
    assert with_latents > without


def test_every_pair_of_neighbours_is_an_edge_once() -> None:
    edges = grid_edges(ROWS, COLUMNS)
    pairs = {
        frozenset(pair) for pair in zip(edges.first.tolist(), edges.second.tolist(), strict=True)
    }
    assert len(pairs) == len(edges.first)
    places = [(y, x) for y in range(ROWS) for x in range(COLUMNS)]
    near = {
        frozenset((i, j))
        for i, (y, x) in enumerate(places)
        for j, (v, u) in enumerate(places)
        if max(abs(y - v), abs(x - u)) == 1
    }
    assert pairs == near


def test_regions_are_joined_by_the_border_they_share() -> None:
    regions = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]], np.int32)
    edges = region_edges(regions, side=2)
    found = {
        (int(a), int(b)): float(length)
        for a, b, length in zip(edges.first, edges.second, edges.length, strict=True)
    }
    assert found == {(0, 1): 1.0, (0, 2): 1.0, (1, 2): 1.0}
    alone = region_edges(np.zeros((3, 3), np.int32), side=2)
    even = torch.ones(1, 1)
    assert isinstance(alone, Edges) and not len(alone.first)
    torch.testing.assert_close(walk(even, torch.zeros(1, 3), None, alone), even)


def test_eight_megapixels_take_a_fraction_of_a_second() -> None:
    rows, columns = 204, 272
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(rows * columns, 3, generator=generator).softmax(1)
    colours = torch.rand(rows * columns, 3, generator=generator)
    edges = grid_edges(rows, columns)
    before = time.process_time()
    walk(start, colours, torch.rand(rows * columns, 32, generator=generator), edges)
    assert time.process_time() - before < 1.0


CELL = 8


def leaf() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image (3, 90, 120) with a leaf whose border crosses cells, its truth, and its cells."""
    y, x = torch.meshgrid(torch.arange(90), torch.arange(120), indexing="ij")
    inside = ((y - 45) / 27.0) ** 2 + ((x - 61) / 43.0) ** 2 < 1
    image = torch.where(inside, 1.0, 0.2).expand(3, -1, -1)
    image = image + 0.03 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image[None], (0, 0, 0, 6), mode="replicate")
    return image, inside, torch.nn.functional.avg_pool2d(padded, CELL)[0]


def test_labels_follow_the_image_inside_of_cells() -> None:
    image, inside, guide = leaf()
    truth = torch.nn.functional.pad(inside.float()[None, None], (0, 0, 0, 6), mode="replicate")
    share = torch.nn.functional.avg_pool2d(truth, CELL)[0, 0]
    # As a model knows it: the cells at the border are unsure and one is wrong.
    found = (share * 0.8 + 0.1).round() * 0.9 + 0.05
    maps = torch.stack([1 - found, found])
    labels = guided_labels(maps, guide, image, CELL)
    plain = torch.nn.functional.interpolate(maps[None], scale_factor=CELL, mode="bilinear")[0]
    before = (plain[:, :90].argmax(0) == inside).float().mean()
    after = (labels == inside).float().mean()
    assert labels.shape == inside.shape and labels.dtype == torch.uint8
    assert 1 - after < 0.6 * (1 - before)


def test_without_edges_maps_are_only_smoothed() -> None:
    maps = torch.rand(2, 5, 6)
    flat = torch.full((3, 5, 6), 0.3)
    band = torch.cat([b for _, b in guided_rows(maps, flat, torch.full((3, 40, 48), 0.3), CELL)], 1)
    assert band.shape == (2, 40, 48)
    assert float(band.min()) >= float(maps.min()) and float(band.max()) <= float(maps.max())
    same = torch.full((2, 5, 6), 0.5)
    for _, rows in guided_rows(same, flat, torch.full((3, 40, 48), 0.3), CELL):
        torch.testing.assert_close(rows, torch.full_like(rows, 0.5))


def test_bands_fit_together() -> None:
    """Upside down, an image of several bands has its seams elsewhere."""
    generator = torch.Generator().manual_seed(0)
    guide = torch.rand(3, 160, 130, generator=generator)
    maps = torch.rand(2, 160, 130, generator=generator)
    image = torch.nn.functional.interpolate(guide[None], scale_factor=CELL, mode="bilinear")[0]
    bands = list(guided_rows(maps, guide, image, CELL))
    turned = guided_rows(maps.flip(1), guide.flip(1), image.flip(1), CELL)
    assert len(bands) > 1
    whole = torch.cat([band for _, band in bands], 1)
    assert [first for first, _ in bands][1] == bands[0][1].shape[1]
    torch.testing.assert_close(torch.cat([band for _, band in turned], 1).flip(1), whole)
