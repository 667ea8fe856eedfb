"""A kill at any moment: what was whole on disk is found again, and nothing is torn.

It is kill -9, and on Windows TerminateProcess, which ends a process as suddenly.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.scenes import SCENES, killed


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_after_a_kill_the_last_whole_state_is_found(
    scene: str, rounds: int, tmp_path: Path
) -> None:
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        said = killed(scene, folder, random.Random(f"{scene} {rounds} {number}"))
        SCENES[scene][1](folder, said)
