"""The grid: features and labels to cells, values back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gaussproto.core.cells.partition import Grid

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]))


@given(sizes)
def test_targets_are_class_shares_of_labelled_pixels(size: tuple[int, int, int]) -> None:
    height, width, k = size
    labels = np.random.default_rng(height * 41 + width).integers(0, 4, (height, width))
    grid = Grid(height, width, k)
    target, weight = grid.targets(torch.from_numpy(labels), 3)
    for cell in range(grid.n_cells):
        row, column = divmod(cell, grid.grid_shape[1])
        block = labels[row * k : (row + 1) * k, column * k : (column + 1) * k]
        counts = np.bincount(block.ravel(), minlength=4)[1:]
        assert weight[cell] == pytest.approx(counts.sum() / k**2, abs=1e-5)
        if counts.sum():
            assert target[cell].numpy() == pytest.approx(counts / counts.sum(), abs=1e-5)


@given(sizes)
def test_bands_agree_with_one_interpolation_of_the_whole(size: tuple[int, int, int]) -> None:
    height, width, k = size
    grid = Grid(height, width, k)
    values = torch.randn(grid.n_cells, 2, generator=torch.Generator().manual_seed(height))
    whole = torch.nn.functional.interpolate(
        grid.to_map(values)[None], scale_factor=k, mode="bilinear"
    )[0, :, :height, :width]
    torch.testing.assert_close(grid.to_pixels(values), whole)


def test_many_bands_agree_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(50, 37, 4)
    values = torch.randn(grid.n_cells, 3)
    whole = grid.to_pixels(values)
    monkeypatch.setattr("napari_gaussproto.core.cells.partition.PAINT_PIXELS", 37 * 8)
    assert len(list(grid.pixel_rows(values))) > 3
    torch.testing.assert_close(grid.to_pixels(values), whole)


def test_what_overhangs_the_image_is_no_cell() -> None:
    grid = Grid(30, 22, 4)  # 8 x 6 cells, the padded map is larger
    latents = torch.randn(5, 10, 10)
    assert torch.equal(grid.to_map(grid.latents(latents)), latents[:, :8, :6])


def test_cell_at_and_center_agree() -> None:
    grid = Grid(33, 41, 8)
    for cell in range(grid.n_cells):
        assert grid.cell_at(*grid.center(cell)) == cell


def test_areas_count_pixels_of_the_image() -> None:
    cut = Grid(19, 27, 8)
    expected = np.zeros(cut.n_cells)
    for y in range(19):
        for x in range(27):
            expected[cut.cell_at(y, x)] += 1
    assert cut.areas.tolist() == expected.tolist()
