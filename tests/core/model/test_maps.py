"""Roles of maps: their text stands in the layers of saved sessions, so it must not change."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.core.model.maps import (
    LIKELIHOOD,
    NOVELTY,
    OUTLINES,
    QUANTITIES,
    STACK,
    UNCERTAINTY,
    MapRole,
    likelihoods,
    limits_of,
    maps_of,
    values_of,
)
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.stack import StackSegmentation
from tests.core.builders import tiny_model, two_tone


@pytest.mark.parametrize(
    ("role", "text"),
    [
        (LIKELIHOOD, "likelihood"),
        (MapRole("new prototype"), "new prototype"),
        (MapRole.probability(1), "probability 1"),
        (MapRole.pinned(3), "pinned 3"),
        (MapRole.pinned(3, "responsibility"), "pinned responsibility 3"),
        (MapRole.pinned(12, "log-likelihood"), "pinned log-likelihood 12"),
    ],
)
def test_a_role_has_one_text(role: MapRole, text: str) -> None:
    assert str(role) == text and MapRole.parse(text) == role


def test_maps_of_roles() -> None:
    plane = segment(two_tone()[0], tiny_model())
    stack = StackSegmentation([plane], ())
    assert limits_of(stack, "responsibility") == (0.0, 1.0)
    roles = [NOVELTY, UNCERTAINTY, STACK, MapRole.probability(1), MapRole.probability(7)]
    pins = [MapRole.pinned(2, quantity) for quantity in QUANTITIES]
    asked = [*roles, *pins, LIKELIHOOD, OUTLINES]
    maps = maps_of(stack, asked)
    assert list(maps) == roles[:4]  # a class that there is not has no map
    assert np.array_equal(maps[STACK], likelihoods(stack))
    assert np.array_equal(maps[MapRole.probability(1)], stack.class_probability(1))
    pinned = maps_of(stack, asked, pinned=True)
    assert list(pinned) == [*roles[:4], *pins]
    for role in pins:
        assert np.array_equal(pinned[role], values_of(stack, 2, role.quantity))
        assert np.isfinite(pinned[role]).all()
