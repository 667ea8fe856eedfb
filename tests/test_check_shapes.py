"""The check of docstrings for the shapes of arrays finds what it should, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "check_shapes.py"
HEAD = "import numpy.typing as npt\nfrom torch import Tensor\nLabels = npt.NDArray[int]\n"


def check(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "part").mkdir(exist_ok=True)
    (folder / "part" / "module.py").write_text(HEAD + code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "code",
    [
        'def f(x: Tensor) -> Tensor:\n    """Twice (N, D) latents."""\n',
        'def f(x: Tensor, y: Tensor) -> None:\n    """Latents (N, D), labels (N, C)."""\n',
        'def f(x: Labels) -> Labels:\n    """Labels of the same shape."""\n',
        'def f(x: Tensor) -> float:\n    """Mean.\n\n    Parameters\n    ----------\n'
        '    x : Tensor\n        (..., D).\n    """\n',
        "def _f(x: Tensor) -> Tensor: ...\n",
        'def f(x: int) -> int:\n    """Nothing with arrays."""\n',
        'class A:\n    """Cells.\n\n    Attributes\n    ----------\n    x, y : Tensor\n'
        '        (N,).\n    """\n\n    x: Tensor\n    y: Tensor\n    _z: Tensor\n',
        "class _A:\n    x: Tensor\n",
        'def f(make: "Callable[[Tensor], Tensor]") -> None:\n    """Call."""\n',
    ],
)
def test_said_shapes_and_private_names_pass(code: str, tmp_path: Path) -> None:
    done = check(tmp_path, code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "arrays"),
    [
        ('def f(x: Tensor) -> Tensor:\n    """Twice."""\n', ["x", "the result"]),
        ('def f(x: Labels) -> int:\n    """Labels, at a place (y, x)."""\n', ["x"]),
        ('def f() -> list[Labels]:\n    """Labels of images."""\n', ["the result"]),
        (
            'def f(x: Tensor) -> Tensor:\n    """Twice (N, D).\n\n    Returns\n    -------\n'
            '    Tensor\n        The double.\n    """\n',
            ["the result"],
        ),
        (
            'def f(x: Tensor, y: Tensor) -> None:\n    """Do.\n\n    Parameters\n    ----------\n'
            '    x : Tensor\n        (N,).\n    y : Tensor\n        Others.\n    """\n',
            ["y"],
        ),
        ('def f(x: Tensor, y: Tensor) -> None:\n    """Compare with (N, D)."""\n', ["x", "y"]),
        ('class A:\n    """Cells."""\n\n    x: "Tensor | None"\n', ["x"]),
        (
            'class A:\n    """Cells."""\n\n    @property\n    def x(self) -> Tensor:\n'
            '        """Values."""\n',
            ["the result"],
        ),
    ],
)
def test_shapes_left_out_are_named(code: str, arrays: list[str], tmp_path: Path) -> None:
    done = check(tmp_path, code)
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if line.startswith("part/module.py:")]
    assert [line.rsplit(" shape of ", 1)[1] for line in found] == sorted(arrays)
    assert f"{len(arrays):5d}  in all" in done.stdout


def test_a_report_does_not_fail(tmp_path: Path) -> None:
    assert check(tmp_path, "def f(x: Tensor) -> None: ...\n", "--report").returncode == 0


def test_an_alias_holds_where_it_is_made_or_imported(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "from napari.layers import Labels\ndef f(layer: Labels) -> None:\n    '''A layer.'''\n",
        encoding="utf-8",
    )
    (tmp_path / "third.py").write_text(
        "from napari_gaussproto.part.module import Labels\n"
        "def f(x: Labels) -> None:\n    '''Labels.'''\n",
        encoding="utf-8",
    )
    done = check(tmp_path, "")
    assert "other.py" not in done.stdout
    assert "third.py:2: f does not say the shape of x" in done.stdout
