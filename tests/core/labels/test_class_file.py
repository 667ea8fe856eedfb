"""Class tables as files: written, read back, and taken from other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.class_file import read_classes, write_classes
from napari_gaussproto.core.labels.class_table import WantedClass

SOIL, LEAF = WantedClass("soil", "#d55e00"), WantedClass("leaf, dry", "#009e73")


def read(tmp_path: Path, name: str, text: str) -> list[WantedClass]:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_classes(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    classes = [
        SegmentationClass(name=n, color=c)
        for n, c in [SOIL, LEAF, ("Käfer “x”", "#ABCDEF"), ("# 1", "#000000")]
    ]
    write_classes(tmp_path / name, classes)
    again = read_classes(tmp_path / name)
    assert [entry.name for entry in again] == [entry.name for entry in classes]
    assert [entry.color for entry in again] == [entry.color.lower() for entry in classes]


def test_json_is_the_form_that_is_promised(tmp_path: Path) -> None:
    write_classes(tmp_path / "a.json", [SegmentationClass(name="soil", color="#d55e00")])
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content == {"classes": [{"name": "soil", "color": "#d55e00"}]}


@pytest.mark.parametrize(
    "text",
    [
        'name,color\nsoil,#d55e00\n"leaf, dry",#009e73\n',
        "\ufeffid;Name;Colour\r\n1;soil;D55E00\r\n2;leaf, dry;009e73\r\n",
        "index\tname\tr\tg\tb\n1\tsoil\t213\t94\t0\n2\tleaf, dry\t0\t158\t115\n",
        'color,class\n#d55e00,soil\n#009e73,"leaf, dry"\n',
        'name,color\nsoil,"213, 94, 0"\n"leaf, dry",0 158 115\n',
    ],
    ids=["comma", "semicolon", "tab", "colour first", "triples"],
)
def test_tables(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "a.csv", text) == [SOIL, LEAF]


def test_names_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "# classes\nsoil\n\n  weed \n") == [
        WantedClass("soil"), WantedClass("weed"),
    ]  # fmt: skip
    assert read(tmp_path, "a.csv", "name\nsoil\n") == [WantedClass("soil")]
    assert read(tmp_path, "b.csv", "name,color\nsoil,\nweed\n") == [
        WantedClass("soil"), WantedClass("weed"),
    ]  # fmt: skip
    assert read(tmp_path, "a.json", '["soil", {"name": "weed"}]') == [
        WantedClass("soil"), WantedClass("weed"),
    ]  # fmt: skip


def test_files_of_other_programs(tmp_path: Path) -> None:
    snap = (
        "################\n# ITK-SnAP Label Description File\n"
        "# IDX -R- -G- -B- -A-- VIS MSH LABEL\n"
        '    0     0    0    0        0  0  0    "Clear Label"\n'
        '    1   213   94    0        1  1  1    "soil"\n'
        '    2     0  158  115     0.50  1  0    "leaf, dry"\n'
    )
    assert read(tmp_path, "labels.txt", snap) == [SOIL, LEAF]
    signed = 0xFFD55E00 - 2**32
    qupath = {
        "pathClasses": [
            {"name": "soil", "color": signed},
            {"name": "leaf, dry", "color": [0, 158, 115]},
        ]
    }
    assert read(tmp_path, "classes.json", json.dumps(qupath)) == [SOIL, LEAF]
    older = {"pathClasses": [{"name": "soil", "colorRGB": signed}]}
    assert read(tmp_path, "older.json", json.dumps(older)) == [SOIL]
    coco = {"images": [], "categories": [{"id": 1, "name": "soil", "supercategory": "x"}]}
    assert read(tmp_path, "coco.json", json.dumps(coco)) == [WantedClass("soil")]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "{", "no valid JSON"),
        ("a.json", "[" * 100_000, "no valid JSON"),
        ("a.json", '{"kinds": []}', "lists no classes"),
        ("a.json", '{"classes": {"soil": 1}}', "lists no classes"),
        ("a.json", '{"classes": [{"color": "#000000"}]}', "without a name"),
        ("a.json", '{"classes": [7]}', "without a name"),
        ("a.json", '{"classes": []}', "names no class"),
        ("a.json", '{"classes": [{"name": "a", "color": {}}]}', "which is none"),
        ("a.json", '{"classes": [{"name": "a", "color": [1, 2]}]}', "which is none"),
        ("a.csv", "name,color\nsoil,greenish\n", "colour “greenish”, which is none"),
        ("a.csv", "name,color\nsoil,300 0 0\n", "which is none"),
        ("a.csv", "name,color\nsoil,\nsoil,\n", "names “soil” twice"),
        ("a.csv", "name,color\n,#123456\n", "empty or a strange name"),
        ("a.csv", "soil,#d55e00\n", "begin it with name,color"),
        ("a.csv", "", "names no class"),
        ("a.txt", "\x00\x01binary", "empty or a strange name"),
        ("a.txt", "\n".join(f"class {i}" for i in range(255)), "names 255 classes"),
        ("a.txt", "x" * 1_000_001, "too large"),
    ],
)
def test_bad_files_have_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(tmp_path, name, text)
    assert name in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"K\xe4fer\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_classes(tmp_path / "a.txt")
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(ConfigError, match="could not be read"):
            read_classes(path)
    with pytest.raises(ConfigError, match="could not be written"):
        write_classes(tmp_path / "a.txt" / "b.json", [])
