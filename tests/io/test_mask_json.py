"""Outlines of labelme and COCO are filled where they lie; damaged files are sentences."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.io.masks import read_coded_mask

# Corners of pixels: a rectangle of 4 x 3 pixels, and a triangle's half of a square.
BOX, TRIANGLE = [[2, 1], [6, 1], [6, 4], [2, 4]], [[10, 2], [18, 2], [10, 10]]


def filled(names: list[str]) -> np.ndarray:
    """The two outlines, as values by the places of their names."""
    values = np.zeros((12, 20), np.int32)
    values[1:4, 2:6] = names.index("crop") + 1
    y, x = np.mgrid[:12, :20] + 0.5
    values[(x >= 10) & (y >= 2) & (x - 10 + y - 2 <= 8)] = names.index("weed") + 1
    return values


def labelme(**changes: Any) -> dict[str, Any]:
    shapes = [
        {"label": "crop", "points": BOX, "shape_type": "polygon"},
        {"label": "weed", "points": TRIANGLE},
    ]
    return {"shapes": shapes, "imageHeight": 12, "imageWidth": 20, "imagePath": "x.jpg"} | changes


def coco(**changes: Any) -> dict[str, Any]:
    flat = [[float(n) for point in shape for n in point] for shape in (BOX, TRIANGLE)]
    return {
        "images": [
            {"id": 7, "file_name": "photos/x.jpg", "height": 12, "width": 20},
            {"id": 8, "file_name": "photos/y.jpg", "height": 3, "width": 4},
        ],
        "categories": [{"id": 30, "name": "weed"}, {"id": 4, "name": "crop"}],
        "annotations": [
            {"image_id": 7, "category_id": 4, "segmentation": [flat[0]]},
            {"image_id": 7, "category_id": 30, "segmentation": [flat[1]]},
        ],
    } | changes


def saved(folder: Path, content: Any) -> Path:
    path = folder / "m.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("content", [labelme(), coco()], ids=["labelme", "coco"])
def test_outlines_are_filled(tmp_path: Path, content: Any) -> None:
    mask = read_coded_mask(saved(tmp_path, content), "x.jpg")
    assert mask.names == {1: "crop", 2: "weed"} and mask.colors == {}
    assert np.array_equal(mask.values, filled(["crop", "weed"]))


def test_rectangles_and_circles_of_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "box", "points": [[6, 4], [2, 1]], "shape_type": "rectangle"},
        {"label": "disc", "points": [[13, 6], [13, 9]], "shape_type": "circle"},
    ]
    values = read_coded_mask(saved(tmp_path, labelme(shapes=shapes))).values
    assert np.argwhere(values == 1).tolist() == [[y, x] for y in (1, 2, 3) for x in (2, 3, 4, 5)]
    assert (values == 2).sum() == pytest.approx(np.pi * 9, rel=0.15) and values[6, 13] == 2


def test_masks_of_labelme(tmp_path: Path) -> None:
    inside = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)
    buffer = BytesIO()
    Image.fromarray(inside).save(buffer, format="PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    shape = {"label": "crop", "points": [[4, 7], [6, 8]], "shape_type": "mask", "mask": text}
    values = read_coded_mask(saved(tmp_path, labelme(shapes=[shape]))).values
    assert np.array_equal(values[7:9, 4:7], inside // 255) and values.sum() == 3
    with pytest.raises(ImageError, match="could not be read as outlines"):
        read_coded_mask(saved(tmp_path, labelme(shapes=[shape | {"mask": "AAAA"}])))


def test_run_lengths_of_coco(tmp_path: Path) -> None:
    inside = filled(["crop", "weed"]) == 1
    flat = inside.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    # The same packed as text, by COCO's own tool (pycocotools 2.0.11, mask.encode).
    for counts_given in (counts, "i03900000W5"):
        outline = {"size": [12, 20], "counts": counts_given}
        annotation = {"image_id": 7, "category_id": 4, "segmentation": outline}
        mask = read_coded_mask(saved(tmp_path, coco(annotations=[annotation])), "x.jpg")
        assert np.array_equal(mask.values, inside.astype(int))


def test_a_coco_file_knows_the_image_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path, coco())
    assert read_coded_mask(path, "y.jpg").values.shape == (3, 4)
    assert read_coded_mask(path, "x.png").values.shape == (12, 20)  # another format of the same
    with pytest.raises(ImageError, match=r"describes 2 images, and none .* called “z\.jpg”"):
        read_coded_mask(path, "z.jpg")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "could not be read as outlines"),
        ("[]", "holds no outlines of labelme or COCO"),
        ({"a": 1}, "holds no outlines of labelme or COCO"),
        (labelme(imageHeight=None), "does not say how large its image is"),
        (labelme(shapes=[{"points": BOX}]), "could not be read as outlines"),
        (labelme(shapes=[{"label": "a", "points": "b"}]), "could not be read as outlines"),
        (
            labelme(shapes=[{"label": "a", "points": [[1, 1]], "shape_type": "point"}]),
            "has a point called “a”, which has no area",
        ),
        (coco(images=3), "could not be read as outlines"),
        (coco(categories=[]), "could not be read as outlines"),
        (
            coco(annotations=[{"image_id": 7, "category_id": 4, "segmentation": []}]),
            "has a box without an outline (“crop”)",
        ),
        (
            coco(
                annotations=[
                    {
                        "image_id": 7,
                        "category_id": 4,
                        "segmentation": {"counts": [9], "size": [3, 3]},
                    }
                ]
            ),
            "run lengths do not fit the image",
        ),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_coded_mask(saved(tmp_path, content), "x.jpg")
    assert sentence in str(caught.value) and str(caught.value).endswith(".")


def test_a_mask_that_begins_beside_the_image_keeps_what_lies_in_it(tmp_path: Path) -> None:
    text = BytesIO()
    Image.fromarray(np.full((4, 5), 255, np.uint8)).save(text, "PNG")
    mask = base64.b64encode(text.getvalue()).decode()
    shape = {"label": "a", "points": [[-2, -1], [2, 2]], "shape_type": "mask", "mask": mask}
    content = {"imageHeight": 10, "imageWidth": 10, "shapes": [shape]}
    (tmp_path / "x.json").write_text(json.dumps(content))
    expected = np.zeros((10, 10), np.int32)
    expected[:3, :3] = 1
    assert np.array_equal(read_coded_mask(tmp_path / "x.json").values, expected)


def test_a_file_that_is_nested_too_deep_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ImageError, match="nested too deep"):
        read_coded_mask(tmp_path / "x.json")
