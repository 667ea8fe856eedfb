"""Jobs are named by strings, so that docks need not load them: each name must be one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import pytest

import napari_gaussproto
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.jobs.running import run_job

WIDGETS = Path(napari_gaussproto.__file__).parent / "widgets"
# Methods that name jobs of one module: its name, where the job's stands among the arguments, and
# how many arguments they add to those that follow.
ASKED = {"_edit": ("changes", 1, 2), "_ask": ("versions", 0, 1), "_launch": ("fit", 3, 0)}
# What calls a job adds the model to the arguments of a change.
ADDED = {"changes": 1}

Named = tuple[str, str, int | None]


def named(call: ast.Call) -> Named | None:
    """Module, name and number of arguments, if it is known, of the job that a call asks for."""
    called = ast.unparse(call.func)
    module, at, added = "", 1, 0
    if called.removeprefix("self.") in ASKED:
        module, at, added = ASKED[called.removeprefix("self.")]
    elif called == "partial" and ast.unparse(call.args[0]) == "run_job":
        at = 2
    elif called != "run_job":
        return None
    texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in call.args[: at + 1]]
    if len(texts) <= at or not isinstance(texts[at], str):
        return None  # another method of that name, or one of those above that runs the job
    module = module or str(texts[at - 1])
    added = added or ADDED.get(module, 0)
    starred = any(isinstance(arg, ast.Starred) for arg in call.args)
    return module, str(texts[at]), None if starred else len(call.args) - at - 1 + added


def jobs() -> list[Named]:
    """Every job that a widget asks for."""
    trees = [ast.parse(path.read_text()) for path in WIDGETS.rglob("*.py")]
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return sorted({job for call in calls if (job := named(call))}, key=str)


def test_all_are_found() -> None:
    modules = {module for module, _, _ in jobs()}
    assert modules >= {"changes", "versions", "fit", "segment", "edit", "insight"}


@pytest.mark.parametrize(("module", "name", "given"), jobs())
def test_a_job_is_there(module: str, name: str, given: int | None) -> None:
    job = getattr(import_module(f"napari_gaussproto.jobs.{module}"), name)
    assert callable(job)
    if given is not None:
        places = list(positional(job))
        needed = sum(place.default is Parameter.empty for place in places if not any_number(place))
        assert needed <= given
        assert given <= len(places) or any(map(any_number, places))


def positional(job: object) -> Iterator[Parameter]:
    for parameter in signature(job).parameters.values():  # type: ignore[arg-type]
        if parameter.kind not in (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD):
            yield parameter


def any_number(parameter: Parameter) -> bool:
    return parameter.kind == Parameter.VAR_POSITIONAL


def test_a_job_may_be_a_plain_function() -> None:
    assert "cpu" in run(run_job("segment", "devices_job"))


def test_triton_stays_out_also_after_torch_alone() -> None:
    """Another plugin may have imported torch: what comes on top of it would bring triton."""
    code = (
        "import sys, torch; from napari_gaussproto.jobs.running import load_libraries; "
        "load_libraries(); assert 'timm' in sys.modules; print('triton' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
