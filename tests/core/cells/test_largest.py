"""The largest of interpolated maps at every pixel, against painting them all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gaussproto.core.cells.partition import Grid, largest_between


@given(
    st.integers(1, 50), st.integers(1, 50), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99)
)
def test_as_of_painted_maps(height: int, width: int, k: int, count: int, seed: int) -> None:
    grid = Grid(height, width, k)
    values = torch.randn(grid.n_cells, count, generator=torch.Generator().manual_seed(seed))
    painted = grid.to_pixels(values)
    best = grid.largest(values)
    assert best.shape == (height, width) and best.dtype == torch.uint8
    # Where two are equal but for rounding, either may win.
    chosen = painted.gather(0, best[None].long())[0]
    torch.testing.assert_close(chosen, painted.max(0).values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_one_map_everywhere_needs_no_interpolation(k: int) -> None:
    maps = torch.zeros(3, 4, 6)
    # Interpolating between these would give nan, which counts as the largest.
    maps[0] = -torch.inf
    maps[2] = 1 + torch.rand(4, 6)
    assert (largest_between(maps, k, 4 * k, 6 * k) == 2).all()


def test_a_large_map_with_many_outlines_is_the_same_as_painted() -> None:
    grid = Grid(4 * 70, 4 * 60, 4)
    values = torch.randn(grid.n_cells, 3, generator=torch.Generator().manual_seed(0))
    painted = grid.to_pixels(values)
    chosen = painted.gather(0, grid.largest(values)[None].long())[0]
    torch.testing.assert_close(chosen, painted.max(0).values, rtol=1e-5, atol=1e-6)
