"""What README and guides say is true: examples run, commands parse, links and paths exist."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from npe2 import PluginManifest
from PIL import Image

import napari_gaussproto
from napari_gaussproto import TrainingConfig
from napari_gaussproto.cli import app
from napari_gaussproto.io.samples import sample_mask, sample_photo

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "napari_gaussproto"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.md")),
]
# Pages that a person types from; the others may name commands of the past.
GUIDES = [page for page in PAGES if page.name != "CHANGELOG.md"]
EXAMPLES = [p for p in GUIDES if "```python" in p.read_text("utf-8")]
SAMPLE = "peanut_0286"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(start: str) -> Iterator[tuple[str, str]]:
    """Command lines that begin so, in blocks and between backticks, with the page they are on."""
    for page in GUIDES:
        text = re.sub(r"```python\n.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        between = re.findall(r"`([^`]+)`", text.replace("```", ""))
        lines = [line for line in text.splitlines() if line.startswith("    ")]
        for found in [*between, *lines]:
            line = " ".join(found.split("#")[0].split())
            line = line.removeprefix(".venv/bin/").removeprefix("bash scripts/display.sh ")
            if line.removeprefix(".venv/bin/").startswith(start):
                yield name_of(page), line.removeprefix(".venv/bin/")


# A name in a sentence, such as `napari-gaussproto info`, is no line to type.
OURS = sorted({line for _, line in commands("napari-gaussproto ") if len(line.split()) > 2})
MODULES = ("python -m benchmarks", "python -m recipes")
BENCHMARKS = sorted({line for start in MODULES for _, line in commands(start)})


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with what examples speak of, which is where they run, and the names they use."""
    monkeypatch.chdir(tmp_path)
    part = np.s_[60:420, 160:640]
    photo, mask = sample_photo(SAMPLE)[part], sample_mask(SAMPLE)[part]
    for path in ("photo.jpg", "photos/first.jpg"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(path)
    strokes = np.where(np.arange(mask.shape[1]) % 40 < 8, mask, 0).astype(np.uint8)
    Image.fromarray(strokes).save("strokes.png")
    images, labels = photo[::4, ::4], mask[::4, ::4].copy()
    labels[:, ::2] = 0
    return {
        "__name__": "__main__",
        "photo": photo,
        "mask": mask,
        "images": [images],
        "labels": [labels],
    }


@pytest.mark.parametrize("page", EXAMPLES, ids=name_of)
def test_examples_run(page: Path, field: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """As they are printed, but that trainings take a step instead of minutes."""
    if "qtpy" in page.read_text("utf-8"):
        request.getfixturevalue("qapp")
    field["SHORT"] = TrainingConfig(
        steps=1, batch_size=1, crop_size=64, warm_up_steps=2, layer_steps=1
    )
    for block in code_blocks(page):
        short = re.sub(r"( fit\(.*)minutes=\d+", r"\1training=SHORT", block)
        short = re.sub(r"\b(minutes|steps)=\d+", "steps=1", short)
        exec(compile(short, name_of(page), "exec"), field)


# Who extends the package needs its inside; the other guides use what everybody may use.
@pytest.mark.parametrize("page", [p for p in EXAMPLES if "extending" not in p.parts], ids=name_of)
def test_examples_use_the_public_names_only(page: Path) -> None:
    for block in code_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("napari_gauss"):
                assert node.module == "napari_gaussproto"
                assert {a.name for a in node.names} <= set(napari_gaussproto.__all__)


@pytest.mark.parametrize("line", OURS)
def test_command_lines_are_understood(line: str, field: dict[str, Any]) -> None:
    words = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    with group.make_context("napari-gaussproto", list(words)) as context:
        _, command, rest = group.resolve_command(context, words)
        command.make_context(command.name, rest, parent=context).close()


def test_there_are_command_lines() -> None:
    assert len(OURS) >= 5
    assert len(BENCHMARKS) >= 9


@pytest.mark.parametrize("line", BENCHMARKS)
def test_benchmarks_have_the_options_that_are_named(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line)
    module = words[2]
    assert find_spec(module), f"there is no {module}"
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not end.value.code
    text = capsys.readouterr().out
    for option in [word for word in words if word.startswith("--")]:
        assert option in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [
        link
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in link and not (page.parent / link).exists()
    ]
    folders = "src|tests|docs|scripts|configs|benchmarks|recipes|core|widgets|jobs|io|commands"
    paths = re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w)", text)
    if page in GUIDES:
        missing += [p for p in paths if not any((top / p).exists() for top in (ROOT, PACKAGE))]
    assert not missing


def test_menu_paths_are_those_that_napari_makes() -> None:
    """A plugin with several widgets gets a menu of its own name, and its name after each."""
    manifest = PluginManifest.from_distribution("napari-gaussproto")
    plugin, widgets = manifest.display_name, manifest.contributions.widgets
    paths = {f"Plugins > {plugin} > {widget.display_name} ({plugin})" for widget in widgets}
    sources = sorted((ROOT / "src").rglob("*.py"))
    found = [
        line
        for page in [*PAGES, *sources]
        for line in page.read_text("utf-8").splitlines()
        if "Plugins >" in line
    ]
    assert len(found) >= 6
    assert not [line for line in found if not any(path in line for path in paths)]


def test_every_decision_is_in_the_index_and_has_its_three_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    for page in sorted(folder.glob("[a-z]*.md")):
        assert f"({page.name})" in index
        headings = re.findall(r"^## (.*)$", page.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequence"], page.name


def test_the_walks_name_functions_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    stations = re.findall(r"`((?:core|jobs|widgets)/[\w/]+\.py)`: `([\w.]+)`", text)
    assert len(stations) >= 25
    for path, function in stations:
        assert f"def {function.split('.')[-1]}(" in (PACKAGE / path).read_text("utf-8"), path
