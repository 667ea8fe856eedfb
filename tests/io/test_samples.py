"""Sample data: each opens as napari layers and its truth fits the photograph."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_gaussproto.core.labels.class_table import UNKNOWN_COLOR
from napari_gaussproto.io import samples
from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.io.samples import (
    SAMPLE_CLASSES,
    open_field,
    open_large_field,
    open_photo,
    sample_mask,
    sample_photo,
    sample_photo_names,
)

NAMES = sample_photo_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_and_its_mask_fit(name: str) -> None:
    photo, mask = sample_photo(name), sample_mask(name)
    assert photo.shape == (720, 960, 3) and photo.dtype == np.uint8
    assert mask.shape == photo.shape[:2] and mask.dtype == np.uint8
    assert {1, 3} <= set(np.unique(mask)) <= {1, 2, 3}
    # The mask belongs to this photograph: plants are greener than soil.
    excess = 2.0 * photo[..., 1] - photo[..., 0] - photo[..., 2]
    assert excess[mask > 1].mean() > excess[mask == 1].mean() + 20


def test_every_class_is_in_some_photograph() -> None:
    found = {value for name in NAMES for value in np.unique(sample_mask(name)).tolist()}
    assert found == {1, 2, 3} and len(SAMPLE_CLASSES) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_opens_as_layers(name: str) -> None:
    layers = getattr(samples, f"open_{name}")()
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    (photo, options, _), (mask, mask_options, _) = layers
    assert np.array_equal(photo, sample_photo(name)) and options["name"] == name
    assert np.array_equal(mask, sample_mask(name))
    assert mask_options["visible"] is False  # the truth does not give away the result
    assert list(mask_options["features"]["class"]) == ["not labelled", "soil", "crop", "weed"]


def test_the_files_are_what_the_names_say() -> None:
    folder = Path(str(resources.files("napari_gaussproto.io") / "data"))
    assert {path.stem for path in folder.glob("*.jpg")} == set(NAMES)
    assert {path.stem for path in folder.glob("*.png")} == set(NAMES)


def test_source_and_licence_are_beside_the_photographs() -> None:
    text = (resources.files("napari_gaussproto.io") / "data" / "ATTRIBUTION.md").read_text("utf-8")
    assert "CC BY-SA 4.0" in text and "Changes made" in text and "Cite:" in text
    assert all(name.removeprefix("peanut_") in text for name in NAMES)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for call in (sample_photo, sample_mask, open_photo):
        with pytest.raises(KeyError, match="peanut_0077, peanut_0090"):
            call("peanut_9999")


def test_the_field_opens_with_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    # A quarter of it shows the same in a quarter of the time.
    monkeypatch.setattr(samples, "synthetic_field", lambda h, w: synthetic_field(h // 2, w // 2))
    (image, _, kind), (labels, options, labels_kind) = open_field()
    assert (kind, labels_kind) == ("image", "labels")
    assert image.shape == (*labels.shape, 3) and set(np.unique(labels)) == {1, 2, 3}
    assert options["visible"] is False


def levels(data: Any) -> list[Any]:
    """Of a pyramid its levels, of one array that array."""
    return data if isinstance(data, list) else [data]


def test_the_large_field_is_a_lazy_pyramid(monkeypatch: pytest.MonkeyPatch) -> None:
    [(levels, _, _)] = open_large_field()
    assert levels[0].shape == (samples.LARGE_SIDE, samples.LARGE_SIDE, 3)
    assert levels[0].npartitions > 30
    assert isinstance(levels[-1], np.ndarray)  # napari shows it at once
    monkeypatch.setattr(samples, "LARGE_SIDE", 130)
    [(levels, options, kind)] = open_large_field()
    assert kind == "image" and options["rgb"] is True and options["multiscale"] is True
    whole = synthetic_field(130, 130)[0]
    for level, step in enumerate((1, 2, 4, 8, 16)):
        assert np.array_equal(np.asarray(levels[level]), whole[::step, ::step])


def test_labels_have_their_class_colours_and_names() -> None:
    _, (labels, options, _) = open_photo("peanut_0077")
    layer = Labels(labels, **options)
    shown = {value: layer.colormap.map(value) for value in range(5)}
    for value, entry in enumerate(SAMPLE_CLASSES, start=1):
        rgb = [int(entry.color[n : n + 2], 16) for n in (1, 3, 5)]
        assert np.allclose(shown[value][:3], np.array(rgb) / 255, atol=0.01)
    assert shown[0][3] == 0  # what is not labelled is transparent
    assert UNKNOWN_COLOR == "magenta" and np.allclose(shown[4], [1, 0, 1, 1])
    table = layer.features
    assert list(table["index"]) == [0, 1, 2, 3]
    assert list(table["class"]) == ["not labelled", "soil", "crop", "weed"]
    layer.visible = True
    y, x = (int(at[0]) for at in np.nonzero(labels == 2))
    assert "crop" in layer.get_status((y, x))["value"]
