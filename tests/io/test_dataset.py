"""Training configurations and the images they name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, ImageError, LabelError
from napari_gaussproto.io.dataset import DataSettings, load_split, read_train_file
from tests.io.test_images import AS_STORED

CONFIGS = Path(__file__).parents[2] / "configs"
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (12, 15, 3), np.uint8)
MASK = RNG.integers(0, 4, (12, 15), np.uint8)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "train.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two splits."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(PHOTO).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(MASK).save(tmp_path / "masks" / f"{name}.png")
    index(tmp_path, "image,mask,split\na.png,a.png,train\nb.png,b.png,val\nc.png,c.png,train\n")
    return tmp_path


def index(folder: Path, text: str, encoding: str = "utf-8") -> None:
    (folder / "index.csv").write_text(text, encoding=encoding)


# -- configurations -------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_configurations_of_the_project_are_valid(path: Path) -> None:
    file = read_train_file(path)
    assert file.model.partition in path.stem
    assert file.card.name and file.card.licence and file.card.not_for


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    file = read_train_file(written(tmp_path, '[model]\nclasses = ["soil", "weed"]\n'))
    assert [entry.name for entry in file.model.classes] == ["soil", "weed"]
    assert file.data == DataSettings()
    assert file.training.steps == 300


def test_what_is_said_is_used(tmp_path: Path) -> None:
    text = """
        [data]
        mask_offset = 1
        ignore = [254]
        [model]
        classes = [{name = "soil", color = "#112233"}, {name = "weed", color = "#445566"}]
        latent_dim = 7
        [training]
        steps = 11
        [training.loss]
        density = 0.25
        [card]
        name = "Käfer"
    """
    file = read_train_file(written(tmp_path, text))
    assert file.data.mask_offset == 1 and file.data.ignore == [254]
    assert file.model.classes[1].color == "#445566" and file.model.latent_dim == 7
    assert file.training.steps == 11 and file.training.loss.density == 0.25
    assert file.card.name == "Käfer"


GOOD = '[model]\nclasses = ["soil", "weed"]\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[model\n", "“train.toml” is not valid TOML: "),
        ('[model]\nclasses = ["Käfer"]'.encode("latin-1"), "“train.toml” is no text in UTF-8: "),
        ("", "“train.toml” does not set model: add it."),
        ("[model]\n", "“train.toml” does not set model.classes: add it."),
        ('[model]\nclasses = ["soil"]\n', "“train.toml” sets model.classes to "),
        ('[model]\nclasses = ["soil", "soil"]\n', "class names must differ from each other"),
        (GOOD + "latent_dimension = 8\n", "sets model.latent_dimension, which is not known: "),
        (GOOD + "latent_dim = 1\n", "sets model.latent_dim to "),
        (GOOD + 'covariance = "round"\n', "sets model.covariance to "),
        (GOOD + "[training]\ncrop_size = 8\n", "sets training.crop_size to "),
        (GOOD + "[training.loss]\ndensity = -1\n", "sets training.loss.density to "),
        (GOOD + "[data]\nmask = 1\n", "sets data.mask, which is not known: check its spelling"),
        (GOOD + '[data]\nignore = ["a"]\n', "sets data.ignore.0 to "),
        (GOOD + '[card]\nlicense = "CC0"\n', "sets card.license, which is not known: "),
        (GOOD + "[training.augmentation]\nzoom = [0, 1]\n", "sets training.augmentation.zoom to "),
        (GOOD + "[extra]\n", "sets extra, which is not known: "),
    ],
)
def test_a_wrong_configuration_is_a_sentence(
    tmp_path: Path, text: str | bytes, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_train_file(written(tmp_path, text))
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_missing_configuration_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="could not be read: check the name and the folder"):
            read_train_file(path)


# -- images and masks -----------------------------------------------------------------------


def test_a_split_is_its_images_in_the_order_of_the_index(data: Path) -> None:
    Image.fromarray(255 - PHOTO).save(data / "images" / "c.png")
    images, masks = load_split(DataSettings(), data, "train")
    assert [np.array_equal(image, PHOTO) for image in images] == [True, False]
    assert np.array_equal(images[1], 255 - PHOTO)
    assert all(np.array_equal(mask, MASK) and mask.dtype == np.uint8 for mask in masks)
    assert len(load_split(DataSettings(), str(data), "val")[0]) == 1


def test_folders_and_index_can_be_elsewhere(data: Path) -> None:
    (data / "images").rename(data / "photos")
    (data / "masks").rename(data / "labels")
    (data / "index.csv").rename(data / "labels" / "table.csv")
    settings = DataSettings(images="photos", masks="labels", index="labels/table.csv")
    assert len(load_split(settings, data, "train")[0]) == 2


def test_the_offset_moves_values_and_ignored_ones_become_unlabelled(data: Path) -> None:
    settings = DataSettings(mask_offset=1, ignore=[2])
    _, masks = load_split(settings, data, "val")
    expected = np.where(MASK == 2, 0, MASK + 1)  # the values to ignore are those stored
    assert np.array_equal(masks[0], expected) and masks[0].dtype == np.uint8


def test_large_values_can_be_ignored(data: Path) -> None:
    Image.fromarray(np.where(MASK == 3, 255, MASK).astype(np.uint8)).save(data / "masks/b.png")
    _, masks = load_split(DataSettings(ignore=[255]), data, "val")
    assert np.array_equal(masks[0], np.where(MASK == 3, 0, MASK))


@pytest.mark.parametrize(
    ("offset", "values"), [(-1, "from 0 to 3"), (252, "from 0 to 3")], ids=["below", "above"]
)
def test_values_that_are_no_label_are_a_sentence(data: Path, offset: int, values: str) -> None:
    with pytest.raises(LabelError, match=rf"“b\.png” has values {values}: set mask_offset"):
        load_split(DataSettings(mask_offset=offset), data, "val")


# -- masks that others made -----------------------------------------------------------------

CLASSES = [
    SegmentationClass(name=name, color=color)
    for name, color in (("a", "#000000"), ("b", "#00ff00"), ("c", "#ff0000"), ("d", "#0000ff"))
]
COLORS = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


def one(data: Path, settings: DataSettings) -> np.ndarray:
    """Labels of the only photograph of the split "val"."""
    [labels] = load_split(settings, data, "val", CLASSES)[1]
    return labels


def test_masks_of_colours_are_read_by_the_colours_of_the_classes(data: Path) -> None:
    Image.fromarray(COLORS[MASK]).save(data / "masks" / "b.png")
    assert np.array_equal(one(data, DataSettings()), MASK + 1)
    swapped = DataSettings(colors={"b": "#ff0000", "c": "#00ff00"})
    assert np.array_equal(one(data, swapped), np.array([1, 3, 2, 4])[MASK])
    Image.fromarray(COLORS[MASK] + np.uint8([0, 0, 1])).save(data / "masks" / "b.png")
    with pytest.raises(LabelError, match=r"“b\.png” has the colour #\w{6} at row \d+, column \d+"):
        one(data, DataSettings())


def test_black_alone_is_a_colour_where_colours_are_given(data: Path) -> None:
    Image.fromarray(np.zeros((12, 15, 3), np.uint8)).save(data / "masks" / "b.png")
    assert (one(data, DataSettings(colors={"a": "#000000"})) == 1).all()
    assert not one(data, DataSettings()).any()  # else it is the number 0


def test_a_grey_may_be_the_colour_of_a_class(data: Path) -> None:
    """As soil's in the shipped models; on a photograph of nothing else the mask has no colour."""
    Image.fromarray(np.full((12, 15, 3), 0x99, np.uint8)).save(data / "masks" / "b.png")
    grey = [SegmentationClass(name="soil", color="#999999"), *CLASSES]
    [labels] = load_split(DataSettings(), data, "val", grey)[1]
    assert (labels == 1).all()
    Image.fromarray(np.repeat(MASK[..., None], 3, -1)).save(data / "masks" / "b.png")
    [labels] = load_split(DataSettings(mask_offset=1), data, "val", grey)[1]
    assert np.array_equal(labels, MASK + 1)


def test_a_palette_is_numbers(data: Path) -> None:
    image = Image.fromarray(MASK)
    image.putpalette(COLORS[::-1].ravel().tolist())
    image.save(data / "masks" / "b.png")
    assert np.array_equal(one(data, DataSettings(mask_offset=1)), MASK + 1)
    by_color = DataSettings(colors={c.name: c.color for c in CLASSES})
    assert np.array_equal(one(data, by_color), 4 - MASK)


def test_a_value_of_nobody_looked_is_offered(data: Path) -> None:
    Image.fromarray(np.where(MASK == 3, 255, MASK).astype(np.uint8)).save(data / "masks/b.png")
    with pytest.raises(LabelError, match=r"has the value 255 at row .* ignore = \[255\]"):
        one(data, DataSettings(mask_offset=1))
    expected = np.where(MASK == 3, 0, MASK + 1)
    assert np.array_equal(one(data, DataSettings(mask_offset=1, ignore=[255])), expected)


@pytest.mark.parametrize(
    "name", ["b.png", "b.tif", "b_mask.png", "b-labels.png", "mask_b.png", "B.mask.png"]
)
def test_a_mask_is_found_by_the_name_of_its_photograph(data: Path, name: str) -> None:
    (data / "masks" / "b.png").unlink()
    image = Image.fromarray(MASK)
    image.save(data / "masks" / name)
    Image.fromarray(MASK * 0).save(data / "masks" / "ab_mask.png")
    Image.fromarray(MASK * 0).save(data / "masks" / "b2_mask.png")
    Image.fromarray(MASK * 0).save(data / "masks" / "b_other.png")
    index(data, "image,split\nb.png,val\n")
    assert np.array_equal(one(data, DataSettings(mask_offset=1)), MASK + 1)
    index(data, "image,mask,split\nb.png,,val\n")
    assert np.array_equal(one(data, DataSettings(mask_offset=1)), MASK + 1)


def test_a_mask_that_is_not_found_is_a_sentence(data: Path) -> None:
    index(data, "image,split\nb.png,val\n")
    Image.fromarray(MASK).save(data / "masks" / "b_mask.png")
    with pytest.raises(
        ImageError, match=r"“b\.png” may have several masks \(b\.png, b_mask\.png\)"
    ):
        one(data, DataSettings())
    for name in ("b.png", "b_mask.png"):
        (data / "masks" / name).unlink()
    with pytest.raises(
        ImageError, match=r"holds no mask of “b\.png”: call it b\.png or b_mask\.png"
    ):
        one(data, DataSettings())


def test_photographs_and_masks_may_share_a_folder(data: Path) -> None:
    Image.fromarray(MASK).save(data / "images" / "b_mask.png")
    index(data, "image,split\nb.png,val\n")
    assert np.array_equal(one(data, DataSettings(masks="images", mask_offset=1)), MASK + 1)


def test_outlines_are_masks_too(data: Path) -> None:
    outline = {"label": "B", "points": [[0, 0], [5, 0], [5, 12], [0, 12]]}
    content = {"shapes": [outline], "imageHeight": 12, "imageWidth": 15}
    (data / "masks" / "b.json").write_text(json.dumps(content))
    (data / "masks" / "b.png").unlink()
    index(data, "image,split\nb.png,val\n")
    expected = np.zeros((12, 15))
    expected[:, :5] = 2
    assert np.array_equal(one(data, DataSettings()), expected)
    assert np.array_equal(one(data, DataSettings(background="a")), np.maximum(expected, 1))
    coco = {
        "images": [{"id": 1, "file_name": "b.png", "height": 12, "width": 15}],
        "categories": [{"id": 1, "name": "b"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 5, 0, 5, 12, 0, 12]]}
        ],
    }
    (data / "all.json").write_text(json.dumps(coco))
    assert np.array_equal(one(data, DataSettings(masks="all.json")), expected)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_mask_lies_as_its_photograph_does(data: Path, orientation: int) -> None:
    """The photograph is read upright; its mask was made so, or for the pixels as they lie."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = np.ascontiguousarray(AS_STORED[orientation](PHOTO))
    Image.fromarray(lying).save(data / "images" / "b.png", exif=exif)
    settings = DataSettings(mask_offset=1)
    assert np.array_equal(one(data, settings), MASK + 1)
    if orientation > 4:
        turned = np.ascontiguousarray(AS_STORED[orientation](MASK))
        Image.fromarray(turned).save(data / "masks" / "b.png")
        assert np.array_equal(one(data, settings), MASK + 1)


def test_a_mask_of_another_size_is_a_sentence(data: Path) -> None:
    Image.fromarray(MASK[:9]).save(data / "masks" / "b.png")
    with pytest.raises(
        LabelError, match=r"“b\.png” is 9 × 15 pixels and “b\.png” is 12 × 15: give"
    ):
        one(data, DataSettings(mask_offset=1))


def test_a_missing_index_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no “index\.csv”: give the folder that does"):
        load_split(DataSettings(), tmp_path, "train")
    with pytest.raises(ConfigError, match=r"There is no folder “.*nowhere”: check the name that"):
        load_split(DataSettings(), tmp_path / "nowhere", "train")


def test_an_unknown_split_is_a_sentence(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"“index\.csv” lists no image of the split “test”"):
        load_split(DataSettings(), data, "test")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "image and no column split"),
        ("photo,mask,split\na.png,a.png,train\n", "image"),
        ("image;mask;split\na.png;a.png;train\n", "image and no column split"),
    ],
)
def test_an_index_without_its_columns_is_a_sentence(data: Path, text: str, missing: str) -> None:
    index(data, text)
    with pytest.raises(ConfigError, match=rf"“index\.csv” has no column {missing}.*by commas\."):
        load_split(DataSettings(), data, "train")


def test_an_index_that_a_spreadsheet_saved_is_read(data: Path) -> None:
    index(data, "image,mask,split\r\na.png,a.png,train\r\n", encoding="utf-8-sig")
    assert len(load_split(DataSettings(), data, "train")[0]) == 1


def test_an_index_that_is_no_text_is_a_sentence(data: Path) -> None:
    index(data, "image,mask,split\nKäfer.png,a.png,train\n", encoding="latin-1")
    with pytest.raises(ConfigError, match=r"“index\.csv” is no table: save it as CSV in UTF-8"):
        load_split(DataSettings(), data, "train")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("none.png,a.png,train", "There is no file “.*none.png”"),
        ("a.png,none.png,train", "There is no file “.*none.png”"),
        (",a.png,train", "“images” is a folder"),
        ("d.png,,train", "There is no file “.*d.png”"),
    ],
)
def test_an_index_that_names_no_file_is_a_sentence(data: Path, row: str, sentence: str) -> None:
    index(data, f"image,mask,split\n{row}\n")
    with pytest.raises(ImageError, match=sentence):
        load_split(DataSettings(), data, "train")


def test_a_mask_in_colours_without_classes_is_a_sentence(data: Path) -> None:
    Image.fromarray(PHOTO).save(data / "masks" / "b.png")
    with pytest.raises(LabelError, match=r"“b\.png” is made of colours, and there are no classes"):
        load_split(DataSettings(), data, "val")
