"""Settings for all tests."""

from __future__ import annotations

import os

# Empty: napari neither reads nor writes the preferences of the person who runs the tests. It
# looks at this once, when it is imported.
os.environ["NAPARI_CONFIG"] = ""
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as there are cores share the tests, so each has one thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

# Shared machines stall now and then; a slow example is no failure. CI repeats its examples,
# so that a failure there can be had again at home.
settings.register_profile(
    "local", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))


@pytest.fixture(autouse=True)
def same_random_weights() -> None:
    """Networks of random weights are the same in whatever order the tests are run."""
    torch.manual_seed(0)
