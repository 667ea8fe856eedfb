"""What a folder of results knows: which file is which, and whether it is still the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.io.batch.manifest import (
    LOCK,
    MANIFEST,
    Entry,
    Manifest,
    Source,
    locked,
    named,
    read_manifest,
    results_of,
    work_digest,
)
from tests.core.builders import tiny_model


def of_files(root: Path, *names: str) -> Manifest:
    """A manifest that knows these files by their paths below a folder, which are made."""
    manifest = Manifest(root=str(root))
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        source = Source.of(path).with_digest()
        manifest.images[name] = Entry(source=source, results=name.rsplit(".", 1)[0])
    return manifest


def test_a_file_is_known_by_size_and_time_and_else_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("first")
    source = Source.of(path).with_digest()
    assert source.is_unchanged(path)
    os.utime(path, ns=(1, 1))  # as after a copy
    assert source.is_unchanged(path)
    path.write_text("other")
    assert not source.is_unchanged(path)
    path.write_text("longer than before")
    assert not source.is_unchanged(path)
    path.unlink()
    assert not source.is_unchanged(path)


def test_a_folder_is_known_by_all_that_is_in_it(tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    (store / "c").mkdir(parents=True)
    (store / "c" / "0").write_text("chunk")
    source = Source.of(store).with_digest()
    assert source.is_unchanged(store) and not source.digest
    (store / "c" / "1").write_text("another")
    assert not source.is_unchanged(store)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == Manifest(updated=read_manifest(tmp_path).updated)
    manifest = of_files(tmp_path, "a/x.png")
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": {"x": {}}}'])
def test_a_foreign_file_of_that_name_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ConfigError, match="is no list of results of this program"):
        read_manifest(tmp_path)


def test_a_newer_manifest_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"format_version": 2}')
    with pytest.raises(ConfigError, match="newer version: update the plugin"):
        read_manifest(tmp_path)


def test_a_second_run_into_a_folder_is_told_so(tmp_path: Path) -> None:
    sentence = "Another run is writing into .*: wait for its end, or choose another folder"
    with locked(tmp_path), pytest.raises(ConfigError, match=sentence), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_file_keeps_its_name_when_a_part_is_given(tmp_path: Path) -> None:
    manifest = of_files(tmp_path, "a/x.png", "b/x.png")
    paths = [tmp_path / "b" / "x.png", tmp_path / "b" / "new.png"]
    items = named(paths, tmp_path / "b", manifest)
    assert [item.name for item in items] == ["b/x.png", "b/new.png"]


def test_another_file_of_that_name_gets_its_folder_in_front(tmp_path: Path) -> None:
    manifest = of_files(tmp_path / "first" / "plots", "x.png")
    other = tmp_path / "second" / "plots" / "x.png"
    [item] = named([other], other.parent, manifest)
    assert item.name == "plots/x.png"
    # Where the former one is gone, this one takes its place.
    (tmp_path / "first" / "plots" / "x.png").unlink()
    [item] = named([other], other.parent, manifest)
    assert item.name == "x.png"


def test_results_are_named_without_suffix_where_that_is_enough() -> None:
    known = Manifest(images={"a.jpg": Entry(results="a")})
    names = ["a.jpg", "a.png", "A.tif", "b/a.ome.tif", "c.d.jpg", "m.ome.zarr", "layer 1.5"]
    assert results_of(names, known) == {
        "a.jpg": "a", "a.png": "a.png", "A.tif": "A.tif", "b/a.ome.tif": "b/a",
        "c.d.jpg": "c.d", "m.ome.zarr": "m", "layer 1.5": "layer 1.5",
    }  # fmt: skip


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    stays = ["x.labels.zarr", ".mine.labels", ".x.labels.7.png", "a/.index.json.7.part"]
    goes = [".x.labels.zarr.77.part", "a/.x.labels.zarr.part", ".x.labels.zarr.7e7.former"]
    for name in (*stays, *goes):
        (tmp_path / name).mkdir()
        (tmp_path / name / "chunk").touch()
    (tmp_path / "a" / ".y.labels.ome.tif.77.part").touch()
    with locked(tmp_path):
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"a", LOCK, *stays, *(f"{name}/chunk" for name in stays)}


stems = st.text(st.sampled_from("aA-2."), min_size=1, max_size=4)
suffixes = st.sampled_from([".jpg", ".png", ".ome.tif", ".zarr"])
paths = st.builds(lambda stem, end: f"x{stem}{end}", stems, suffixes)


@given(st.lists(paths, max_size=12, unique=True), st.integers(0, 12))
def test_no_result_overwrites_another(names: list[str], count: int) -> None:
    first = results_of(names[:count], Manifest())
    known = Manifest(images={name: Entry(results=text) for name, text in first.items()})
    found = results_of(names, known)
    assert first.items() <= found.items()
    # Windows and macOS do not tell upper from lower case.
    assert len({text.lower() for text in found.values()}) == len(names)


def test_the_digest_of_the_work_tells_models_and_settings_apart() -> None:
    model = tiny_model()
    first = work_digest(model, tile="auto")
    assert first == work_digest(model, tile="auto")
    assert first != work_digest(model, tile=64)
    model.layer.active[0] = False
    assert first != work_digest(model, tile="auto")
