"""What tests of the stores share."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.content_store import ContentStore
from napari_gaussproto.core.project.version_store import VersionStore
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import QuickSettings, quick_fit_steps
from tests.core.builders import tiny_model, two_tone

SETTINGS = QuickSettings(cells_per_class=100)


def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content is hashed and written from now on."""
    names: list[str] = []
    put = ContentStore.put

    def watched(self: ContentStore, data: bytes, suffix: str) -> str:
        names.append(put(self, data, suffix))
        return names[-1]

    monkeypatch.setattr(ContentStore, "put", watched)
    return names


@functools.cache
def _pair(seed: int) -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    """A model with something in every part, and a quick fit that started from it."""
    model = tiny_model(seed)
    rng = np.random.default_rng(seed)
    for m, prototype in enumerate(model.prototypes):
        prototype.patches = rng.integers(0, 256, (2 + m % 2, 48, 48, 3), dtype=np.uint8)
        prototype.patch_labels = np.array([0, 1, 1][: 2 + m % 2])
        prototype.distance_quantiles = np.sort(rng.random(101).astype(np.float32))
        prototype.usage, prototype.purity = 0.1 + m / 7, float("nan")
    model.density_quantiles = np.sort(rng.normal(size=101).astype(np.float32))
    model.layer.active[1] = False
    model.receptive_radius = 96
    model.card.name, model.card.data = "tiny", "Löwenzahn"
    image, labels = two_tone(seed=seed)
    encoded = encode_pyramid(image, model)
    return model, run(quick_fit_steps([encoded], [labels], model)).model


def make_pair(seed: int = 0) -> tuple[PrototypeSegmenter, PrototypeSegmenter]:
    """Copies of both, which share a backbone of their own."""
    return copy.deepcopy(_pair(seed))


def identical(first: PrototypeSegmenter, second: PrototypeSegmenter) -> bool:
    """Whether two models agree in every bit of everything they hold."""
    one, two = first.state_dict(), second.state_dict()
    arrays = ("patches", "patch_labels", "distance_quantiles")
    return (
        one.keys() == two.keys()
        and all(one[k].dtype == two[k].dtype and torch.equal(one[k], two[k]) for k in one)
        and first.config == second.config
        and first.card == second.card
        and first.receptive_radius == second.receptive_radius
        and np.array_equal(first.density_quantiles, second.density_quantiles)
        and len(first.prototypes) == len(second.prototypes)
        and all(
            (p.name, p.class_index, repr(p.usage), repr(p.purity))
            == (q.name, q.class_index, repr(q.usage), repr(q.purity))
            and all(np.array_equal(getattr(p, name), getattr(q, name)) for name in arrays)
            for p, q in zip(first.prototypes, second.prototypes, strict=True)
        )
    )


def reopened(store: VersionStore) -> VersionStore:
    return VersionStore(store.folder)


def n_bytes(store: VersionStore) -> int:
    """Size of a whole store on disk."""
    return sum(path.stat().st_size for path in store.folder.iterdir())


def is_whole(store: VersionStore, parts: dict[str, str]) -> bool:
    """Whether all parts are there with the content that their names say."""
    return all(ContentStore(store.folder).get(file) for file in parts.values())
