"""Objects and areas, against values that are known from how the picture was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.areas import area_table
from napari_gaussproto.core.measure.objects import object_table
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.predict import segment
from tests.core.builders import tiny_model, two_tone

CLASSES = [
    SegmentationClass(name="soil", color="#999999"),
    SegmentationClass(name="plant", color="#009e73"),
]


@pytest.fixture
def labels() -> np.ndarray:
    """Soil without data at the right, a disc, a bar, and a pixel beside a corner of the bar."""
    labels = np.ones((80, 120), np.uint8)
    labels[disk((30, 30), 15.5)] = 2
    labels[60:64, 10:50] = 2
    labels[64, 50] = 2
    labels[:, 100:] = 0
    return labels


def test_pieces_are_of_one_class_and_large_enough(labels: np.ndarray) -> None:
    assert components(labels).max() == 3
    plants = np.where(labels == 2, labels, 0)
    assert components(plants, 161).max() == 2
    [number] = np.unique(
        components(plants, 162)[plants > 0][components(plants, 162)[plants > 0] > 0]
    )
    assert number == 1
    assert not components(labels, 100_000).any()


def test_large_numbers_of_instances_are_numbered_anew() -> None:
    given = np.array([[0, 2**31, 2**31], [7, 7, 0], [-1, -1, 9]], np.int64)
    expected = [[0, 2, 2], [1, 1, 0], [0, 0, 0]]
    assert large_enough(given, 2).tolist() == expected


def test_sizes_shapes_and_places_are_those_that_were_drawn(labels: np.ndarray) -> None:
    pieces = components(np.where(labels == 2, labels, 0))
    table = object_table(pieces, labels, CLASSES, pixel_size=PixelSize(0.5, "mm"))
    round_one, bar = table.to_dict("records")
    assert round_one["class"] == bar["class"] == "plant"
    assert round_one["area_px"] == (labels[:50] == 2).sum() and bar["area_px"] == 161
    assert round_one["perimeter_px"] == pytest.approx(2 * np.pi * 15.5, rel=0.05)
    assert round_one["eccentricity"] < 0.1 and bar["eccentricity"] > 0.99
    assert (round_one["y_px"], round_one["x_px"]) == (30, 30)
    assert round_one["area_mm2"] == 0.25 * round_one["area_px"]
    assert bar["perimeter_mm"] == 0.5 * bar["perimeter_px"] and round_one["x_mm"] == 15


def test_an_instance_has_the_class_of_most_of_its_pixels(labels: np.ndarray) -> None:
    given = np.zeros(labels.shape, np.int64)
    given[10:50, 10:50], given[70:, 60:80], given[:10, 105:] = 4, 9, 12
    table = object_table(given, labels, CLASSES)
    assert table["object"].tolist() == [4, 9, 12]
    assert table["class"].tolist() == ["soil", "soil", ""]
    given[10:50, 10:50] = 0
    given[25:35, 25:35] = 4
    assert object_table(given, labels, CLASSES)["class"].tolist() == ["plant", "soil", ""]


def test_what_the_model_says_is_the_mean_over_the_pixels() -> None:
    model = tiny_model()
    found = segment(two_tone(64, 96)[0], model)
    pieces = components(found.labels, 20)
    table = object_table(pieces, found.labels, found.classes, found)
    k = found.map_pixel_size

    def pixels(values: np.ndarray) -> np.ndarray:
        return values.repeat(k, 0).repeat(k, 1)[: pieces.shape[0], : pieces.shape[1]]

    names = [prototype.name for prototype in found.prototypes]
    shares = np.stack([pixels(found.responsibility(n, cells=True)) for n in names])
    probability = found.class_probabilities(cells=True)
    for row in table.to_dict("records"):
        inside = pieces == row["object"]
        c = [entry.name for entry in found.classes].index(row["class"])
        assert row["prototype"] == names[shares[:, inside].mean(1).argmax()]
        assert row["confidence"] == pytest.approx(pixels(probability[c])[inside].mean(), abs=1e-5)
        novelty = pixels(found.novelty(cells=True))[inside].mean()
        typical = pixels(found.likelihood(row["prototype"], cells=True))[inside].mean()
        assert row["novelty"] == pytest.approx(novelty, abs=1e-5)
        assert row["likelihood"] == pytest.approx(typical, abs=1e-5)


def test_an_image_without_objects_has_an_empty_table(labels: np.ndarray) -> None:
    found = segment(two_tone(80, 120)[0], tiny_model())
    table = object_table(np.zeros(labels.shape, np.int64), labels, CLASSES, found)
    assert len(table) == 0 and "confidence" in table.columns
    with pytest.raises(LabelError, match="give objects of the same image"):
        object_table(np.zeros((3, 4), np.int64), labels, CLASSES)


def test_areas_are_over_the_pixels_with_data(labels: np.ndarray) -> None:
    left = np.zeros(labels.shape, np.bool_)
    left[:, :60] = True
    nothing = np.zeros(labels.shape, np.bool_)
    nothing[:, 110:] = True
    regions = {"left": RegionMask(left), "nothing": RegionMask(nothing)}
    table = area_table(labels, CLASSES, regions, PixelSize(2, "cm"))
    assert table["region"].tolist() == ["", "", "left", "left", "nothing", "nothing"]
    plants = int((labels == 2).sum())
    assert table["pixels"].tolist() == [8000 - plants, plants, 4800 - plants, plants, 0, 0]
    assert table["cover_percent"][1] == pytest.approx(100 * plants / 8000)
    assert table["cover_percent"][4:].isna().all()
    assert table["area_cm2"][1] == 4 * plants
    pieces = components(np.where(labels == 2, labels, 0))

    def regions_of(**regions: np.ndarray) -> list[str]:
        masks = {name: RegionMask(mask) for name, mask in regions.items()}
        table = object_table(pieces, labels, CLASSES, regions=masks)
        return table["region"].tolist()

    assert regions_of(right=~left, left=left) == ["left", "left"]
    assert regions_of(nothing=nothing) == ["", ""]
    assert regions_of() == ["", ""]


@pytest.mark.parametrize(
    ("text", "side", "unit"),
    [
        ("0.5mm", 0.5, "mm"),
        (" 2 cm ", 2, "cm"),
        ("3e1 µm", 30, "um"),
        ("0,5 mm", 0.5, "mm"),
        ("0,250mm", 0.25, "mm"),
        ("12,5 cm", 12.5, "cm"),
    ],
)
def test_a_size_of_a_pixel_is_a_number_and_a_unit(text: str, side: float, unit: str) -> None:
    assert PixelSize.parse(text) == PixelSize(side, unit)


@pytest.mark.parametrize(
    "text", ["", "mm", "0mm", "-1mm", "1", "1 mile", "1.2.3mm", "1,2,3mm", "1,2.3mm"]
)
def test_other_sizes_are_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size of a pixel: give a number and one of"):
        PixelSize.parse(text)


def test_a_comma_that_may_mean_two_things_is_asked_about() -> None:
    with pytest.raises(ConfigError, match=r"in two ways: write 1500 mm or 1\.500 mm\."):
        PixelSize.parse("1,500 mm")
