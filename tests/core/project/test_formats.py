"""Format versions: older files are migrated, newer and damaged ones are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.config import Settings
from napari_gaussproto.core.project.annotation_store import pack, unpack
from napari_gaussproto.core.project.formats import Format, ProjectError


class Content(Settings):
    names: list[str]


def one_name(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had a single name."""
    return {"name": content["title"]}


def many_names(content: dict[str, Any]) -> dict[str, Any]:
    return {"names": [content["name"]]}


FORMAT = Format(Content, "things", "do this", ProjectError, (one_name, many_names))


@pytest.mark.parametrize(
    "former",
    [
        {"format_version": 1, "title": "a"},
        {"format_version": 2, "name": "a"},
        {"format_version": 3, "names": ["a"]},
    ],
)
def test_every_version_is_read_as_the_newest(tmp_path: Path, former: dict[str, Any]) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(former))
    content = FORMAT.read(path)
    assert content == Content(names=["a"])
    FORMAT.write(path, content)
    assert json.loads(path.read_text()) == {"format_version": 3, "names": ["a"]}
    assert FORMAT.read(path) == content


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"format_version": 0}', '{"format_version": 1}', '{"format_version": 3}'],
)
def test_damage_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(text)
    with pytest.raises(ProjectError, match=r"things in .* cannot be opened.*do this\.$") as caught:
        FORMAT.read(path)
    assert str(caught.value).count(". ") == 0


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text('{"format_version": 4, "names": []}')
    with pytest.raises(ProjectError, match=r"newer version.*update the plugin"):
        FORMAT.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert FORMAT.read(tmp_path / "index.json") is None


def test_drawings_are_packed_as_earlier_versions_did() -> None:
    """Those read the mask, and equal drawings must get the names of the files that are there."""
    labels = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3
    data = pack(labels)
    assert np.array_equal(unpack(data), labels)
    with np.load(io.BytesIO(data)) as arrays:
        assert list(arrays) == ["labels", "touched"]
        assert np.array_equal(arrays["labels"], labels)
        assert np.array_equal(arrays["touched"], np.packbits(labels > 0))


@pytest.mark.parametrize("arrays", [{"other": np.zeros(3)}, {"labels": np.zeros((2, 2))}])
def test_other_bytes_are_no_drawing(arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    for data in (buffer.getvalue(), b"nothing"):
        with pytest.raises(ValueError, match=r"these|pickled"):
            unpack(data)
