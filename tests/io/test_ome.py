"""What is written as OME-TIFF is read again, by us and by others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.images import read_mask
from napari_gaussproto.io.ome import read_labels, write_labels, write_maps

CLASSES = [
    SegmentationClass(name="soil", color="#112233"),
    SegmentationClass(name="weed", color="#aabbcc"),
]
LABELS = np.random.default_rng(0).integers(1, 3, (37, 53), np.uint8)

texts = st.text(min_size=1, max_size=12)
colors = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")
classes = st.lists(st.builds(SegmentationClass, name=texts, color=colors), min_size=1, max_size=12)
planes = npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@settings(max_examples=30)
@given(planes, classes, texts)
def test_labels_and_classes_come_back(
    labels: np.ndarray, entries: list[SegmentationClass], model: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_labels(Path(folder) / "Köhl & <x>.ome.tif", labels, entries, {"model": model})
        read, found = read_labels(path)
    assert read.dtype == np.uint8 and np.array_equal(read, labels)
    assert found == entries


def test_classes_keep_their_order_beyond_nine(tmp_path: Path) -> None:
    many = [SegmentationClass(name=f"class {n}", color="#000000") for n in range(23)]
    assert read_labels(write_labels(tmp_path / "a.ome.tif", LABELS, many))[1] == many


def test_labels_are_a_plain_ome_tiff_for_other_programs(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.ome.tif", LABELS, CLASSES, {"model": "peanut <7>"})
    with tifffile.TiffFile(path) as file:
        assert file.is_ome and file.series[0].axes == "YX"
        assert np.array_equal(file.asarray(), LABELS)
        assert "peanut &lt;7&gt;" in file.ome_metadata


class OnDisk:
    """Labels that can be read in parts alone."""

    def __init__(self, values: np.ndarray, most: int) -> None:
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.nbytes, self._values, self._most = values.nbytes, values, most

    def __getitem__(self, part: tuple[slice, ...] | slice) -> np.ndarray:
        found = self._values[part]
        assert found.size <= self._most
        return found


@pytest.mark.parametrize("shape", [(37, 53), (1024, 1025), (2500, 1100)])
def test_labels_on_disk_are_written_in_parts(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 3, shape, np.uint8)
    place = Georeference({33550: (12, (0.5, 0.5, 0.0)), 33922: (12, (0.0,) * 6)})
    stored = OnDisk(values, most=1024 * shape[1])
    path = write_labels(tmp_path / "a.ome.tif", stored, CLASSES, georeference=place)
    found, classes = read_labels(path)
    assert np.array_equal(found, values) and classes == CLASSES
    assert np.array_equal(read_mask(path), values)
    assert georeference_of(path) == place
    # Equal results are equal files.
    again = write_labels(tmp_path / "b" / "a.ome.tif", stored, CLASSES, georeference=place)
    assert again.read_bytes() == path.read_bytes()


def test_labels_are_compressed(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.ome.tif", np.ones((500, 500), np.uint8), CLASSES)
    assert path.stat().st_size < 10_000


def test_labels_of_another_program_are_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "foreign.tif"
    for options in (
        {},
        {"ome": True},
        {"ome": True, "metadata": {"MapAnnotation": {"Namespace": "theirs", "1": "soil"}}},
        {"description": "<OME><StructuredAnnotations/></OME>", "metadata": None},
    ):
        tifffile.imwrite(path, LABELS, **options)
        with pytest.raises(ImageError, match=r"“foreign\.tif” does not say what its labels mean: "):
            read_labels(path)


def test_damage_is_a_sentence_wherever_it_is(tmp_path: Path) -> None:
    raw = write_labels(tmp_path / "a.ome.tif", LABELS, CLASSES).read_bytes()
    path = tmp_path / "damaged.tif"
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(raw)
        for place in rng.integers(8, len(raw), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_labels(path)
        except ImageError as error:
            assert str(error).startswith("“damaged.tif” ") and ":" in str(error)
            refused += 1
    assert refused > 30
    for length in range(0, len(raw), 97):  # a copy that was cut short
        path.write_bytes(raw[:length])
        with pytest.raises(ImageError, match=r"^“damaged\.tif” "):
            read_labels(path)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"There is no file “.*none\.tif”: check the name"):
        read_labels(tmp_path / "none.tif")


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_maps_are_channels_with_names_and_pixel_size(tmp_path: Path, count: int) -> None:
    maps = np.random.default_rng(1).random((count, 11, 13), np.float32)
    names = [f"soil-{n} & <ä>" for n in range(count)]
    path = write_maps(tmp_path / "maps.ome.tif", maps.astype(np.float64), names, pixel_size=8)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome and file.series[0].axes == ("CYX" if count > 1 else "YX")
        stored = file.series[0].asarray()
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert stored.dtype == np.float32 and np.array_equal(stored.reshape(maps.shape), maps)
    channels = pixels["Channel"] if count > 1 else [pixels["Channel"]]
    assert [channel["Name"] for channel in channels] == names
    assert pixels["SizeC"] == count
    for axis in "XY":
        assert pixels[f"PhysicalSize{axis}"] == 8
        assert pixels[f"PhysicalSize{axis}Unit"] == "pixel"
