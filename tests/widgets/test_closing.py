"""A process ends soon after its viewer was closed, whatever is being computed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# Within which a process has to end.
_SECONDS = 3.0


@dataclass(frozen=True)
class _Ending:
    """Seconds from closing the viewer to the end of the process.

    Attributes
    ----------
    clock, processor : float
        The second is what the process itself used: others do not make it longer.
    """

    clock: float
    processor: float


def ending(kinds: str, model: Path, folder: Path) -> _Ending:
    """Close a viewer while jobs of some kinds are under way."""
    folder.mkdir()
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "NAPARI_CONFIG": ""}
    command = [sys.executable, "-m", "tests.widgets.closing", kinds, str(model), str(folder / "in")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()  # until it ends
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode, ended = os.waitstatus_to_exitcode(status), time.time()
    assert process.returncode == 0
    clock, processor, threads = said.split()
    assert threads == "0"
    return _Ending(ended - float(clock), usage.ru_utime + usage.ru_stime - float(processor))


@pytest.mark.skipif(os.name != "posix", reason="asks for what a process used")
def test_a_process_ends_when_its_viewer_is_closed_during_jobs(
    model_file: Path, tmp_path: Path
) -> None:
    found = ending("run,batch,tune", model_file, tmp_path / "jobs")
    print(found)
    is_quiet = os.getloadavg()[0] < (os.cpu_count() or 1)
    assert (found.clock if is_quiet else found.processor) < _SECONDS
    assert found.clock < 20 * _SECONDS  # a job that waits and computes nothing


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="asks for what a process used")
def test_no_job_makes_the_end_of_a_process_long(model_file: Path, tmp_path: Path) -> None:
    for kind in ("", "run", "batch", "quick", "tune"):
        found = ending(kind, model_file, tmp_path / f"of {kind}")
        print(kind or "nothing", found)
        assert found.processor < _SECONDS
