"""A version store, and models to put into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.version_store import VersionStore
from tests.core.project.stores import make_pair


@pytest.fixture
def pair() -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    return make_pair()


@pytest.fixture
def model(pair: tuple[PrototypeSegmenter, PrototypeSegmenter]) -> PrototypeSegmenter:
    return pair[0]


@pytest.fixture
def child_model(pair: tuple[PrototypeSegmenter, PrototypeSegmenter]) -> PrototypeSegmenter:
    return pair[1]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "versions")
