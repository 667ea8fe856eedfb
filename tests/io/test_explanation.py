"""The figure of an explanation."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.explain.explain import explain, explain_mask
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.io.explanation import caption_of, explanation_figure, save_explanation
from tests.core.builders import tiny_model, two_tone

PHOTO = two_tone()[0]


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    model = tiny_model()
    for prototype in model.prototypes:
        prototype.patches = np.full((5, 48, 48, 3), 200, np.uint8)
    return segment(PHOTO, model)


def texts(figure: object) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


def test_the_figure_names_what_is_in_the_explanation(segmentation: Segmentation) -> None:
    found = explain(segmentation, 50, 60)
    shown = texts(explanation_figure(PHOTO, segmentation, found))
    for part in found.responsible:
        # What rounds to 0% has no row.
        assert (part.name in shown) == (part.responsibility >= 0.005)
    for part in [*found.reasons, *found.objections]:
        assert f"{part.responsibility:.0%}" in shown and part.closeness in shown
    assert found.familiarity in shown
    assert f"soil {found.class_probability[0]:.0%}" in shown
    assert any(text.startswith("Why ") and "(y 50, x 60)" in text for text in shown)


def test_the_figure_says_of_what_it_is(segmentation: Segmentation) -> None:
    found, region = (
        explain(segmentation, 50, 60),
        explain_mask(segmentation, segmentation.labels == 2),
    )
    name = segmentation.classes[found.label].name
    caption = caption_of("plot 7", "tiny, made today", segmentation, found)
    assert caption == f"plot 7 · row 50, column 60: {name} · tiny, made today"
    figure = explanation_figure(PHOTO, segmentation, found, caption=caption)
    assert caption in texts(figure)
    of_region = caption_of("plot 7", "", segmentation, region, (1, 2))
    place = f"row {region.y}, column {region.x}"
    assert of_region == f"plot 7 · region around plane 2, 3, {place}: plant"


@pytest.mark.parametrize("corner", [(0, 0), (95, 127), (0, 127)])
def test_the_crop_stays_inside_the_image(
    segmentation: Segmentation, corner: tuple[int, int]
) -> None:
    axes = explanation_figure(PHOTO, segmentation, explain(segmentation, *corner)).axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left >= -0.5 and right <= 127.5 and top >= -0.5 and bottom <= 95.5
    assert left <= corner[1] <= right and top <= corner[0] <= bottom


def test_files_are_written_by_their_suffix(segmentation: Segmentation, tmp_path: Path) -> None:
    region = explain_mask(segmentation, segmentation.labels == 2)
    png = save_explanation(tmp_path / "why", PHOTO, segmentation, region)
    assert png.name == "why.png"
    with Image.open(png) as image:
        assert image.size == (3000, 1380)
    svg = save_explanation(tmp_path / "why.svg", PHOTO, segmentation, region)
    assert "Responsible prototypes" in svg.read_text()  # text stays text
    assert save_explanation(tmp_path / "why.pdf", PHOTO, segmentation, region).stat().st_size
    with pytest.raises(ConfigError, match="choose PNG, SVG or PDF"):
        save_explanation(tmp_path / "why.bmp", PHOTO, segmentation, region)


def test_names_are_shown_as_they_are_written(segmentation: Segmentation, tmp_path: Path) -> None:
    # Dollar signs start formulas in matplotlib, and a broken formula is an error.
    strange = copy.copy(segmentation)
    strange.classes = [
        entry.model_copy(update={"name": f"$\\frac$ {entry.name}"}) for entry in strange.classes
    ]
    strange.prototypes = [
        dataclasses.replace(prototype, name=f"$x^{{$ {m}")
        for m, prototype in enumerate(strange.prototypes)
    ]
    save_explanation(tmp_path / "why.png", PHOTO, strange, explain(strange, 50, 60))


def test_grey_photographs_are_drawn(segmentation: Segmentation) -> None:
    explanation_figure(PHOTO[..., 0], segmentation, explain(segmentation, 50, 60))


def test_prototypes_without_a_part_get_no_row(segmentation: Segmentation) -> None:
    found = explain(segmentation, 50, 60)

    def rows(*shares: float) -> list[str]:
        responsible = [
            dataclasses.replace(part, responsibility=share)
            for part, share in zip(found.responsible, shares, strict=True)
        ]
        changed = dataclasses.replace(found, responsible=responsible)
        shown = texts(explanation_figure(PHOTO, segmentation, changed))
        return [part.name for part in responsible if part.name in shown]

    names = [part.name for part in found.responsible]
    assert rows(0.9, 0.091, 0.005, 0.004) == names[:3]
    assert rows(0.998, 0.001, 0.001, 0.0) == names[:1]
