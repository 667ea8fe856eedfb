"""What is looked at again of an image whose file names a value for "no data" knows that value."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from tifffile import imwrite

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partitioner import Partitioner
from napari_gaussproto.core.explain.explain import explain
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, segment_stack_steps
from napari_gaussproto.io import explanation as figures
from napari_gaussproto.jobs import changes
from napari_gaussproto.jobs.insight import figure_job, places_job
from napari_gaussproto.jobs.requests import Seen
from napari_gaussproto.jobs.segment import preview_job
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.jobs.versions import compare_models
from tests.core.builders import tiny_model, two_tone

HOLE = np.s_[:, :40]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """An image of floats, a third of which is -9999: no range of values holds both."""
    pixels = two_tone(80, 120)[0].astype(np.float32) / 255
    pixels[HOLE] = -9999
    path = tmp_path_factory.mktemp("nodata") / "mosaic.tif"
    imwrite(path, pixels, photometric="rgb", extratags=[(42113, "s", 0, "-9999", True)])
    image, model = TrainImage("key", pixels, rgb=True, file=str(path)), tiny_model()
    return Seen(segmented(image, model), image, model)


def segmented(image: TrainImage, model: PrototypeSegmenter) -> StackSegmentation:
    return run(segment_stack_steps(image.pixels, model, rgb=True, nodata=image.nodata))


def has_contrast(pictures: list[np.ndarray]) -> bool:
    """Whether pictures show the photograph, and not only what is data and what is none."""
    return all(len(np.unique(picture)) > 2 for picture in pictures)


def test_nothing_changes_between_a_model_and_itself(seen: Seen) -> None:
    assert (seen.segmentation.labels[HOLE] == 0).all()
    assert compare_models(seen.model, seen.image, seen.segmentation).pixels_changed == 0


def test_versions_are_compared_by_the_same_cells_and_borders() -> None:
    model = load_model("peanut-superpixel")
    image = TrainImage("key", two_tone(80, 120)[0], rgb=True)
    size = 2 * model.config.region_size
    cut = segmented(image, model.with_cells(size))
    assert compare_models(model, image, cut, size).pixels_changed == 0
    assert compare_models(model, image, cut).pixels_changed > 0


def test_pictures_of_places_and_of_new_prototypes_show_the_photograph(seen: Seen) -> None:
    found = run(places_job(seen.segmentation, seen.image, (), seen.model))
    assert has_contrast([picture for kind in found for picture in kind.pictures])
    mask = np.zeros(seen.segmentation.shape, np.bool_)
    mask[8:40, 60:100] = True
    added = changes.add(0, mask, seen, seen.model)
    assert has_contrast(list(added.prototypes[-1].patches))


def test_a_preview_of_cells_is_of_the_photograph(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = []

    def steps(self: Partitioner, source: object, window: object) -> object:
        sources.append(source)
        yield None
        return SimpleNamespace(outlines=lambda: None, n_cells=1)

    monkeypatch.setattr(Partitioner, "steps", steps)
    run(preview_job(seen.image, (), seen.model.config, (0, 0, 80, 120)))
    assert len(np.unique(sources[0].read(0, 40, 80, 120))) > 2


def test_a_figure_shows_the_photograph(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    real = figures.explanation_figure
    monkeypatch.setattr(
        figures, "explanation_figure", lambda *a, **k: drawn.append(real(*a, **k)) or drawn[-1]
    )
    plane = seen.segmentation.planes[0]
    figure_job(tmp_path / "why.png", seen.image, (), plane, explain(plane, 40, 80))
    (photo,) = drawn[0].axes[0].images
    assert has_contrast([np.asarray(photo.get_array())])
