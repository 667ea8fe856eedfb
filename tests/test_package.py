"""Importing stays cheap, and the library stays free of napari and Qt."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_gaussproto
from napari_gaussproto.cli import DEFAULT_MODEL

CORE = Path(napari_gaussproto.__file__).parent / "core"
ROOT = CORE.parents[1]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_neither_torch_nor_qt() -> None:
    loaded = run_python("import napari_gaussproto, sys; print(*sorted(sys.modules))").split()
    roots = {name.split(".")[0] for name in loaded}
    assert not roots & {"torch", "qtpy", "PyQt6", "napari", "numpy"}


def test_listing_models_needs_no_torch() -> None:
    code = (
        "import napari_gaussproto as g, sys; "
        "names = g.list_models(); assert 'torch' not in sys.modules; print(*names)"
    )
    assert run_python(code).split() == napari_gaussproto.list_models()


def test_the_model_for_a_first_look_comes_first() -> None:
    first, *others = napari_gaussproto.list_models()
    assert first == DEFAULT_MODEL == "plants" and others == sorted(others)


def test_every_core_module_imports_without_napari_and_qt() -> None:
    paths = sorted(CORE.rglob("[a-z]*.py"))
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    assert len(modules) > 60
    run_python(
        "import sys, importlib\n"
        "for name in ('napari', 'qtpy', 'PyQt6', 'PySide6', 'magicgui', 'superqt'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
    )


@pytest.mark.parametrize("name", napari_gaussproto.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    found = getattr(napari_gaussproto, name)
    assert name in dir(napari_gaussproto)
    assert found.__doc__


def test_type_checkers_know_every_public_name() -> None:
    """The stub is written as strict type checkers want it: ``X as X`` exports a name."""
    stub = Path(napari_gaussproto.__file__).with_suffix(".pyi").read_text("utf-8")
    assert sorted(re.findall(r"import (\w+) as \1$", stub, re.MULTILINE)) == sorted(
        napari_gaussproto.__all__
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        napari_gaussproto.nonsense  # noqa: B018
