"""Outlines that programs for annotation save as JSON: those of labelme, and COCO."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.draw import disk, polygon

from napari_gaussproto.core.base.errors import ImageError

Values = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Outlined:
    """What the outlines of one image mark.

    Attributes
    ----------
    values : (H, W) ndarray of int32
        0 outside of all outlines; where some overlap, the last one counts.
    names : dict of int to str
        What each value but 0 is called.
    """

    values: Values
    names: dict[int, str]


def read_outlines(path: Path, image_name: str = "") -> Outlined:
    """Read the outlines of one image.

    Parameters
    ----------
    path : Path
    image_name : str
        File name of the image, to find it among those that a COCO file describes.

    Raises
    ------
    ImageError
        When it is no such file, damaged, or describes other images.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"“{path.name}” could not be read ({error.strerror}): check the name and the folder."
        ) from error
    try:
        content = json.loads(text)
        if isinstance(content, dict) and isinstance(content.get("shapes"), list):
            return _labelme(path, content)
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            return _coco(path, content, image_name)
    except ImageError:
        raise
    except RecursionError as error:
        raise ImageError(
            f"“{path.name}” is nested too deep for outlines: save it again as labelme or COCO."
        ) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        raise ImageError(
            f"“{path.name}” could not be read as outlines ({type(error).__name__}: {error}): it "
            "may be damaged, save it again as labelme or COCO."
        ) from error
    raise ImageError(
        f"“{path.name}” holds no outlines of labelme or COCO: save the annotations in one of these."
    )


def _labelme(path: Path, content: Mapping[str, Any]) -> Outlined:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise ImageError(
            f"“{path.name}” does not say how large its image is: open it in labelme and save it."
        )
    values = np.zeros((height, width), np.int32)
    shapes = content["shapes"]
    names = sorted({str(shape["label"]) for shape in shapes})
    for shape in shapes:
        kind, value = (
            str(shape.get("shape_type") or "polygon"),
            names.index(str(shape["label"])) + 1,
        )
        if kind == "mask":
            _put_mask(values, shape, value)
            continue
        if kind not in _LABELME:
            raise ImageError(
                f"“{path.name}” has a {kind} called “{shape['label']}”, which has no area: "
                "outline it as a polygon, or delete it."
            )
        inside = _LABELME[kind](_points(shape["points"]), values.shape)
        values[inside] = value
    return Outlined(values, dict(enumerate(names, start=1)))


def _put_mask(values: Values, shape: Mapping[str, Any], value: int) -> None:
    """Put a value where a picture within a box, in a text of base64, is not black."""
    picture = Image.open(BytesIO(base64.b64decode(shape["mask"])))
    inside = np.asarray(picture.convert("L")) > 0
    left, top = (round(n) for n in shape["points"][0])
    # What lies beside the image is none of it.
    inside, left, top = inside[max(0, -top) :, max(0, -left) :], max(0, left), max(0, top)
    window = values[top : top + inside.shape[0], left : left + inside.shape[1]]
    window[inside[: window.shape[0], : window.shape[1]]] = value


Shape = tuple[int, ...]
Pixels = tuple[Any, Any]


def _points(points: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Corners (K, 2) as (y, x) where pixel centres are whole numbers, not their corners."""
    return np.asarray(points, np.float64).reshape(-1, 2)[:, ::-1] - 0.5


def _polygon(points: npt.NDArray[np.float64], shape: Shape) -> Pixels:
    return polygon(points[:, 0], points[:, 1], shape)  # type: ignore[no-any-return]


def _rectangle(points: npt.NDArray[np.float64], shape: Shape) -> Pixels:
    (y0, x0), (y1, x1) = points.min(0), points.max(0)
    return _polygon(np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)]), shape)


def _circle(points: npt.NDArray[np.float64], shape: Shape) -> Pixels:
    """Of a centre and a point on the circle."""
    radius = float(np.hypot(*(points[1] - points[0])))
    return disk(tuple(points[0]), radius, shape=shape)  # type: ignore[no-any-return]


_LABELME: dict[str, Callable[[npt.NDArray[np.float64], Shape], Pixels]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
}


def _coco(path: Path, content: Mapping[str, Any], image_name: str) -> Outlined:
    image = _image_of(path, content["images"], image_name)
    values = np.zeros((int(image["height"]), int(image["width"])), np.int32)
    names = {int(c["id"]): str(c["name"]) for c in content.get("categories", [])}
    numbers = {category: number for number, category in enumerate(sorted(names), start=1)}
    for annotation in content["annotations"]:
        if annotation["image_id"] != image["id"]:
            continue
        value, outline = numbers[int(annotation["category_id"])], annotation.get("segmentation")
        if isinstance(outline, dict):
            values[_decoded(outline, values.shape)] = value
        elif outline:
            for corners in outline:
                points = _points(np.reshape(corners, (-1, 2)).tolist())
                values[_polygon(points, values.shape)] = value
        else:
            raise ImageError(
                f"“{path.name}” has a box without an outline (“{names[annotation['category_id']]}”"
                "): export the annotations with segmentation."
            )
    return Outlined(values, {numbers[category]: name for category, name in names.items()})


def _image_of(
    path: Path, images: Sequence[Mapping[str, Any]], image_name: str
) -> Mapping[str, Any]:
    stem = Path(image_name).stem
    for same in (lambda name: name == image_name, lambda name: Path(name).stem == stem):
        found = [i for i in images if same(str(i["file_name"]).replace("\\", "/").split("/")[-1])]
        if len(found) == 1:
            return found[0]
    if len(images) == 1 and not image_name:
        return images[0]
    raise ImageError(
        f"“{path.name}” describes {len(images)} images, and none or several of them are called "
        f"“{image_name}”: give the file that was made with this image."
    )


def _decoded(run_lengths: Mapping[str, Any], shape: Shape) -> npt.NDArray[np.bool_]:
    """A mask (H, W) from COCO's run lengths: of outside, inside and so on, column by column."""
    counts = run_lengths["counts"]
    lengths = _lengths(counts) if isinstance(counts, str) else [int(n) for n in counts]
    height, width = (int(n) for n in run_lengths["size"])
    if (height, width) != tuple(shape) or sum(lengths) != height * width or min(lengths) < 0:
        raise ValueError("run lengths do not fit the image")
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return inside.reshape(width, height).T


def _lengths(text: str) -> list[int]:
    """Run lengths that COCO packs into text.

    Each is written five bits a character from the lowest on, 48 added; a sixth bit says that more
    follow, and the highest of the last five is the sign. From the fourth on it is the difference to
    the last but one (cocodataset/cocoapi, ``maskApi.c``, ``rleFrString``).
    """
    lengths: list[int] = []
    value, bits = 0, 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, bits = 0, 0
    return lengths
