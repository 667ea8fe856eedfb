"""Quick fit: from strokes to a segmentation, with the backbone left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import maximum_filter, minimum_filter

from napari_gaussproto.core.base.config import ModelConfig, SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.editing.edits import turn_off
from napari_gaussproto.core.editing.new_classes import unfitted
from napari_gaussproto.core.model.encode import Tile
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import (
    EncodedImage,
    encode_pyramid,
    encode_pyramid_steps,
    latents_of_image,
)
from napari_gaussproto.core.training.quick_fit import QuickFit, QuickSettings, quick_fit_steps
from tests.core.builders import tiny_config, tiny_model, two_tone

KINDS: dict[str, dict[str, Any]] = {
    "grid": {},
    "superpixel": {"partition": "superpixel", "region_size": 8},
    "shrunk": {"downsample": 2, "output_stride": 4},
}


def strokes(truth: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two short strokes in each class."""
    labels = np.zeros_like(truth)
    for label in (1, 2):
        rows, columns = np.nonzero(truth == label)
        for at in (len(rows) // 3, 2 * len(rows) // 3):
            box = slice(rows[at] - 3, rows[at] + 4), slice(columns[at] - 8, columns[at] + 9)
            inside = truth[box] == label
            labels[box][inside] = label
    return labels


IMAGE, TRUTH = two_tone(seed=3)
STROKES = strokes(TRUTH)


def fitted_to(
    images: list[EncodedImage], labels: list[Any], model: PrototypeSegmenter, **options: Any
) -> QuickFit:
    return run(quick_fit_steps(images, labels, model, **options))


def blank(**changes: object) -> PrototypeSegmenter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PrototypeSegmenter(tiny_config(neck="none", local_features=True, **changes)).eval()


def weights(model: PrototypeSegmenter) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def start() -> tuple[PrototypeSegmenter, EncodedImage]:
    model = blank()
    return model, encode_pyramid(IMAGE, model)


@pytest.fixture(scope="module")
def fitted(start: tuple[PrototypeSegmenter, EncodedImage]) -> QuickFit:
    model, image = start
    return fitted_to([image], [STROKES], model, scratch=True)


def accuracy(fit: QuickFit, truth: npt.NDArray[np.uint8], index: int = 0) -> float:
    """Over both classes evenly, of pixels that are not next to the other class."""
    labels = fit.model.decode(fit.encodings[index]).labels
    inside = minimum_filter(truth, 5) == maximum_filter(truth, 5)
    return float(np.mean([(labels == truth)[inside & (truth == c)].mean() for c in (1, 2)]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoded_image_gives_the_cells_of_a_whole_encoding(kind: str) -> None:
    model = tiny_model(**KINDS[kind])
    image = two_tone(90, 125, seed=1)[0]
    ours = latents_of_image(model, encode_pyramid(image, model))
    theirs = segment(image, model).encoding
    assert torch.allclose(ours.latents, theirs.latents, atol=1e-4)
    assert np.array_equal(model.decode(ours).labels, model.decode(theirs).labels)


def test_tiles_make_the_same_pyramid() -> None:
    model = tiny_model()
    model.receptive_radius = 512
    image = two_tone(120, 150, seed=1)[0]
    whole = encode_pyramid(image, model)
    steps: list[Tile] = []
    tiled = run(encode_pyramid_steps(image, model, tile=96), steps.append)
    assert [step.index for step in steps] == [1, 2, 3, 4]
    for a, b in zip(whole.pyramid, tiled.pyramid, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_pyramid_that_does_not_fit_into_memory_is_made_of_smaller_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model()
    model.receptive_radius = 32
    image = two_tone(256, 320)[0]
    expected = encode_pyramid(image, model, tile=64)
    pyramid = model.extractor.pyramid
    sizes: list[int] = []

    def limited(pixels: torch.Tensor) -> Any:
        sizes.append(max(pixels.shape[-2:]))
        if sizes[-1] > 128:
            raise torch.OutOfMemoryError("x")
        return pyramid(pixels)

    monkeypatch.setattr(model.extractor, "pyramid", limited)
    halved = encode_pyramid(image, model)
    assert max(sizes) > 128 >= sizes[-1]
    for a, b in zip(expected.pyramid, halved.pyramid, strict=True):
        assert torch.equal(a, b)


def test_features_of_cells_are_what_the_neck_sees(
    start: tuple[PrototypeSegmenter, EncodedImage],
) -> None:
    model, image = start
    cells = torch.tensor([0, 5, 100, 700])
    latents = latents_of_image(model, image).latents
    for most in (1 << 25, 2000):  # many and few channels at a time
        with torch.no_grad():
            points = model.extractor.neck.points(image.features(cells, 4, most=most))
        assert torch.allclose(points, latents[cells], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_strokes_make_a_model(kind: str) -> None:
    model = blank(**KINDS[kind])
    before = weights(model)
    image = encode_pyramid(IMAGE, model)
    fit = fitted_to([image], [STROKES], model, scratch=True)
    assert fit.accuracy > 0.9
    assert accuracy(fit, TRUTH) > 0.8
    assert same(weights(model), before)
    assert fit.model.extractor.backbone is model.extractor.backbone
    assert fit.encodings[0].partition.shape == TRUTH.shape


def test_the_encodings_are_those_of_the_fitted_model(fitted: QuickFit) -> None:
    again = segment(IMAGE, fitted.model).encoding
    assert torch.allclose(fitted.encodings[0].latents, again.latents, atol=1e-4)


def test_steps_come_in_order(start: tuple[PrototypeSegmenter, EncodedImage]) -> None:
    model, image = start
    steps: list[TrainingStep] = []
    run(
        quick_fit_steps([image], [STROKES], model, scratch=True),
        steps.append,
    )
    assert [step.stage for step in steps] == ["decode", "layer"]


def test_a_fit_is_deterministic(start: tuple[PrototypeSegmenter, EncodedImage]) -> None:
    model, image = start

    def fit(seed: int) -> dict[str, torch.Tensor]:
        few = QuickSettings(cells_per_class=20)
        fit = fitted_to([image], [STROKES], model, scratch=True, settings=few, seed=seed)
        return weights(fit.model)

    torch.manual_seed(1)
    first = fit(1)
    torch.manual_seed(2)
    assert same(first, fit(1))
    assert not same(first, fit(2))


def autumn() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Leaves that the model has never seen, and takes for soil."""
    other, truth = two_tone(seed=11)
    other[truth == 2] = (other[truth == 2] + np.array([100, -70, 10])).clip(0, 255)
    return other, truth


@pytest.fixture(scope="module")
def corrected(start: tuple[PrototypeSegmenter, EncodedImage], fitted: QuickFit) -> QuickFit:
    other, truth = autumn()
    images = [start[1], encode_pyramid(other, fitted.model)]
    # The same network and the same images: the statistics are those that it was fitted with.
    return fitted_to(images, [STROKES, strokes(truth)], fitted.model)


def test_going_on_learns_a_correction_and_keeps_the_rest(
    fitted: QuickFit, corrected: QuickFit
) -> None:
    other, truth = autumn()
    was = float((segment(other, fitted.model).labels == truth)[truth == 2].mean())
    now = (corrected.model.decode(corrected.encodings[1]).labels == truth)[truth == 2].mean()
    assert was < 0.5
    assert now > 0.9
    assert accuracy(corrected, TRUTH) > 0.9
    # What the others do not explain has a prototype of its own.
    assert [p.name for p in corrected.model.prototypes] == ["soil 1", "plant 1", "plant 2"]
    assert [entry["what"] for entry in corrected.model.card.history] == ["quick fit"] * 2
    assert fitted.model.card.strokes == 4
    assert len(fitted.model.card.history) == 1


def test_a_model_that_is_right_stays_as_it_is(
    start: tuple[PrototypeSegmenter, EncodedImage], fitted: QuickFit
) -> None:
    again = fitted_to([start[1]], [STROKES], fitted.model).model
    assert torch.equal(again.layer.mean, fitted.model.layer.mean)
    name = f"{start[0].card.name}, fitted"
    assert again.card.name == fitted.model.card.name == name  # not fitted twice
    alone = np.where(STROKES == 2, 2, 0)
    one = fitted_to([start[1]], [alone], fitted.model)
    assert len(one.model.prototypes) == 2 and accuracy(one, TRUTH) > 0.9


def test_a_class_without_strokes_is_never_predicted() -> None:
    model = blank(classes=["soil", "plant", "stone"])
    image = encode_pyramid(IMAGE, model)
    fit = fitted_to([image], [STROKES], model, scratch=True)
    layer = fit.model.layer
    assert torch.equal(layer.active, layer.class_index < 2)
    assert set(np.unique(fit.model.decode(fit.encodings[0]).labels)) == {1, 2}
    labels = STROKES.copy()
    labels[:6, :20] = 3
    more = fitted_to([image], [labels], model, scratch=True)
    assert more.model.layer.active.all()


def with_stone(model: PrototypeSegmenter) -> PrototypeSegmenter:
    """The model with a new class, between the two that it knows."""
    return adapt(model, ModelConfig(classes=["soil", "stone", "plant"]).classes)


def stone_strokes() -> npt.NDArray[np.uint8]:
    """Strokes of soil and plant under the new table, and of blue stones."""
    labels = np.where(STROKES == 2, 3, STROKES).astype(np.uint8)
    labels[40:52, 100:124] = 2
    return labels


def stony_image() -> npt.NDArray[np.uint8]:
    image = IMAGE.copy()
    image[36:56, 96:128] = [60, 70, 190]
    return image


def test_a_new_class_is_learned_and_the_old_prototypes_stay(fitted: QuickFit) -> None:
    model = with_stone(fitted.model)
    image = encode_pyramid(stony_image(), model)
    placed = fitted_to([image], [stone_strokes()], model).model
    own = placed.layer.class_index == 1
    assert placed.layer.active.all()
    for name in ("mean", "raw_scale", "raw_weight"):
        before, after = getattr(model.layer, name), getattr(placed.layer, name)
        assert torch.equal(before[~own], after[~own])
        assert not torch.equal(before[own], after[own])
    assert not model.layer.active[own].any()
    fit = fitted_to([image], [stone_strokes()], model)
    labels = fit.model.decode(fit.encodings[0]).labels
    assert (labels[40:52, 100:124] == 2).mean() > 0.8
    assert [p.name for p in fit.model.prototypes] == [p.name for p in model.prototypes]
    assert any(len(p.distance_quantiles) for p in fit.model.prototypes if p.class_index == 1)


def test_a_new_class_without_strokes_stays_unfitted(fitted: QuickFit) -> None:
    model = with_stone(fitted.model)
    labels = np.where(STROKES == 2, 3, STROKES).astype(np.uint8)
    fit = fitted_to([encode_pyramid(IMAGE, model)], [labels], model)
    assert unfitted(fit.model) == unfitted(model) != []
    assert 2 not in fit.model.decode(fit.encodings[0]).labels


def test_a_fit_never_switches_a_rejected_prototype_on(corrected: QuickFit) -> None:
    image = encode_pyramid(IMAGE, corrected.model)
    one_off = turn_off(corrected.model, 2)
    # Nothing is known about its cells: it looks like a new one, but for where it is.
    one_off.prototypes[2] = Prototype("plant 2", 1)
    again = fitted_to([image], [STROKES], one_off).model
    assert again.layer.active.tolist()[:3] == [True, True, False]
    assert torch.equal(again.layer.mean[2], corrected.model.layer.mean[2])
    both_off = turn_off(one_off, 1)
    with pytest.raises(LabelError, match="“plant” is labelled, but all its prototypes"):
        fitted_to([image], [STROKES], both_off)
    fresh = fitted_to([image], [STROKES], both_off, scratch=True)
    assert fresh.model.layer.active.all()


def test_novelty_is_not_measured_without_the_cells_of_a_known_class(fitted: QuickFit) -> None:
    three = blank(classes=["soil", "plant", "stone"])
    image = encode_pyramid(stony_image(), three)
    labels = STROKES.copy()
    labels[40:52, 100:124] = 3
    model = fitted_to([image], [labels], three, scratch=True).model
    again = fitted_to([image], [STROKES], model).model
    assert np.array_equal(again.density_quantiles, model.density_quantiles)
    stones = [m for m, p in enumerate(model.prototypes) if p.class_index == 2]
    for m in stones:
        assert np.array_equal(
            again.prototypes[m].distance_quantiles, model.prototypes[m].distance_quantiles
        )
        assert again.prototypes[m].usage == model.prototypes[m].usage


def test_typicality_and_novelty_know_the_labelled_cells(fitted: QuickFit) -> None:
    assert (np.diff(fitted.model.density_quantiles) >= 0).all()
    assert len(fitted.model.density_quantiles)
    shares = [0.0, 0.0]
    for prototype in fitted.model.prototypes:
        shares[prototype.class_index] += prototype.usage
    assert shares == pytest.approx([1, 1], abs=1e-4)


def test_what_cannot_be_fitted_is_one_sentence(
    start: tuple[PrototypeSegmenter, EncodedImage],
) -> None:
    model, image = start
    only = np.where(STROKES == 2, 2, 0)
    table = [SegmentationClass(name=name, color="#000000") for name in ("soil", "weed")]
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("Nothing is labelled yet", np.zeros_like(STROKES), {}),
        ("Only “plant” is labelled", only, {}),
        ("value 3", STROKES + (STROKES > 0), {}),
        ("value -1", STROKES.astype(int) - 1, {}),
        ("same height and width", STROKES[1:], {}),
        ("whole numbers", STROKES.astype(float), {}),
        ("of the classes “soil”, “weed”", STROKES, {"classes": table}),
    ]
    for message, labels, options in cases:
        with pytest.raises(LabelError, match=message) as caught:
            fitted_to([image], [labels], model, scratch=True, **options)
        assert str(caught.value).count(". ") == 0
    with pytest.raises(LabelError, match="encode it again"):
        fitted_to([image], [STROKES], tiny_model())
    with pytest.raises(LabelError, match="one label image for every image"):
        fitted_to([image], [], model)
