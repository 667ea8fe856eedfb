"""Seeding without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the block only."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
