"""Settings for all tests."""

from __future__ import annotations

import torch
from hypothesis import settings

# Shared machines stall now and then; a slow example is no failure.
settings.register_profile("napari-gaussproto", deadline=None, max_examples=50)
settings.load_profile("napari-gaussproto")

torch.set_num_threads(2)
