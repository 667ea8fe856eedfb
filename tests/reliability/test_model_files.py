"""Damaged model files: a good model or one sentence, in bounded memory, without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fuzzed(cases: int, seed: int) -> dict[str, Any]:
    """What `tests.reliability.fuzz` says, which limits its own memory for good."""
    command = [sys.executable, "-m", "tests.reliability.fuzz"]
    command += ["--cases", str(cases), "--seed", str(seed)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout)


@pytest.mark.parametrize("cases", [100, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_damaged_model_file_is_good_or_one_sentence(cases: int) -> None:
    found = fuzzed(cases, seed=cases)
    assert not found["faults"]
    assert not found["forbidden"]
    assert found["cases"]["good"] + found["cases"]["refused"] == cases
    assert found["cases"]["good"] > cases / 20 and found["cases"]["refused"] > cases / 2
    assert found["megabytes more"] < 512
