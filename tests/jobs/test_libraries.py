"""Jobs are named by strings, so that docks need not load them: each name must be one."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import napari_gaussproto
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.jobs.libraries import run_job

WIDGETS = Path(napari_gaussproto.__file__).parent / "widgets"
NAMED = re.compile(r'run_job,?\s*\(?\s*"(\w+)",\s*"(\w+)"')
# Controllers that name jobs of one module only.
ASKED = {
    "changes": re.compile(r'self\._edit\([^"]*"(\w+)"'),
    "versions": re.compile(r'self\._ask\(\s*"(\w+)"'),
    "fit": re.compile(r'self\._launch\([^)]*"(\w+_job)"'),
}


def names() -> list[tuple[str, str]]:
    """Module and name of every job that a widget asks for."""
    found: set[tuple[str, str]] = set()
    for path in WIDGETS.rglob("*.py"):
        text = path.read_text()
        found.update(NAMED.findall(text))
        for module, pattern in ASKED.items():
            found.update((module, name) for name in pattern.findall(text))
    return sorted(found)


def test_all_are_found() -> None:
    assert {module for module, _ in names()} >= {*ASKED, "segment", "edit", "insight"}


@pytest.mark.parametrize(("module", "name"), names())
def test_a_job_is_there(module: str, name: str) -> None:
    assert callable(getattr(import_module(f"napari_gaussproto.jobs.{module}"), name))


def test_a_job_may_be_a_plain_function() -> None:
    assert "cpu" in run(run_job("segment", "devices_job"))
