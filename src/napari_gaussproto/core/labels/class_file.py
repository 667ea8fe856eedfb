"""Class tables as files: our own JSON, and what people have from other programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

from PIL import ImageColor

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.base.config import MOST_CLASSES, SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.class_table import WantedClass

# Under which key a JSON file lists its classes: ours, QuPath's, COCO's.
_LISTS = ("classes", "pathClasses", "categories")
_NAMES = ("name", "class", "label", "class_name")
_COLORS = ("color", "colour", "colorrgb", "hex")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
# ITK-SNAP: index, red, green, blue, opacity, visible, visible in 3-D, "name".
_ITK_SNAP = re.compile(r'^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"(.*)"\s*$')
# Only above everything else: further down it may be a class called "# 1".
_COMMENT = re.compile(r"#(?:[\s#]|$)")
# A class table is a page of text; more is some other file.
_MOST_BYTES = 1_000_000


def write_classes(path: str | Path, classes: Sequence[SegmentationClass]) -> None:
    """Write a class table: as CSV when the name ends in ``.csv``, else as JSON.

    Raises
    ------
    ConfigError
        When the file cannot be written.
    """
    path = Path(path)
    rows = [{"name": entry.name, "color": entry.color} for entry in classes]
    if path.suffix.lower() == ".csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, ["name", "color"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
    else:
        text = json.dumps({"classes": rows}, indent=2, ensure_ascii=False) + "\n"
    try:
        write_bytes_atomically(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"“{path}” could not be written ({error.strerror or error}): choose another folder."
        ) from error


def read_classes(path: str | Path) -> list[WantedClass]:
    """Read a class table in any of the common forms; colours where it has some.

    JSON: ours, QuPath's ``classes.json``, COCO categories, or a list of names. A table with a
    column ``name`` (or class, label) and perhaps a colour, as ``color`` or as ``r``, ``g`` and
    ``b``, separated by commas, semicolons or tabs. An ITK-SNAP label description. Or plain text
    with one name per line.

    Raises
    ------
    ConfigError
        When the file is none of these, names no class, or one twice.
    """
    path = Path(path)
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        classes = _from_json(path, text)
    else:
        lines = [line.strip() for line in text.splitlines()]
        lines = list(dropwhile(_COMMENT.match, filter(None, lines)))
        classes = _from_itk_snap(lines) or _from_table(path, lines) or [*map(WantedClass, lines)]
    _check(path, classes)
    return classes


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"“{path.name}” is too large to be a list of classes.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"“{path.name}” could not be read ({error.strerror or error}): choose another file."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"“{path.name}” is no text: save it as text in UTF-8.") from error


def _from_json(path: Path, text: str) -> list[WantedClass]:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"“{path.name}” is no valid JSON ({error}): export it anew.") from error
    if isinstance(content, dict):
        content = next((content[key] for key in _LISTS if key in content), None)
    if not isinstance(content, list):
        raise ConfigError(
            f"“{path.name}” lists no classes: "
            '{"classes": [{"name": "soil", "color": "#d55e00"}]} is needed.'
        )
    return [_json_class(path, entry) for entry in content]


def _json_class(path: Path, entry: Any) -> WantedClass:
    if isinstance(entry, str):
        return WantedClass(entry.strip())
    if isinstance(entry, dict):
        fields = {str(key).lower(): value for key, value in entry.items()}
        name = next((fields[key] for key in _NAMES if key in fields), None)
        if isinstance(name, str):
            color = next((fields[key] for key in _COLORS if fields.get(key) is not None), "")
            return WantedClass(name.strip(), _color(path, color))
    raise ConfigError(f"“{path.name}” has a class without a name: {json.dumps(entry)[:60]}.")


def _from_itk_snap(lines: list[str]) -> list[WantedClass]:
    """Classes of an ITK-SNAP label description, less index 0; empty when it is none."""
    rows = [match.groups() for line in lines if (match := _ITK_SNAP.match(line))]
    if len(rows) < len(lines):
        return []
    return [
        WantedClass(name.strip(), _hex(int(r), int(g), int(b)))
        for index, r, g, b, name in rows
        if int(index) > 0
    ]


def _from_table(path: Path, lines: list[str]) -> list[WantedClass]:
    """Rows of a table with a header that names its columns; empty when there is none."""
    if not lines:
        return []
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise ConfigError(f"“{path.name}” is no table: save it as CSV in UTF-8.") from error
    header = [cell.strip().lower() for cell in rows[0]]
    names = [header.index(name) for name in _NAMES if name in header]
    if not names:
        if len(header) > 1:
            raise ConfigError(f"“{path.name}” has no column “name”: begin it with name,color.")
        return []
    one = [header.index(name) for name in _COLORS if name in header][:1]
    three = [header.index(name) for names in _CHANNELS for name in names if name in header]
    wanted = [names[0], *(one or (three if len(three) == 3 else []))]
    classes = []
    for row in rows[1:]:
        name, *color = (row[i].strip() if i < len(row) else "" for i in wanted)
        classes.append(WantedClass(name, _color(path, color[0] if one else color)))
    return classes


def _color(path: Path, value: Any) -> str:
    """``#rrggbb`` of a colour in any usual notation; empty for none.

    A whole number is QuPath's: 8 bits each of opacity, red, green, blue, signed.
    """
    try:
        if isinstance(value, int):
            return _hex(value >> 16 & 255, value >> 8 & 255, value & 255)
        if isinstance(value, list | tuple):
            return _hex(*map(int, value[:3])) if any(str(v) for v in value) else ""
        text = str(value).strip()
        if re.fullmatch(r"[0-9a-fA-F]{6}", text):
            text = "#" + text
        numbers = re.fullmatch(r"(\d+)[\s,;]+(\d+)[\s,;]+(\d+)", text)
        if numbers:
            return _hex(*map(int, numbers.groups()))
        return _hex(*ImageColor.getrgb(text)[:3]) if text else ""
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"“{path.name}” has the colour “{value}”, which is none: write it as #rrggbb."
        ) from error


def _hex(red: int, green: int, blue: int) -> str:
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError("a channel is out of range")
    return f"#{red:02x}{green:02x}{blue:02x}"


def _check(path: Path, classes: list[WantedClass]) -> None:
    names = [name for name, _ in classes]
    if not names:
        raise ConfigError(f"“{path.name}” names no class: write one name on each line.")
    if not all(name and name.isprintable() and len(name) <= 100 for name in names):
        raise ConfigError(
            f"“{path.name}” has a class with an empty or a strange name: is it a list of classes?"
        )
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ConfigError(f"“{path.name}” names “{twice}” twice: a class needs a name of its own.")
    if len(names) > MOST_CLASSES:
        raise ConfigError(
            f"“{path.name}” names {len(names)} classes: {MOST_CLASSES} are the most there can be."
        )
