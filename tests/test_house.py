"""The house stays in order: sizes of files and folders, no import circles, tests from outside."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("src", "tests", "recipes", "benchmarks")
FILES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))
MOST_LINES = 450
MOST_MODULES = 16
# Names with an underscore that belong to other libraries, and why tests need them.
FOREIGN = {
    "_qt_viewer": "napari gives no public way to its canvas, where keys and buttons are pressed",
    "_scene_canvas": "the same, one level below",
    "_repr_html_": "the name by which Jupyter asks for HTML",
    "_undo_history": "napari's labels layer gives no public way to count the steps of its undo",
    "_worker_set": "napari has no public list of running workers",
    "_task_status_manager": "napari has no public list of what runs in a window",
}

# Functions that reach an attribute by its name in a string.
BY_NAME = {"setattr", "getattr", "hasattr", "delattr", "patch", "import_module"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_long() -> None:
    lines = {relative(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_no_folder_has_many_modules() -> None:
    modules = Counter(relative(path.parent) for path in FILES)
    assert not {name: count for name, count in modules.items() if count > MOST_MODULES}


def test_percents_are_written_without_a_space() -> None:
    words = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md")]
    words += [path for top in ("src", "docs", "recipes") for path in (ROOT / top).rglob("*.md")]
    apart = re.compile(r"[0-9}] %(?! \w+ ::)")  # such a remainder counts steps of a slice
    lines = [(p, line) for p in words for line in p.read_text("utf-8").splitlines()]
    assert not [(relative(p), line) for p, line in lines if apart.search(line)]


def test_no_import_circles() -> None:
    graph = grimp.build_graph("napari_gaussproto", exclude_type_checking_imports=False)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    function = call.func
    return getattr(function, "attr", getattr(function, "id", ""))


def named(call: ast.Call) -> list[str]:
    """The parts of all paths, such as "package.module.name", that a call is given as strings."""
    texts = [a.value for a in call.args[:2] if isinstance(a, ast.Constant)]
    return [part for text in texts if isinstance(text, str) for part in text.split(".")]


def private_uses(path: Path) -> Iterator[str]:
    """Private attributes of other objects, and private names of modules, that a test uses."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            names = [(node.attr, node.lineno)]
        elif isinstance(node, ast.Call) and called(node) in BY_NAME:
            names = [(name, node.lineno) for name in named(node)]
        else:
            continue
        for name, line in names:
            if name.startswith("_") and not name.startswith("__") and name not in FOREIGN:
                yield f"{relative(path)}:{line}: {name}"


@pytest.mark.parametrize(
    "code",
    [
        "from package import _name",
        "thing._name",
        'monkeypatch.setattr(module, "_name", 1)',
        'monkeypatch.setattr("package.module._name", 1)',
        'getattr(thing, "_name")',
    ],
)
def test_private_names_are_seen(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "test_module.py"
    path.write_text(code, encoding="utf-8")
    assert list(private_uses(path)) == ["test_module.py:1: _name"]


def test_tests_use_public_means_only() -> None:
    uses = [use for path in FILES if "tests" in path.parts for use in private_uses(path)]
    assert not uses, "\n" + "\n".join(uses)
