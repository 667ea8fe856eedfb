"""No connection is opened, but for the weights of a network that a person chose on a hub.

What the docks do is watched in `tests/widgets/test_holding.py` and
`tests/widgets/train/fitting/test_start.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.reliability.connections import HUB

ROOT = Path(__file__).resolve().parents[2]


def test_the_library_and_the_commands_open_no_connection(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.reliability.connections", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["usual"] == []
    assert len(found["models"]) == 3 and "photo.png" in found["covers"]
    # The watch sees what is tried; and it is one sentence to whom it is in vain.
    assert any("huggingface" in attempt for attempt in found["hub"])
    assert f"weights of the backbone “{HUB}” could not be fetched" in found["sentence"]
